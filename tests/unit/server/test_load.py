"""Promise: many clients at once lose no job and get no other's. In large: `tests/serve_load.py`."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import SAMPLES
from tests.support import judge
from tests.support.server import ENDED, Server, serving

_CLIENTS, _JOBS = 12, 2


def _client(server: Server, number: int) -> tuple[int, str]:
    """Take a job on, as another client does under the same id, and look at it to its end."""
    height = 100 + 20 * (number % _JOBS)
    input = {"source": "bunny.mp4", "model": "bicubic", "height": height, "clip": ["0f-1f"]}
    id = f"client-{number % _JOBS}"
    assert server.ask("PUT", f"/v1/jobs/{id}", {"input": input}).status in (200, 201)
    while True:
        job = server.ask("GET", f"/v1/jobs/{id}").json
        assert job["input"] == input
        if job["status"] in ENDED:
            return height, str(job["output"])


def test_no_job_is_lost_and_none_is_mixed_up(tmp_path: Path) -> None:
    devices = ("--device", "auto", "--device", "auto")
    with serving(tmp_path, *devices) as server, ThreadPoolExecutor(_CLIENTS) as pool:
        shutil.copy(SAMPLES / "bunny.mp4", server.roots)
        found = list(pool.map(lambda number: _client(server, number), range(_CLIENTS)))
        assert len(server.ask("GET", "/v1/jobs").json["results"]) == _JOBS
        for height, output in set(found):
            result = tmp_path / f"{height}.mp4"
            result.write_bytes(server.ask("GET", output).body)
            assert judge.size_of(result)[1] == height
