"""Starting other programs, which end when this one says so and not by signals meant for it.

Ctrl-C in a terminal goes to each process in it, and what ends a service or a batch job signals
all that belong to it. A child that obeyed would look like one that failed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_MEANT_FOR_US = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


@contextmanager
def shielded(*, but: Sequence[signal.Signals] = ()) -> Iterator[None]:
    """Start a process within this context: the signals that end us do not reach it.

    They are blocked in it from its first instruction on, and by this thread while it starts.
    SIGKILL always ends it, and a signal in `but`, for those that are asked to finish.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set(_MEANT_FOR_US) - set(but))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_children() -> None:
    """Kill all processes that this one has started, where the system tells which these are."""
    for told in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            for number in told.read_text().split():
                with suppress(OSError):
                    os.kill(int(number), signal.SIGKILL)
