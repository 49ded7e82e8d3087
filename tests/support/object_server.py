"""An S3-like store on this machine (moto), which may fail as stores do.

    python -m tests.support.object_server FAULT

FAULT: none; errors (a request in five gets a 500, and nothing is done); slow (0.2 s for each); lost
(a write in three is done and answered with a 500); small
(a request and an answer of more than 9 MiB are refused). Prints its address; ends with its input.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BUCKET = "films"
_MOST = 9 << 20


class _Faulty:
    """A WSGI application in front of another one."""

    def __init__(self, inner: Callable[..., Iterable[bytes]], fault: str) -> None:
        self._inner, self._fault = inner, fault
        self._requests, self._writes = count(1), count(1)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if self._fault == "slow":
            time.sleep(0.2)
        if self._fault == "errors" and next(self._requests) % 5 == 0:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return _failed(start)
        if self._fault == "lost" and environ["REQUEST_METHOD"] == "PUT":
            answer = list(self._inner(environ, lambda *_: None))
            if next(self._writes) % 3 == 0:
                return _failed(start)
            start(*environ["vsr.answer"])
            return answer
        if self._fault == "small":
            length = int(environ.get("CONTENT_LENGTH") or 0)
            if length > _MOST:
                environ["wsgi.input"].read(length)
                return _failed(start)
            answer = list(self._inner(environ, lambda *_: None))
            if sum(map(len, answer)) > _MOST:
                return _failed(start)
            start(*environ["vsr.answer"])
            return answer
        return self._inner(environ, start)


def _failed(start: Callable[..., Any]) -> Iterable[bytes]:
    start("500 Internal Server Error", [("Content-Type", "text/xml"), ("Content-Length", "0")])
    return [b""]


def main() -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    inner = DomainDispatcherApplication(create_backend_app)

    def told(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        def keep(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            environ["vsr.answer"] = (status, headers)
            return start(status, headers, *more)

        answer: Iterable[bytes] = inner(environ, keep)
        return answer

    server = make_server("127.0.0.1", 0, _Faulty(told, sys.argv[1]), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


@contextmanager
def object_server(fault: str = "none") -> Iterator[dict[str, str]]:
    """Serve a bucket; yields the environment in which it is S3."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.object_server", fault], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = f"http://127.0.0.1:{int(process.stdout.readline())}"
            environment = {
                "AWS_ENDPOINT_URL": address, "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "very-secret",
            }  # fmt: skip
            _make_bucket(address)
            yield environment
        finally:
            process.stdin.close()
            process.wait()


def _make_bucket(address: str) -> None:
    import urllib.error
    import urllib.request

    for _ in range(10):
        request = urllib.request.Request(f"{address}/{BUCKET}", method="PUT")
        try:
            with urllib.request.urlopen(request):
                return
        except urllib.error.HTTPError:
            continue
    raise AssertionError("no bucket")


if __name__ == "__main__":
    main()
