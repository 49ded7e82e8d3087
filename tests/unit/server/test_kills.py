"""Promise: whatever is killed, and whenever, everything goes on, and comes out the same."""

from __future__ import annotations

import base64
import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.conftest import SAMPLES, tiny_weights
from tests.support.server import Server, events, serving


class _Hooks:
    """A server that webhooks are sent to; answers each with the next of `answers`, then 200."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hooks.heard.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(hooks.answers.pop(0) if hooks.answers else 200)
                self.end_headers()

            def do_GET(self) -> None:
                film = (SAMPLES / "bunny.mp4").read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(film)))
                self.end_headers()
                self.wfile.write(film)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?a=b"

    def events(self, job: str) -> list[str]:
        """The events of a job, in the order in which they came."""
        ids = [headers["webhook-id"] for headers, _ in self.heard]
        return [id.removeprefix(f"{job}-") for id in ids if id.startswith(f"{job}-")]


@contextmanager
def _hooks(port: int = 0) -> Iterator[_Hooks]:
    hooks = _Hooks(port)
    thread = threading.Thread(target=hooks.server.serve_forever)
    thread.start()
    try:
        yield hooks
    finally:
        hooks.server.shutdown()
        thread.join()
        hooks.server.server_close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(
        tmp_path_factory.mktemp("kills"), "--near-host", "127.0.0.1", "--allow-urls"
    ) as found:
        shutil.copy(SAMPLES / "bunny.mp4", found.roots)
        tiny_weights(found.roots)
        yield found


_INPUT = {"source": "bunny.mp4", "model": "tiny.safetensors", "clip": ["0f-60f"], "segment": 0.4}


@pytest.fixture(scope="module")
def expected(server: Server, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("own")
    words = f"-m {server.roots}/tiny.safetensors --clip 0f-60f --segment 0.4"
    subprocess.run(
        [sys.executable, "-m", "vsr", "upscale", f"{server.roots}/bunny.mp4", "-o", f"{folder}/",
         *words.split()],
        check=True, capture_output=True,
    )  # fmt: skip
    (result,) = folder.iterdir()
    return result.read_bytes()


def _pid(server: Server, id: str) -> int:
    """The process of a job, once it is written down: that is a moment after it has begun."""
    lock = server.data / "jobs" / id / "lock"
    _until(lock.read_text)
    return int(lock.read_text())


def _segments(server: Server, id: str) -> int:
    return len(list((server.data / "jobs" / id / "out").glob(".*.vsr/[0-9]*.json")))


def _until(done: Any) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_job_that_is_killed_goes_on_with_its_next_segment(
    server: Server, expected: bytes
) -> None:
    id = server.job(_INPUT)["id"]
    _until(lambda: _segments(server, id) > 1)
    os.kill(_pid(server, id), signal.SIGKILL)
    job = server.ended(id)
    assert job["status"] == "succeeded", job
    assert server.ask("GET", job["output"]).body == expected
    told = [
        json.loads(data) for _, _, data in events(server.ask("GET", job["urls"]["events"]).body)
    ]
    assert [one["event"] for one in told].count("run") == 2
    second = next(n for n, one in enumerate(told) if one["event"] == "run" and n > 5)
    assert next(one["frames"] for one in told[second:] if one["event"] == "progress") > 1


def test_a_killed_server_finds_its_job_at_work(server: Server, expected: bytes) -> None:
    id = server.job(_INPUT)["id"]
    _until(lambda: _segments(server, id) > 0)
    pid = _pid(server, id)
    os.kill(pid, signal.SIGSTOP)  # so that it is not done before it was looked for
    server.kill()
    server.start()
    listed = subprocess.run(
        [sys.executable, "-m", "vsr", "jobs", "list", "--json"],
        env={**os.environ, "XDG_STATE_HOME": str(server.folder / "state")},
        check=True, capture_output=True,
    )  # fmt: skip
    assert json.loads(listed.stdout)["process"] == pid
    assert server.ask("GET", f"/v1/jobs/{id}").json["status"] == "processing"
    os.kill(pid, signal.SIGCONT)
    job = server.ended(id)
    assert _pid(server, id) == pid
    assert server.ask("GET", job["output"]).body == expected


def test_server_and_job_killed_together_go_on(server: Server, expected: bytes) -> None:
    first, second = server.job(_INPUT)["id"], server.job({**_INPUT, "clip": ["0f-2f"]})["id"]
    _until(lambda: _segments(server, first) > 0)
    pid = _pid(server, first)
    server.kill()
    os.kill(pid, signal.SIGKILL)
    server.start()
    job = server.ended(first)
    assert server.ask("GET", job["output"]).body == expected
    again = server.ask("GET", f"/v1/jobs/{second}").json  # which waited all the while
    assert again["status"] in ("starting", "processing", "succeeded")
    server.ask("POST", again["urls"]["cancel"])


def test_a_server_that_is_told_to_end_leaves_no_process_and_goes_on(
    server: Server, expected: bytes
) -> None:
    id = server.job(_INPUT)["id"]
    _until(lambda: _segments(server, id) > 0)
    pid = _pid(server, id)
    assert server.stop() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    server.start()
    job = server.ended(id)
    assert server.ask("GET", job["output"]).body == expected


def test_a_job_that_is_killed_each_time_fails_in_the_end(server: Server) -> None:
    id = server.job({"source": "bunny.mp4", "scale": 4})["id"]
    killed: set[int] = set()
    lock = server.data / "jobs" / id / "lock"
    for _ in range(3):
        _until(lambda: lock.exists() and _pid(server, id) not in killed)
        killed.add(_pid(server, id))
        os.kill(_pid(server, id), signal.SIGKILL)
    job = server.ended(id)
    assert job["status"] == "failed"
    assert "was ended 3 times without a word" in job["error"]


def test_webhooks_are_signed_tried_again_and_survive_a_kill(server: Server) -> None:
    key = base64.b64decode(server.ask("GET", "/v1/webhooks/default/secret").json["key"][6:])
    short = {"source": "bunny.mp4", "model": "bicubic", "scale": 2, "clip": ["0f-1f"]}
    with _hooks() as hooks:
        hooks.answers = [500]
        id = server.job(short, webhook=hooks.url)["id"]
        server.ended(id)
        _until(lambda: "completed" in hooks.events(id))
        # The first was answered with 500; the second may come when the job is done.
        _until(lambda: hooks.events(id).count("start") == 2)
        for headers, body in hooks.heard:
            stamp = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode()
            signed = base64.b64encode(hmac.digest(key, stamp + body, "sha256")).decode()
            assert headers["webhook-signature"] == f"v1,{signed}"
        told = json.loads(hooks.heard[-1][1])
        assert (told["id"], told["status"]) == (id, "succeeded")
        port = hooks.server.server_port
    # Nobody listens; the server is killed with the webhook in hand.
    asked = {"webhook": hooks.url, "webhook_events_filter": ["completed"]}
    second = server.job(short, **asked)["id"]
    server.ended(second)
    server.kill()
    assert (server.data / "jobs" / second / "hooks" / "completed").exists()
    with _hooks(port) as later:
        server.start()
        _until(lambda: later.events(second) == ["completed"])
    _until(lambda: not (server.data / "jobs" / second / "hooks" / "completed").exists())


def test_a_source_may_be_an_address_which_is_fetched_first(server: Server, expected: bytes) -> None:
    with _hooks() as hooks:
        address = hooks.url.replace("/hook?a=b", "/a/bunny.mp4")
        job = server.ended(server.job({**_INPUT, "source": address})["id"])
    assert job["status"] == "succeeded", job
    assert server.ask("GET", job["output"]).body == expected
    told = events(server.ask("GET", job["urls"]["events"]).body)
    assert [name for _, name, _ in told].count("ended") == 2
