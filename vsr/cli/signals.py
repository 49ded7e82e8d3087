"""What a signal does to the command: it ends in one line and with its code, whenever it comes.

    loading   the line is written and the process left: a library that is being loaded could
              take an exception for a fault of its own (`vsr_cli` begins with this)
    running   KeyboardInterrupt, once, so that what is half-made is removed on the way out; where
              that is swallowed it is raised again, and where it takes too long it is cut short
    ending    how the command ended is being said already: nothing changes that any more

`vsr.cli.graceful_stop` adds what a run needs that keeps what is finished.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

from vsr.children import end_children
from vsr.errors import Interrupted
from vsr.jobs.plan.scratch import held_here

GRACE = 5.0  # seconds in which a run that was told to end may come to its end
_SOON = 0.02  # seconds until an interrupt that was swallowed is raised again
INTERRUPTED = "interrupted; nothing half-made is left, and what earlier runs finished is kept"


def signals() -> tuple[signal.Signals, ...]:
    """Return the signals that end a run, without those that are to be ignored.

    A signal that was ignored when the program began stays ignored, as POSIX has it: `nohup`
    asks for that with SIGHUP, `trap '' INT` and `&` in a script with SIGINT.
    """
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return tuple(number for number in wanted if signal.getsignal(number) != signal.SIG_IGN)


class SignalHandlers:
    """The handlers of a command that runs, and then ends."""

    def __init__(self) -> None:
        self.raised = False  # whether a signal was turned into an exception
        self._ending = False
        self._reports: Any = None

    def start(self) -> None:
        """Turn a signal into an exception from here on."""
        self._reports = sys.unraisablehook
        sys.unraisablehook = self._swallowed
        for number in signals():
            signal.signal(number, self._signalled)

    def end(self) -> None:
        """Ignore signals from here on: how the command ended is being said.

        Unless that takes too long, as on a terminal that was stopped with Ctrl-S.
        """
        self._ending = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in signals():
            signal.signal(number, self._signalled)
        if self._reports is not None:
            sys.unraisablehook = self._reports

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._ending:
            signal.signal(signal.SIGALRM, lambda number, frame: os._exit(Interrupted.exit_code))
            signal.setitimer(signal.ITIMER_REAL, GRACE)
        elif not self.raised:
            self._cut_short_after_a_while()
            self.raised = True
            raise KeyboardInterrupt

    def _swallowed(self, report: Any) -> None:
        """Hear of an exception that came where none can be raised: in a callback of a library."""
        if self.raised and issubclass(report.exc_type, KeyboardInterrupt):
            signal.signal(signal.SIGALRM, self._again)
            signal.setitimer(signal.ITIMER_REAL, _SOON)
        else:
            self._reports(report)

    def _again(self, number: int, frame: FrameType | None) -> None:
        if not self._ending:
            self._cut_short_after_a_while()
            raise KeyboardInterrupt

    def _cut_short_after_a_while(self) -> None:
        signal.signal(signal.SIGALRM, self._cut_short)
        signal.setitimer(signal.ITIMER_REAL, GRACE)

    def _cut_short(self, number: int, frame: FrameType | None) -> None:
        if not self._ending:
            end_children()
            for folder in held_here():
                shutil.rmtree(folder, ignore_errors=True)
            say(INTERRUPTED)
            os._exit(Interrupted.exit_code)


def say(text: str) -> None:
    """Write a line to stderr, at once, wherever the program is."""
    # Not by sys.stderr: the signal may have come while that was being written to.
    with suppress(OSError):  # the terminal may be gone
        os.write(2, f"\nvsr: {text}\n".encode(errors="backslashreplace"))


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether an interrupt came where somebody's tidying up then failed."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None
