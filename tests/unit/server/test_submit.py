"""Promise: `vsr submit` makes what `vsr upscale` makes, and goes on after whatever breaks."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SAMPLES
from tests.support.server import Server, serving
from vsr.server.client import Client, Unanswered

_TOKEN = "a-token-of-some-length"
_OPTIONS = "-m bicubic --scale 2 --start 0f --end 40f --segment 0.5"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("submit"), VSR_SERVER_TOKEN=_TOKEN) as found:
        yield found


def _submit(server: Server, film: Path, options: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vsr", "submit", str(film), "--server", server.base,
         *options.split()],
        env={**os.environ, "VSR_SERVER_TOKEN": _TOKEN, **more},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_the_result_is_that_of_upscale_though_the_server_was_killed(
    server: Server, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    shutil.copy(SAMPLES / "bunny.mp4", film)
    waiting = _submit(server, film, f"{_OPTIONS} --progress json")
    assert waiting.stderr is not None
    for line in waiting.stderr:
        if '"progress"' in line:
            break
    server.kill()
    server.start()
    out, err = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, err
    result = Path(out.strip())
    assert result == tmp_path / "film_2x_0f-40f.mp4"
    (tmp_path / "own").mkdir()
    subprocess.run(
        [sys.executable, "-m", "vsr", "upscale", str(film), "-o", f"{tmp_path}/own/",
         *_OPTIONS.split()],
        check=True, capture_output=True,
    )  # fmt: skip
    assert result.read_bytes() == (tmp_path / "own" / result.name).read_bytes()
    again = _submit(server, film, f"{_OPTIONS} --overwrite")
    out, err = again.communicate(timeout=60)
    assert (again.returncode, out.strip()) == (0, str(result)), err
    assert "sending" not in err  # the job was there already


def test_ctrl_c_ends_the_waiting_alone(server: Server, tmp_path: Path) -> None:
    film = tmp_path / "other.mp4"
    shutil.copy(SAMPLES / "bunny.mp4", film)
    options = "-m bicubic --scale 2 --start 0f --end 3f -o other_big.mkv"
    waiting = _submit(server, film, f"{options} --progress json")
    assert waiting.stderr is not None
    for line in waiting.stderr:
        if '"uploading"' in line:
            break
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    time.sleep(0.1)
    again = _submit(server, film, options)
    out, err = again.communicate(timeout=120)
    assert (again.returncode, out.strip()) == (0, "other_big.mkv"), err
    Path("other_big.mkv").unlink()


def test_a_job_is_followed_over_minutes_without_its_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("vsr.server.client.time.sleep", pauses.append)
    with socket.socket() as taken:  # nobody listens there
        taken.bind(("127.0.0.1", 0))
        client = Client(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(Unanswered, match="the same command waits for its job again"):
            list(client.events("some"))
    assert 240 < sum(pauses) < 600


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("--stream 7", 2, "vsr: stream 7: is no video; film.mp4 has #0"),
        ("--device cpu", 1, "device: is set by the server"),
        ("-o big.mkv --server ftp://x", 2, "is no address"),
    ],
)
def test_a_failure_is_a_line_and_a_code(
    server: Server, tmp_path: Path, options: str, code: int, said: str
) -> None:
    film = tmp_path / "film.mp4"
    shutil.copy(SAMPLES / "bunny.mp4", film)
    failed = _submit(server, film, options)
    _, err = failed.communicate(timeout=60)
    assert failed.returncode == code, err
    assert said in err.splitlines()[-1]
