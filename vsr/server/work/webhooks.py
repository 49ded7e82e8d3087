"""Webhooks: what becomes of a job, sent to an address that its client named.

They are signed as the Standard Webhooks are (`webhook-id`, `-timestamp`, `-signature`), which
Replicate's clients check. What is to be sent lies in the job's folder until it is delivered or
given up, so a restart forgets none; one may come twice, under the same id.
"""

from __future__ import annotations

import base64
import hmac
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
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
_OK = range(200, 300)


@dataclass
class _Waiting:
    """A webhook that is to be sent."""

    job: Job
    event: str
    tries: int = 0
    due: float = 0.0  # by the monotonic clock

    @property
    def file(self) -> Path:
        """What is left of it by a kill."""
        return self.job.folder / "hooks" / self.event


class Webhooks:
    """Sends webhooks, one after the other, in a thread of its own.

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
        self._told: dict[str, float] = {}  # when the last `logs` of a job was sent
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="vsr-webhooks")
        for job in jobs:
            for file in sorted((job.folder / "hooks").glob("[a-z]*")):
                if file.name in _KEPT:
                    self._waiting[job.id, file.name] = _Waiting(job, file.name)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is not sent is kept."""
        self._stop.set()
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
        """Have an event of a job sent, if its client wants it. Raises OSError."""
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
                self._waiting.setdefault((job.id, name), hook)
        if event == "completed":
            self._told.pop(job.id, None)

    def _work(self) -> None:
        while not self._stop.wait(_INTERVAL):
            now = time.monotonic()
            with self._lock:
                due = [hook for hook in self._waiting.values() if hook.due <= now]
            for hook in due:
                if self._stop.is_set():
                    return
                self._try(hook)

    def _try(self, hook: _Waiting) -> None:
        if hook.event in ("output", "completed") and not hook.job.state.is_ended:
            return  # a kill came before the job's end was written down: that comes first
        if not hook.job.folder.is_dir():
            self._forget(hook)
            return
        said = self._send(hook)
        hook.tries += 1
        if said is None or hook.event == "logs":
            self._forget(hook)
        elif hook.tries >= _TRIES:
            with suppress(OSError):
                text = f"the webhook {hook.event} was given up after {hook.tries} tries: {said}"
                hook.job.events.add("log", text=text)
            self._forget(hook)
        else:
            hook.due = time.monotonic() + min(_FIRST * 2 ** (hook.tries - 1), _LONGEST)

    def _forget(self, hook: _Waiting) -> None:
        with self._lock:
            self._waiting.pop((hook.job.id, hook.event), None)
        if hook.event in _KEPT:
            with suppress(OSError):
                atomic_write.remove(hook.file)

    def _send(self, hook: _Waiting) -> str | None:
        """Send one; returns why it did not arrive."""
        try:
            with ExitStack() as stack:
                status = self._status(hook, stack)
        except Exception as error:  # whatever an address leads to: others are sent, too
            return str(error) or type(error).__name__
        return None if status in _OK else f"it was answered with {status}"

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
