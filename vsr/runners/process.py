"""A process of ours that is told what to do, and tells what it does, in lines of JSON."""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TextIO

import vsr.errors
from vsr.children import shielded
from vsr.errors import VsrError
from vsr.events import Note, Sink, WarningNote

# It finds what this process found, and nothing that lies in the folder where the user is.
_START = (
    "import sys; name = sys.argv[1]; sys.path[:] = sys.argv[2:]; "
    "import importlib; importlib.import_module(name).main()"
)
Answer = dict[str, Any]


@dataclass(eq=False)
class WorkerProcess:
    """A process that runs `module.main()`, and how many frames it has encoded.

    It gets requests as lines on its standard input, and answers on its standard output.
    """

    module: str
    frames: int = 0  # of the share that it works on
    settled: int = 0  # of the shares that are done
    process: subprocess.Popen[str] = field(init=False)
    _thread: threading.Thread | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        # A group of its own, so that its own children are ended with it.
        with shielded():
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, self.module, *sys.path],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0,
            )  # fmt: skip

    @property
    def total(self) -> int:
        """Frames that it has encoded in all."""
        return self.settled + self.frames

    def listen(self, heard: queue.Queue[tuple[WorkerProcess, Answer]]) -> None:
        """Pass its answers on, from a thread; at last `died`, with its exit code."""
        assert self.process.stdout is not None
        answers = self.process.stdout

        def pass_on() -> None:
            with suppress(ValueError):  # of a line that its end cut short
                for line in answers:
                    heard.put((self, json.loads(line)))
            heard.put((self, {"died": self.process.wait()}))

        self._thread = threading.Thread(target=pass_on, name="vsr-worker", daemon=True)
        self._thread.start()

    def settle(self) -> None:
        """Count a worker's run as done."""
        self.settled, self.frames = self.total, 0

    def end(self) -> None:
        """End it, whatever it does; there is nothing to tidy up."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self._thread is not None:
            self._thread.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def send(self, request: Any) -> None:
        """Tell it something."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # that it died is heard
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()


def pass_on(answer: Mapping[str, Any], sink: Sink) -> bool:
    """Tell `sink` of a note, and raise an error of a worker's; returns whether it was a note."""
    if "note" in answer:
        sink((WarningNote if answer["lost"] else Note)(text=answer["note"]))
        return True
    if "error" in answer:
        kind = getattr(vsr.errors, answer["error"], VsrError)
        raise kind(answer["text"])
    return False


def _end_with_parent() -> None:
    """Ask to be killed with the process that drives this one, or it would go on beside the next
    run.
    """
    death_signal = 1  # PR_SET_PDEATHSIG, of Linux
    ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)


def answers_alone() -> TextIO:
    """Return where answers go; what a library prints must not get between them.

    The process ends with the one that drives it. That may have ended while this one was loaded:
    then it is done.
    """
    _end_with_parent()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody hears any more: no words either
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers
