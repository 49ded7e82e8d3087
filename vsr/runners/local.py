"""Several processes of this machine share a film: one for each GPU, or some on the CPU."""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import vsr.errors
from vsr.children import shielded
from vsr.errors import Stopped, VsrError
from vsr.events import Note, Progress, WarningNote
from vsr.jobs.plan.segments import Segment
from vsr.jobs.run.context import RunContext, Runner
from vsr.jobs.store.job_store import JobStore
from vsr.machine import cores
from vsr.options import DeviceOptions, to_dict

# It finds what this process found, and nothing that lies in the folder where the user is.
_START = "import sys; sys.path[:] = sys.argv[1:]; import vsr.runners.worker as w; w.main()"
_SHARES = 4  # that each worker gets of a film, about; a share is read and piped in one go


def runner_for(options: DeviceOptions) -> Runner | None:
    """Return the runner that the options ask for: this process, or several."""
    return several if _workers(options) > 1 else None


def _workers(options: DeviceOptions) -> int:
    return options.workers or len(options.device.split(","))


def several(run: RunContext, store: JobStore, segments: Sequence[Segment], done: int) -> None:
    """Finish `segments` in `store` with several processes.

    Raises what a worker raised, or VsrError for one that died; what is finished stays so.
    """
    options = run.options.device
    count = min(_workers(options), len(segments))
    size = max(1, -(-len(segments) // (count * _SHARES)))
    shares = [segments[at : at + size] for at in range(0, len(segments), size)]
    devices = options.device.split(",")
    crew: list[_Worker] = []
    try:
        for n in range(count):
            worker = _Worker(_job(run, store, devices[n % len(devices)], count))
            crew.append(worker)
        _drive(crew, shares, run, done)
    finally:
        for worker in crew:
            worker.end()


def _drive(
    crew: Sequence[_Worker], shares: list[Sequence[Segment]], run: RunContext, done: int
) -> None:
    heard: queue.Queue[tuple[_Worker, dict[str, Any]]] = queue.Queue()
    for worker in crew:
        worker.listen(heard)
    waiting, busy = list(shares), len(crew)  # each until it is ready
    while busy:
        worker, answer = heard.get()
        if "frames" in answer:
            worker.frames = answer["frames"]
            run.sink(Progress(frames=done + sum(w.total for w in crew)))
        elif "note" in answer:
            kind_of_note = WarningNote if answer["lost"] else Note
            run.sink(kind_of_note(text=answer["note"]))
        elif "error" in answer:
            kind = getattr(vsr.errors, answer["error"], VsrError)
            raise kind(answer["text"])
        elif "died" in answer:
            raise VsrError(f"a worker ended unexpectedly (exit code {answer['died']})")
        else:  # ready, or a share is done
            busy -= 1
            worker.settle()
            if run.hooks.stop():
                raise Stopped("stopped")
            if waiting:
                worker.ask(waiting.pop(0))
                busy += 1


def _job(run: RunContext, store: JobStore, device: str, count: int) -> dict[str, Any]:
    """Return what a worker is told of the job."""
    given = run.options.device
    threads = given.threads or max(cores() // count, 1)
    # One choice for all of them: where nothing can be remembered, each would try for itself.
    engine = run.engine.pinned_name
    own = dataclasses.replace(given, device=device, workers=None, threads=threads, engine=engine)
    encode = dataclasses.replace(run.options.encode, overwrite=True)  # that was settled before
    source = dataclasses.replace(run.options.source, strict=False)  # so was that
    options = dataclasses.replace(run.options, device=own, source=source, encode=encode)
    copy = run.plan.source.path
    return {
        "source": os.fsdecode(run.path.absolute()),
        "output": os.fsdecode(run.plan.output.path.absolute()),
        "options": to_dict(options),
        "store": os.fsdecode(store.folder),
        "copy": os.fsdecode(copy) if copy.parent.parent == store.folder else None,
    }


@dataclass(eq=False)
class _Worker:
    """A process, and how many frames it has encoded."""

    job: dict[str, Any]
    frames: int = 0  # of the share that it works on
    settled: int = 0  # of the shares that are done
    process: subprocess.Popen[str] = field(init=False)
    _thread: threading.Thread | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        # A group of its own, so that its own children are ended with it.
        with shielded():
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, *sys.path],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0,
            )  # fmt: skip
        self._send(self.job)

    @property
    def total(self) -> int:
        return self.settled + self.frames

    def listen(self, heard: queue.Queue[tuple[_Worker, dict[str, Any]]]) -> None:
        """Pass its answers on, from a thread."""
        assert self.process.stdout is not None
        answers = self.process.stdout

        def pass_on() -> None:
            with suppress(ValueError):  # of a line that its end cut short
                for line in answers:
                    heard.put((self, json.loads(line)))
            heard.put((self, {"died": self.process.wait()}))

        self._thread = threading.Thread(target=pass_on, name="vsr-worker", daemon=True)
        self._thread.start()

    def ask(self, share: Sequence[Segment]) -> None:
        """Give it a share of the segments."""
        self._send([{"number": p.number, **dataclasses.asdict(p.span)} for p in share])

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

    def _send(self, request: Any) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # that it died is heard
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
