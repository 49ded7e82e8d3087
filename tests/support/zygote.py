"""Runs vsr in children that can be killed: a process that has imported everything, and forks.

Starting an interpreter with torch takes seconds; a fork takes none. It reads a request as a
line of JSON and answers with one.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from fractions import Fraction
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import vsr
import vsr.cli.graceful_stop
import vsr.cli.signals
import vsr_cli
from tests.support.commands import load_everything
from vsr.cli import main
from vsr.errors import VsrError
from vsr.events import Event, Note
from vsr.jobs.store import atomic_write

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The files that decide how it ends; by module, so that none can be moved and be left out.
_ENDS = {vars(sys.modules[name])["__file__"] for name in (
    "vsr_cli", "vsr.cli.main", "vsr.cli.signals", "vsr.cli.graceful_stop")}  # fmt: skip
# What of the `os` module the store's disk room calls.
_CALLS = ("open", "close", "write", "fsync", "replace", "mkdir", "unlink")


class Faults:
    """`os`, but the call number `at` kills the process (before or after) or finds a full disk."""

    def __init__(self, at: int | None, kind: str) -> None:
        self.count = 0
        self._at, self._kind = at, kind
        self.trace: list[str] = []

    def wrapped(self) -> SimpleNamespace:
        names = {name: getattr(os, name) for name in dir(os) if not name.startswith("__")}
        return SimpleNamespace(**names | {name: self._wrap(name) for name in _CALLS})

    def _wrap(self, name: str) -> Any:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            here, self.count = self.count == self._at, self.count + 1
            self.trace.append(name)
            if here and self._kind == "before":
                os.kill(0, signal.SIGKILL)
            if here and self._kind == "full" and name in ("open", "write", "fsync", "replace"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            try:
                return real(*arguments, **options)
            finally:
                if here and self._kind == "after":
                    os.kill(0, signal.SIGKILL)

        return call


def _child(request: dict[str, Any], report: Path) -> None:
    os.setsid()  # a kill of the group takes ffmpeg with it
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    faults = Faults(request.get("at"), request.get("kind", ""))
    setattr(atomic_write, "os", faults.wrapped())  # noqa: B010 (the module is typed)
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=request.get("model", "bicubic"), then=request.get("then")),
        size=vsr.SizeOptions(scale=Fraction(request.get("scale", "1"))),
        encode=vsr.EncodeOptions(preset=request.get("preset"), overwrite=False),
        jobs=vsr.JobOptions(segment=request["part"], restart=request.get("restart", False)),
        device=vsr.DeviceOptions(threads=1, reuse=request.get("reuse", "off")),
    )
    notes: list[str] = []

    def sink(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    told: dict[str, Any] = {}
    try:
        told["frames"] = vsr.upscale(
            request["source"], request["output"], options, sink=sink
        ).frames
    except VsrError as error:
        told["error"] = f"{type(error).__name__}: {error}"
    told |= {"notes": notes, "calls": faults.count, "trace": faults.trace}
    report.write_text(json.dumps(told), encoding="utf-8")


class AtALine:
    """Sends this process a signal at line number `at` of those that it runs in the command's files.

    `how`: "raised"; "swallowed": from where no exception can be raised, as in a library's callback.
    """

    def __init__(self, at: int, number: int, how: str) -> None:
        self._left, self._number, self._how = at, number, how

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in _ENDS:
            return None
        if event == "line":
            self._left -= 1
            if self._left == 0:
                self._send()
        return self

    def _send(self) -> None:
        number = self._number
        if self._how != "swallowed":
            os.kill(os.getpid(), number)
            return

        class Deaf:
            def __del__(self) -> None:
                os.kill(os.getpid(), number)

        Deaf()


def _command(request: dict[str, Any], report: Path) -> int:
    """The command line, whose words go into `report`."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 2)
    upscale = [
        "upscale", request["source"], "-o", request["output"], "--model", "bicubic",
        "-s", "1", "--segment", str(request["part"]), "--threads", "1",
    ]  # fmt: skip
    sys.argv = ["vsr", *request.get("arguments", upscale)]

    def begun() -> int:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        if "line" in request:
            sys.settrace(AtALine(request["line"], request["number"], request["how"]))
        return main()

    setattr(vsr.cli, "main", begun)  # noqa: B010 (the module is typed)
    return vsr_cli.main()


def _signalled(request: dict[str, Any]) -> dict[str, Any]:
    """Send `signals`, each after its seconds, to the command; tells how it ended."""
    report = Path(request["report"])
    # This process is no command yet: what comes before it is one waits until it is.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = _command(request, report)
        finally:
            os._exit(code)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    for number, seconds in request["signals"]:
        time.sleep(seconds)
        os.kill(pid, number)  # at worst it is a zombie, until it is waited for
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {"code": code, "err": report.read_text(encoding="utf-8")}


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    if "signals" in request:
        return _signalled(request)
    report = Path(request["report"])
    report.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        try:
            _child(request, report)
        finally:
            os._exit(0)
    deadline = time.monotonic() + request.get("kill_after", 120.0)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() >= deadline:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            break
        time.sleep(0.002)
    return json.loads(report.read_text()) if report.exists() else {"killed": True}


if __name__ == "__main__":
    load_everything()  # before anything is forked
    for line in sys.stdin:
        print(json.dumps(_serve(json.loads(line))), flush=True)
