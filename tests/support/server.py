"""A `vsr serve` of its own for tests, and requests to it by the standard library."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LONGEST = 120.0  # seconds
ENDED = {"succeeded", "failed", "canceled", "aborted"}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in small letters
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A server in a process of its own; `folder` has its `data` and its `roots`."""

    folder: Path
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[str] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def roots(self) -> Path:
        return self.folder / "roots"

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, on the port that it had before."""
        self.roots.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "VSR_CONFIG": str(self.folder / "config"),
            **self.environment,
        }
        words = ["--port", str(self.port), "--data", str(self.data), "--root", str(self.roots)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vsr", "serve", *words, "--free-disk", "0.01", *self.arguments],
            env=environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "listening on" in line, line + self.process.stderr.read()
        self.port = int(line.rpartition(":")[2])

    def kill(self) -> None:
        """End it as a power cut would, but not its jobs."""
        assert self.process is not None
        self.process.kill()
        self._wait()

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._wait()

    def _wait(self) -> int:
        assert self.process is not None
        assert self.process.stderr is not None
        code = self.process.wait(60)
        self.process.stderr.close()
        return code

    def ask(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request; `data` goes as JSON, `body` as it is. `path`: or a whole address."""
        target = urllib.parse.urlsplit(path)
        path = target._replace(scheme="", netloc="").geturl() if target.netloc else path
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_LONGEST)
        sent = dict(headers or {})
        if data is not None:
            body = json.dumps(data).encode()
            sent.setdefault("Content-Type", "application/json")
        try:
            line.request(method, path, body, sent)
            answer = line.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, told, answer.read())
        finally:
            line.close()

    def job(self, input: Mapping[str, Any], **more: Any) -> Any:
        """Take a job on; returns it."""
        answer = self.ask("POST", "/v1/jobs", {"input": input, **more})
        assert answer.status == 201, answer.body
        return answer.json

    def ended(self, id: str, headers: Mapping[str, str] | None = None) -> Any:
        """Return a job when it has ended."""
        return self.wait(id, lambda job: job["status"] in ENDED, headers)

    def wait(self, id: str, until: Any, headers: Mapping[str, str] | None = None) -> Any:
        """Return a job when `until` is true of it."""
        end = time.monotonic() + _LONGEST
        while True:
            job = self.ask("GET", f"/v1/jobs/{id}", headers=headers).json
            if until(job):
                return job
            assert time.monotonic() < end, job
            time.sleep(0.1)


@contextmanager
def serving(folder: Path, *arguments: str, **environment: str) -> Iterator[Server]:
    """Run a server; whatever is left of it is ended."""
    server = Server(folder, arguments, environment)
    server.start()
    try:
        yield server
    finally:
        assert server.process is not None
        if server.process.poll() is None:
            server.stop()


def events(stream: bytes) -> list[tuple[str, str, Any]]:
    """Return the events of a stream: id, name and data."""
    found = []
    for block in stream.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["id"], fields["event"], fields.get("data", "")))
    return found
