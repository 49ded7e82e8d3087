"""Ctrl-C and SIGTERM: first a stop that loses as little as possible, then one at once.

A run that keeps what is finished needs no tidying up: it is ended by ending the process,
which no slow network and no blocked disk can delay. Any other run is unwound.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from types import FrameType, TracebackType
from typing import Any, Self

from vsr.errors import Interrupted, Stopped
from vsr.events import Event, Finished, Sink, Started
from vsr.jobs.store import forget

_GRACE = 5.0  # seconds in which the running part may come to its end
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Stopping:
    """A context in which signals stop a run; a sink that knows what runs."""

    def __init__(self, sink: Sink) -> None:
        """All events are handed on to `sink`."""
        self._asked = False
        self._started: Started | None = None
        self._sink = sink
        self._before: dict[int, Any] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._started = event
        elif isinstance(event, Finished):
            self._started = None
        self._sink(event)

    def asked(self) -> bool:
        """Whether the run is to end at the next part."""
        return self._asked

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._started is None or self._started.store is None:
            raise KeyboardInterrupt
        if self._asked:
            self._leave(Interrupted.exit_code)
        self._asked = True
        _say("stopping when this part is done, or in 5 seconds; once more: now")
        signal.signal(signal.SIGALRM, lambda number, frame: self._leave(Stopped.exit_code))
        signal.setitimer(signal.ITIMER_REAL, _GRACE)

    def _leave(self, code: int) -> None:
        assert self._started is not None
        if forget(self._started.store):
            _say("interrupted; nothing was finished yet, and nothing is left behind")
            os._exit(Interrupted.exit_code)
        _say(stopped_line(self._started))
        os._exit(code)

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._signalled) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, Stopped) and self._started is not None:
            error.add_note(stopped_line(self._started))


def stopped_line(started: Started) -> str:
    """How to go on."""
    output = shlex.quote(os.fsdecode(started.output))
    return f"what is finished is kept; go on with the same command, or: vsr jobs resume {output}"


def _say(text: str) -> None:
    sys.stderr.write(f"\nvsr: {text}\n")
    sys.stderr.flush()
