"""Try the API of `vsr serve` as its OpenAPI document has it: `python -m tests.serve_schema [N]`.

Needs schemathesis on the PATH (`pip install schemathesis`, in an environment of its own: it brings
much). Whatever N examples of each request say, the server must answer with a status and a body
that the document has, and never with 5xx. A minute on two cores with N = 20.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import SAMPLES
from tests.support.server import serving

# What is right by a schema may still name no film; tus has statuses of its own.
_SETTINGS = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 409, 412, 413, 415, 422, 423, 429]
negative_data_rejection.expected-statuses = [400, 401, 404, 405, 406, 409, 412, 413, 415, 422, 429]
missing_required_header.expected-statuses = [400, 404, 412, 415, 422]
"""
_HOOKS = """
import schemathesis


@schemathesis.serializer("application/offset+octet-stream")
def bytes_as_they_are(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode()
"""


def main(examples: str = "20") -> int:
    """Run it; returns its exit code."""
    with tempfile.TemporaryDirectory(prefix="vsr-") as name, serving(Path(name)) as server:
        shutil.copy(SAMPLES / "bunny.mp4", server.roots)
        (Path(name) / "schemathesis.toml").write_text(_SETTINGS)
        (Path(name) / "hooks.py").write_text(_HOOKS)
        server.ended(
            server.job({"source": "bunny.mp4", "model": "bicubic", "clip": ["0f-2f"]})["id"]
        )
        command = [
            "schemathesis", "--config-file", "schemathesis.toml", "run",
            f"{server.base}/v1/openapi.json", "--max-examples", examples,
            "--phases", "examples,coverage,fuzzing", "--request-timeout", "20",
        ]  # fmt: skip
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": name}
        return subprocess.run(command, cwd=name, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
