"""Promise: no receiver of webhooks keeps others from theirs, whatever it is called, and does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vsr.server.refusals import Refused
from vsr.server.store.jobs import Jobs
from vsr.server.store.records import JobRequest
from vsr.server.tokens import Secret
from vsr.server.work import webhooks as module
from vsr.server.work.guarded import checked
from vsr.server.work.webhooks import Webhooks


@contextmanager
def _sending(folder: Path, *addresses: str) -> Iterator[Webhooks]:
    """Send a webhook to each of the addresses, in this order."""
    jobs = Jobs(folder / "jobs")
    near = ("127.0.0.1",)
    found = Webhooks(jobs, Secret.of(folder), near, lambda job: {"id": job.id})
    for n, address in enumerate(addresses):
        request = JobRequest(
            id=f"job{n}", owner="me", task="upscale", input={}, kind="path", source="/a.mkv",
            words=(), base="http://x", created=float(n), webhook=address,
        )  # fmt: skip
        found.tell(jobs.add(request, most=9, free=0)[0], "start")
    found.start()
    try:
        yield found
    finally:
        found.stop()


class _Receiver:
    """Answers with a head that never ends, a byte at a time, until `heard` all; or at once."""

    def __init__(self, drips: bool) -> None:
        self.drips, self.heard, self.over = drips, threading.Event(), threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}/"
        self.thread = threading.Thread(target=self._answer)
        self.thread.start()

    def _answer(self) -> None:
        line, _ = self.socket.accept()
        with line:
            line.recv(65536)
            self.heard.set()
            try:
                line.sendall(b"HTTP/1.1 200 OK\r\n" + (b"X: " if self.drips else b"\r\n"))
                while self.drips and not self.over.wait(0.05):
                    line.sendall(b"a")
            except OSError:
                pass  # it was cut

    def close(self) -> None:
        self.over.set()
        self.thread.join()
        self.socket.close()


@pytest.fixture
def receiver() -> Iterator[_Receiver]:
    found = _Receiver(drips=False)
    yield found
    if not found.heard.is_set():
        socket.create_connection(found.socket.getsockname()).close()
    found.close()


def test_an_address_that_cannot_be_asked_keeps_no_other_from_its_webhook(
    tmp_path: Path, receiver: _Receiver
) -> None:
    wrong = ("http://exa mple.com/", "http://[2606:4700::abcd/", "http://a:b/", "http:///")
    with _sending(tmp_path, *wrong, receiver.address) as webhooks:
        assert receiver.heard.wait(20)
        assert webhooks.is_working


def test_a_receiver_that_answers_a_byte_at_a_time_is_cut(
    tmp_path: Path, receiver: _Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.5)
    slow = _Receiver(drips=True)
    try:
        with _sending(tmp_path, slow.address, receiver.address):
            try:
                assert receiver.heard.wait(20)  # while the other still drips
            finally:
                slow.over.set()
    finally:
        slow.close()


def test_the_port_of_an_address_is_its_schemes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    def answer(host: str, port: int, **more: Any) -> list[Any]:
        asked.append((host, port))
        raise OSError("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    addresses = (
        "http://[2606:4700::1111]/", "https://[2606:4700::1111]/", "http://[2606:4700::abcd]/",
        "http://[2606:4700::1111]:8080/", "https://a.example/",
    )  # fmt: skip
    with _sending(tmp_path, *addresses):
        end = time.monotonic() + 20
        while len(asked) < 5:
            assert time.monotonic() < end, asked
            time.sleep(0.02)
    assert asked[:5] == [
        ("2606:4700::1111", 80), ("2606:4700::1111", 443), ("2606:4700::abcd", 80),
        ("2606:4700::1111", 8080), ("a.example", 443),
    ]  # fmt: skip


def test_a_host_with_a_space_is_refused() -> None:
    with pytest.raises(Refused, match="must be an address"):
        checked("http://exa mple.com/", (), "webhook")
