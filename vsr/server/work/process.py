"""A job's process: started, found again after a restart, and ended.

It writes its events into the job's event file itself and holds the job's lock as long as it
lives, so it needs no server beside it: one that comes later finds it at work, or finds what it
has left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vsr.jobs.store import lock
from vsr.server.store.records import Job

_GRACE = 8.0  # seconds from being asked to end until being made to
_HIDDEN = ("VSR_SERVER_", "VSR_LOG", "VSR_PROGRESS", "VSR_TOKEN")  # variables of the server's own


@dataclass(frozen=True)
class Command:
    """What is run, and in which folder."""

    words: Sequence[str]
    folder: Path


class JobProcess:
    """The process that works on a job, started by this server or by one before it."""

    def __init__(self, folder: Path, started: subprocess.Popen[bytes] | None = None) -> None:
        self._folder = folder
        self._started = started
        self._asked: float | None = None  # to end, when

    @classmethod
    def start(cls, job: Job, command: Command) -> JobProcess:
        """Start it. Raises OSError, also where one is at work already, and ValueError."""
        number = os.open(job.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            held = lock.take(number)
            if held is None:
                raise BlockingIOError(f"{job.id}: a process is at work on it already")
            with job.events.path.open("ab") as events:
                process = subprocess.Popen(
                    command.words,
                    cwd=command.folder,
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=events,
                    pass_fds=[number],  # and with it the lock
                    start_new_session=True,  # Ctrl-C is for the server
                )
            try:
                os.ftruncate(number, 0)  # the process before may have had a longer number
                os.pwrite(number, f"{process.pid}\n".encode(), 0)
            except OSError:  # nobody would find it again
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
            held.close()
        finally:
            os.close(number)
        return cls(job.folder, process)

    def is_alive(self) -> bool:
        """Return whether it is at work."""
        if self._started is not None:
            return self._started.poll() is None
        try:
            number = os.open(self._folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            held = lock.take(number)
            if held is None:
                return True
            held.close()
            return False
        finally:
            os.close(number)

    def ask(self) -> None:
        """Ask it to end when its segment is done; a while later it is made to."""
        if self._asked is None:
            self._asked = time.monotonic()
            self._send(signal.SIGTERM)
        elif time.monotonic() - self._asked > _GRACE:
            self.kill()

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with suppress(OSError, ValueError):
            started = self._started
            process = started.pid if started else int((self._folder / "lock").read_text())
            if process > 1 and self.is_alive():
                if number == signal.SIGKILL:
                    os.killpg(process, number)
                else:
                    os.kill(process, number)


def vsr(*words: str) -> list[str]:
    """Return the command of vsr itself, which takes no module of the folder that it is run in."""
    return [sys.executable, "-P", "-m", "vsr", *words]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_HIDDEN)}
