"""Ctrl-C and SIGTERM: first a stop that loses as little as possible, then one at once.

A run that keeps what is finished needs no tidying up: it is ended by ending the process,
which no slow network and no blocked disk can delay. Any other run is unwound.
"""

from __future__ import annotations

import os
import shlex
import signal
import stat
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from vsr.children import end_children
from vsr.cli.signals import GRACE, say, signals
from vsr.errors import Interrupted, Stopped
from vsr.events import Event, Finished, Sink, Started
from vsr.jobs.store.job_store import JobStore, forget

_SAME = 1.0  # seconds in which torchrun hands on the Ctrl-C that its processes had, too


class _Stop:
    """A context in which signals are taken; what they did before comes back unless one came."""

    def __init__(self) -> None:
        self._asked: float | None = None  # when
        self._before: dict[int, Any] = {}

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        raise NotImplementedError

    def _as_before(self, number: int, frame: FrameType | None) -> None:
        before = self._before.get(number)
        if callable(before):  # that of the command: an exception
            before(number, frame)

    def __enter__(self) -> Self:
        for number in signals():
            self._before[number] = signal.getsignal(number)
            signal.signal(number, self._signalled)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._asked is not None:
            return  # what is said now is said, or cut short, as it was begun
        for number, handler in self._before.items():
            signal.signal(number, handler)


class GracefulStop(_Stop):
    """A context in which signals stop a run; a sink that knows what runs."""

    def __init__(self, sink: Sink, address: str | None = None) -> None:
        """Hand all events on to `sink`. `address`: of the result, if that is no file."""
        super().__init__()
        self._address = address
        self._started: Started | None = None
        self._found: tuple[int, ...] | None = None  # what lay at the output's name before
        self._sink = sink

    def __call__(self, event: Event) -> None:
        """Follow what is under way, and hand the event on."""
        if isinstance(event, Started):
            self._started, self._found = event, _identity(event.output)
        elif isinstance(event, Finished):
            self._started = None
        self._sink(event)

    def ended(self) -> None:
        """Forget what was started: it is over, however it ended."""
        self._started = None

    def asked(self) -> bool:
        """Return whether the run is to end at the next segment."""
        return self._asked is not None

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._asked is not None:
            self._leave(Interrupted.exit_code)
            return
        if self._started is None or self._started.store is None:
            self._as_before(number, frame)
            return
        self._asked = time.monotonic()
        say("stopping when this segment is done, or in 5 seconds; once more: now")
        signal.signal(signal.SIGALRM, lambda number, frame: self._leave(Stopped.exit_code))
        signal.setitimer(signal.ITIMER_REAL, GRACE)

    def _leave(self, code: int) -> None:
        started = self._started
        if started is not None and self._is_named(started):
            return  # only tidying up is left, and to say what was made
        end_children()
        # What is finished of an object lies beside it, and not in the folder of its copies.
        if started is not None and self._address is None and forget(started.store):
            say("interrupted; nothing was finished yet, and nothing is left behind")
            os._exit(Interrupted.exit_code)
        say(f"stopped; {stopped_line(started, self._address)}")
        os._exit(code)

    def _is_named(self, started: Started) -> bool:
        """Return whether the complete film has its name; its store may be gone already."""
        if started.store is None:
            return False
        now = _identity(started.output)
        if now is not None and now != self._found:
            return True
        return JobStore(started.store).result_at(started.output) is not None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Stopped):
            error.add_note(stopped_line(self._started, self._address))
        super().__exit__(kind, error, trace)


class StopAtStep(_Stop):
    """A context in which a signal stops a training at its next step, and one more at once."""

    def __init__(self) -> None:
        super().__init__()
        self._stepping = False

    def asked(self) -> bool:
        """Return whether to stop. What asks can: until then, signals do what they did before."""
        self._stepping = True
        return self._asked is not None

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._stepping:
            self._as_before(number, frame)
        elif self._asked is None:
            self._asked = now
            say("stopping when this step is done; once more: now")
        elif now - self._asked > _SAME:
            end_children()
            say("stopped; the same command goes on from the last checkpoint")
            os._exit(Interrupted.exit_code)


def _identity(path: Path) -> tuple[int, ...] | None:
    """Return what tells a file from another that comes in its place; None: there is none."""
    try:
        held = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(held.st_mode):
        return None
    return held.st_dev, held.st_ino, held.st_size, held.st_mtime_ns


def stopped_line(started: Started | None, address: str | None = None) -> str:
    """Return how to go on. `address`: of a result that is no file, which `vsr jobs` knows not."""
    line = "what is finished is kept; go on with the same command"
    if address is not None:
        return f"{line}, here or on another machine"
    if started is None:
        return line
    return f"{line}, or: vsr jobs resume {for_shell(started.output.absolute())}"


def for_shell(path: Path) -> str:
    """Return a name as it can be typed, whatever is in it."""
    name = str(path)
    if name.isprintable():
        return shlex.quote(name)
    special = b"'\\"
    typed = (
        chr(b) if 32 <= b < 127 and b not in special else f"\\{b:03o}" for b in os.fsencode(name)
    )
    return f"$'{''.join(typed)}'"
