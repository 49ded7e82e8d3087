"""Webhooks: what becomes of a job, sent to an address that its client named.

They are signed as the Standard Webhooks are (`webhook-id`, `-timestamp`, `-signature`), which
Replicate's clients check. What is to be sent lies in the job's folder before what it tells of is
written down, until it is delivered or given up: a kill at any moment forgets none, and one may
come twice, under the same id.

Several receivers are sent to at a time, each one webhook after the other.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr.fetch import Lines
from vsr.jobs.store import atomic_write
from vsr.server.store.jobs import Jobs
from vsr.server.store.records import Job
from vsr.server.tokens import Secret
from vsr.server.work.guarded import connect, ended_after

EVENTS = ("start", "output", "logs", "completed")
_KEPT = ("start", "output", "completed")  # that are tried again
_TRIES = 14
_FIRST, _LONGEST = 2.0, 3600.0  # seconds between tries, doubled each time
_APART = 0.5  # seconds between two `logs` of a job
_PATIENCE = 10.0
_INTERVAL = 0.2
_RECEIVERS = 8  # that are sent to at a time
_OK = range(200, 300)
_REFUSED = frozenset(range(400, 500)) - {408, 429}  # this one, but perhaps no other


@dataclass(frozen=True)
class _Failure:
    """Why a webhook did not arrive. `is_refused`: it did, and was not wanted."""

    text: str
    is_refused: bool = False


@dataclass
class _Waiting:
    """A webhook that is to be sent."""

    job: Job
    event: str
    place: int = 0  # among all, as they came up
    tries: int = 0
    due: float = 0.0  # by the monotonic clock
    holds: bool = False  # the job's later ones back, since nothing gets through

    @property
    def file(self) -> Path:
        """What is left of it by a kill."""
        return self.job.folder / "hooks" / self.event

    @property
    def receiver(self) -> str:
        """Whom it is sent to: a host and its port."""
        address = self.job.request.webhook or ""
        try:
            return urllib.parse.urlsplit(address).netloc.lower()
        except ValueError:  # it cannot be asked, and is no other's
            return address

    @property
    def is_true(self) -> bool:
        """Whether what it tells of is written down; until then it is not sent."""
        state = self.job.state
        if self.event == "start":
            return state.started is not None
        return self.event == "logs" or state.is_ended

    @property
    def is_void(self) -> bool:
        """Whether what it tells of will not happen any more."""
        return self.event == "start" and self.job.state.is_ended and not self.is_true


class Webhooks:
    """Sends webhooks: a thread says which, and some others wait for what receivers answer.

    `shown` makes a job what clients are shown. `near`: hosts that need not be public.
    """

    def __init__(
        self,
        jobs: Jobs,
        secret: Secret,
        near: Sequence[str],
        shown: Callable[[Job], dict[str, Any]],
    ) -> None:
        self._secret, self._shown, self._near = secret, shown, near
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._sending: set[str] = set()  # receivers that are being sent to
        self._served: dict[str, int] = {}  # when each was sent to last, of those that wait
        self._turns, self._places = itertools.count(1), itertools.count()
        self._told: dict[str, float] = {}  # when the last `logs` of a job was sent
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="vsr-webhooks")
        for hook in _left(jobs):
            hook.place = next(self._places)
            self._waiting[hook.job.id, hook.event] = hook

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is not sent is kept."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    @property
    def is_working(self) -> bool:
        """Whether webhooks are sent."""
        return self._thread.is_alive()

    def __len__(self) -> int:
        """Return how many are to be sent."""
        return len(self._waiting)

    def key(self, owner: str) -> str:
        """Return the key that webhooks of an owner's jobs are signed with, as Replicate has it."""
        return "whsec_" + base64.b64encode(self._key(owner)).decode()

    def _key(self, owner: str) -> bytes:
        return self._secret.signed("webhooks", owner)[:24]

    def tell(self, job: Job, event: str) -> None:
        """Have an event of a job sent, if its client wants it. Raises OSError.

        All but `logs` are told before they are true, so that a kill in between leaves none unsent.
        """
        wanted = job.request.webhook_events or EVENTS
        names = ("output", "completed") if event == "completed" else (event,)
        for name in names if job.request.webhook is not None else ():
            if name not in wanted or (name == "output" and "completed" in wanted):
                continue
            if name == "logs":
                if time.monotonic() - self._told.get(job.id, 0.0) < _APART:
                    continue
                self._told[job.id] = time.monotonic()
            hook = _Waiting(job, name)
            if name in _KEPT:
                hook.file.parent.mkdir(exist_ok=True)
                atomic_write.write(hook.file, "")
            with self._lock:
                hook.place = next(self._places)
                self._waiting.setdefault((job.id, name), hook)
        if event == "completed":
            self._told.pop(job.id, None)

    def _work(self) -> None:
        with ThreadPoolExecutor(_RECEIVERS, "vsr-webhook") as senders:
            while not self._stop.is_set():
                for hook in self._next():
                    senders.submit(self._try, hook)
                self._wake.wait(_INTERVAL)
                self._wake.clear()

    def _next(self) -> list[_Waiting]:
        """Return what is to be sent now: the first of each receiver that is not being sent to.

        Those whose last turn is longest ago come first, so that nobody waits behind slow ones.
        """
        now, first = time.monotonic(), dict[str, _Waiting]()
        with self._lock:
            waiting = sorted(self._waiting.values(), key=lambda hook: hook.place)
            held = {hook.job.id: hook.place for hook in reversed(waiting) if hook.holds}
            for hook in waiting:
                is_behind = held.get(hook.job.id, hook.place) < hook.place
                if hook.is_void or (hook.due <= now and hook.is_true and not is_behind):
                    first.setdefault(hook.receiver, hook)
            self._served = {one: self._served.get(one, 0) for one in first.keys() | self._sending}
            free = sorted(
                first.keys() - self._sending, key=lambda one: (self._served[one], first[one].place)
            )
            chosen = free[: _RECEIVERS - len(self._sending)]
            self._sending.update(chosen)
            self._served |= {one: next(self._turns) for one in chosen}
            return [first[one] for one in chosen]

    def _try(self, hook: _Waiting) -> None:
        try:
            if self._stop.is_set():
                return
            if hook.is_void or not hook.job.folder.is_dir():
                self._forget(hook)
            else:
                self._deliver(hook)
        finally:
            with self._lock:
                self._sending.discard(hook.receiver)
            self._wake.set()

    def _deliver(self, hook: _Waiting) -> None:
        failure = self._send(hook)
        hook.tries += 1
        if failure is None or hook.event == "logs":
            self._forget(hook)
        elif hook.tries >= _TRIES:
            text = f"the webhook {hook.event} was given up after {hook.tries} tries: {failure.text}"
            with suppress(OSError):
                hook.job.events.add("log", text=text)
            self._forget(hook)
        else:
            hook.holds = not failure.is_refused
            hook.due = time.monotonic() + min(_FIRST * 2 ** (hook.tries - 1), _LONGEST)

    def _forget(self, hook: _Waiting) -> None:
        with self._lock:
            self._waiting.pop((hook.job.id, hook.event), None)
        if hook.event in _KEPT:
            with suppress(OSError):
                atomic_write.remove(hook.file)

    def _send(self, hook: _Waiting) -> _Failure | None:
        """Send one; returns why it did not arrive."""
        try:
            with ExitStack() as stack:
                status = self._status(hook, stack)
        except Exception as error:  # whatever an address leads to: others are sent, too
            return _Failure(str(error) or type(error).__name__)
        if status in _OK:
            return None
        return _Failure(f"it was answered with {status}", is_refused=status in _REFUSED)

    def _status(self, hook: _Waiting, stack: ExitStack) -> int:
        """Send one; returns the status that it was answered with."""
        job = hook.job
        url = urllib.parse.urlsplit(job.request.webhook or "")
        body = json.dumps(self._shown(job)).encode()
        id, now = f"{job.id}-{hook.event}", str(int(time.time()))
        if hook.event == "logs":
            id += f"-{job.events.size()}"
        signed = hmac.digest(self._key(job.request.owner), f"{id}.{now}.".encode() + body, "sha256")
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "vsr",
            "webhook-id": id,
            "webhook-timestamp": now,
            "webhook-signature": "v1," + base64.b64encode(signed).decode(),
        }

        def connected(host: str, port: int, timeout: float) -> socket.socket:
            line = connect(host, port, self._near, timeout)
            stack.enter_context(ended_after(line, timeout))
            return line

        is_safe = url.scheme == "https"
        opened = Lines(connected).safe if is_safe else Lines(connected).plain
        # Without a port, the last group of an address of IPv6 would be taken for one.
        line = opened(
            url.hostname or "", port=url.port or (443 if is_safe else 80), timeout=_PATIENCE
        )
        stack.callback(line.close)
        target = urllib.parse.urlunsplit(("", "", url.path or "/", url.query, ""))
        line.request("POST", target, body, headers)
        return line.getresponse().status


def _left(jobs: Jobs) -> list[_Waiting]:
    """Return what an earlier server has left, in the order in which it came up."""
    found: list[tuple[float, int, _Waiting]] = []
    for job in jobs:
        for file in (job.folder / "hooks").glob("[a-z]*"):
            if file.name in _KEPT:
                with suppress(OSError):
                    order = file.stat().st_mtime, _KEPT.index(file.name)
                    found.append((*order, _Waiting(job, file.name)))
    return [hook for _, _, hook in sorted(found, key=lambda row: row[:2])]
