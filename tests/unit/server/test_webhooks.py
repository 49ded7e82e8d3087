"""Promise: no receiver of webhooks keeps others from theirs, whatever it is called, and does, and
each gets its own in order, with none that a kill has lost.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vsr.server.refusals import Refused
from vsr.server.store.jobs import Jobs
from vsr.server.store.records import Job, JobRequest
from vsr.server.tokens import Secret
from vsr.server.work import webhooks as module
from vsr.server.work.guarded import checked
from vsr.server.work.webhooks import Webhooks


def _job(jobs: Jobs, n: int, address: str) -> Job:
    request = JobRequest(
        id=f"job{n}", owner="me", task="upscale", input={}, kind="path", source="/a.mkv",
        words=(), base="http://x", created=float(n), webhook=address,
        webhook_events=("start", "completed"),
    )  # fmt: skip
    return jobs.add(request, most=99, free=0)[0]


def _webhooks(folder: Path, jobs: Jobs) -> Webhooks:
    return Webhooks(jobs, Secret.of(folder), ("127.0.0.1",), lambda job: {"id": job.id})


@contextmanager
def _started(webhooks: Webhooks) -> Iterator[Webhooks]:
    webhooks.start()
    try:
        yield webhooks
    finally:
        webhooks.stop()


def _told(folder: Path, *addresses: str) -> Webhooks:
    """Return webhooks that are to send each address the `start` of its own job, in this order."""
    jobs = Jobs(folder / "jobs")
    found = _webhooks(folder, jobs)
    for n, address in enumerate(addresses):
        job = _job(jobs, n, address)
        found.tell(job, "start")
        job.change(status="processing", started=1.0)
    return found


@contextmanager
def _sending(folder: Path, *addresses: str) -> Iterator[Webhooks]:
    """Send them."""
    with _started(_told(folder, *addresses)) as found:
        yield found


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


class _Network:
    """What takes webhooks in the place of the network: each has to wait until it is `open`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.answers: dict[str, list[int]] = {}  # by event, then 200
        self.heard: list[str] = []  # `job0-start`
        self.active: list[str] = []  # receivers that are being sent to
        self.most = 0
        self.slow = ""  # receivers that are called so do not answer
        self.lock = threading.Lock()
        monkeypatch.setattr(Webhooks, "_status", lambda _, hook, stack: self.status(hook))

    def status(self, hook: Any) -> int:
        with self.lock:
            assert hook.receiver not in self.active
            self.active.append(hook.receiver)
            self.most = max(self.most, len(self.active))
        if not self.slow or self.slow in hook.receiver:
            self.open.wait(20)
        with self.lock:
            self.active.remove(hook.receiver)
            self.heard.append(f"{hook.job.id}-{hook.event}")
            answers = self.answers.get(hook.event)
            return answers.pop(0) if answers else 200


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> _Network:
    return _Network(monkeypatch)


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
    monkeypatch.setattr(module, "_RECEIVERS", 1)
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
    assert sorted(asked[:5]) == [
        ("2606:4700::1111", 80), ("2606:4700::1111", 443), ("2606:4700::1111", 8080),
        ("2606:4700::abcd", 80), ("a.example", 443),
    ]  # fmt: skip


def test_a_host_with_a_space_is_refused() -> None:
    with pytest.raises(Refused, match="must be an address"):
        checked("http://exa mple.com/", (), "webhook")


def test_slow_receivers_keep_no_other_from_its_webhook(tmp_path: Path, network: _Network) -> None:
    network.slow = "slow"
    slow = [f"http://slow{n % 5}.example/" for n in range(20)]
    with _sending(tmp_path, *slow, "http://fast.example/"):
        _until(lambda: network.heard == ["job20-start"])
        assert sorted(network.active) == [f"slow{n}.example" for n in range(5)]
        network.open.set()


def test_so_many_receivers_are_sent_to_at_a_time(
    tmp_path: Path, network: _Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RECEIVERS", 2)
    with _sending(tmp_path, *(f"http://{n % 4}.example/" for n in range(12))):
        _until(lambda: len(network.active) == 2)
        network.open.set()
        _until(lambda: len(network.heard) == 12)
    assert network.most == 2


def test_a_receiver_that_waits_comes_before_those_that_had_their_turn(
    tmp_path: Path, network: _Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RECEIVERS", 2)
    network.open.set()
    addresses = [f"http://{n % 2}.example/" for n in range(20)]
    found = _told(tmp_path, *addresses, "http://third.example/")
    turns = []
    for _ in range(2):
        now = found._next()
        turns.append([hook.receiver for hook in now])
        assert found._next() == []  # as long as these are being sent to
        for hook in now:
            found._try(hook)
    assert turns == [["0.example", "1.example"], ["third.example", "0.example"]]


def test_a_receiver_gets_its_webhooks_in_order_also_after_a_restart(
    tmp_path: Path, network: _Network
) -> None:
    jobs = Jobs(tmp_path / "jobs")
    told = _webhooks(tmp_path, jobs)
    mine = [_job(jobs, n, f"http://one.example/{n}") for n in (2, 0, 1)]
    for job in mine:
        for event in ("start", "completed"):
            told.tell(job, event)
            time.sleep(0.02)  # a file's time has a grain
        job.change(status="succeeded", started=1.0, completed=2.0)
    network.open.set()
    with _started(_webhooks(tmp_path, Jobs(tmp_path / "jobs"))) as left:
        _until(lambda: not len(left))
    assert network.heard == [f"job{n}-{e}" for n in (2, 0, 1) for e in ("start", "completed")]


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        (503, ["start", "start", "completed"]),  # it is away, and then it is back
        (404, ["start", "completed", "start"]),  # it wants none of these
    ],
)
def test_what_is_not_taken_holds_the_jobs_later_ones_back_but_what_is_refused_does_not(
    tmp_path: Path, network: _Network, answer: int, heard: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "_FIRST", 1.0)
    network.answers["start"] = [answer]
    network.open.set()
    jobs = Jobs(tmp_path / "jobs")
    webhooks, job = _webhooks(tmp_path, jobs), _job(jobs, 0, "http://one.example/")
    webhooks.tell(job, "start")
    webhooks.tell(job, "completed")
    job.change(status="succeeded", started=1.0, completed=2.0)
    with _started(webhooks):
        _until(lambda: not len(webhooks))
    assert network.heard == [f"job0-{event}" for event in heard]


def test_a_webhook_is_sent_only_when_what_it_tells_of_is_written_down(
    tmp_path: Path, network: _Network
) -> None:
    network.open.set()
    jobs = Jobs(tmp_path / "jobs")
    first, second = (_job(jobs, n, f"http://{n}.example/") for n in (0, 1))
    before = _webhooks(tmp_path, jobs)
    before.tell(first, "start")  # and a kill comes
    before.tell(second, "start")
    with _started(_webhooks(tmp_path, jobs)) as webhooks:
        second.change(status="aborted", completed=1.0)  # it never began
        _until(lambda: len(webhooks) == 1)
        assert not network.heard
        first.change(status="processing", started=1.0)
        _until(lambda: network.heard == ["job0-start"])
    assert not (second.folder / "hooks" / "start").exists()
