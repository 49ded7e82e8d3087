"""Promise: what the documentation says to type works, and so do clients of Replicate's."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SAMPLES
from tests.support.server import Server, events, serving

_DOCS = Path(__file__).parents[3] / "docs" / "http-api.md"
_SHORT = {"source": "bunny.mp4", "scale": 2, "clip": ["0f-2f"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("clients")) as found:
        shutil.copy(SAMPLES / "bunny.mp4", found.roots)
        yield found


def _script(name: str) -> str:
    found = re.search(rf"<!-- curl: {name} -->\n```sh\n(.*?)```", _DOCS.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def _run(server: Server, name: str, folder: Path) -> list[str]:
    """Run the lines of the documentation; returns what they wrote."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    shutil.copy(SAMPLES / "bunny.mp4", folder)
    script = _script(name).replace("http://127.0.0.1:8787", server.base)
    script = script.replace("-s ", "-sS --fail-with-body ")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_the_lines_for_jobs_work_as_they_are_written(server: Server, tmp_path: Path) -> None:
    lines = _run(server, "jobs", tmp_path)
    assert (tmp_path / "bunny_2x.mp4").stat().st_size > 100_000
    assert any(line.startswith("event: finished") for line in lines)
    assert server.ask("GET", "/v1/jobs").json["results"] == []


def test_the_lines_for_uploads_work_as_they_are_written(server: Server, tmp_path: Path) -> None:
    lines = _run(server, "upload", tmp_path)
    size = (tmp_path / "bunny.mp4").stat().st_size
    assert f"upload-offset: {size}" in lines
    (job,) = server.ask("GET", "/v1/jobs").json["results"]
    server.ask("POST", job["urls"]["cancel"])
    files = server.ask("GET", "/v1/files").json["results"]
    assert [(file["name"], file["size"]) for file in files] == [("bunny.mp4", size)] * 2


def test_the_requests_of_replicates_client(server: Server) -> None:
    """As replicate 1.0.7 for Python sends them; the client itself does the same with a server."""
    agent = {"User-Agent": "replicate-python/1.0.7", "Authorization": "Bearer whatever"}
    body = {"input": _SHORT, "version": "bicubic", "stream": True}
    created = server.ask("POST", "/v1/predictions", body, headers=agent)
    assert (created.status, created.json["status"]) == (201, "starting")
    told = server.ask(
        "GET", created.json["urls"]["stream"],
        headers={**agent, "Accept": "text/event-stream", "Cache-Control": "no-store"},
    )  # fmt: skip
    assert told.headers["content-type"].startswith("text/event-stream")
    assert [name for _, name, _ in events(told.body)][-2:] == ["output", "done"]
    found = server.ask("GET", f"/v1/predictions/{created.json['id']}", headers=agent).json
    assert (found["status"], found["model"]) == ("succeeded", "bicubic")
    by_model = {"input": _SHORT}
    path = "/v1/models/vsr/bicubic/predictions"
    waited = server.ask("POST", path, by_model, headers={**agent, "Prefer": "wait"}).json
    assert (waited["status"], waited["input"]["model"]) == ("succeeded", "bicubic")
    long = {"input": {"source": "bunny.mp4"}, "version": "realesr-animevideov3"}
    begun = server.ask("POST", "/v1/predictions", long, headers={**agent, "Prefer": "wait=1"}).json
    assert begun["status"] == "starting"  # or the client would take it for done
    path = f"/v1/predictions/{begun['id']}/cancel"
    assert server.ask("POST", path, headers=agent).json["status"] == "canceled"
    page = server.ask("GET", "/v1/predictions", headers=agent).json
    assert {"previous", "next", "results"} == set(page)
    refused = server.ask("POST", "/v1/predictions", {"input": {}, "version": "bicubic"})
    assert refused.json["status"] == refused.status == 422
    assert refused.json["detail"]


def test_the_unit_is_one_of_systemds(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    found = re.search(r"```ini\n(.*?)```", _DOCS.read_text(), re.DOTALL)
    assert found is not None
    unit = tmp_path / "vsr.service"
    unit.write_text(found[1].replace("/opt/vsr/bin/vsr", "/bin/true"))  # which is there
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "vsr.service" in line]
    assert not ours
