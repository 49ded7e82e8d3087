"""The queue: which job is next, on which device, and what came of its process.

One thread looks at all of it a few times a second. Nothing that it knows is needed after a
restart: it is in the jobs' folders, and in the locks that their processes hold.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vsr.media.source.remote import name_of_address
from vsr.server.refusals import Refused
from vsr.server.settings import ServerSettings
from vsr.server.store.jobs import Jobs
from vsr.server.store.records import Job, Status
from vsr.server.store.roots import inside
from vsr.server.store.uploads import Uploads, safe_name
from vsr.server.tokens import Scope
from vsr.server.work import fetched
from vsr.server.work.process import Command, JobProcess, vsr

_INTERVAL = 0.1  # seconds between two looks
_SWEEP = 60.0
_LATER = 5.0  # seconds until a job is tried again that no process could be had for
_TRIES = 3  # that come no further than the one before
_STOPPED = (6, 130)  # exit codes of what goes on by the same command
_EVERYTHING = Scope(name="", all=True)
PAGE = "preview.html"


@dataclass
class Progress:
    """What the process of a job has told so far."""

    frames: int | None = None
    total: int | None = None
    seconds_left: float | None = None
    exit_code: int | None = None
    text: str | None = None

    def hear(self, event: dict[str, Any]) -> None:
        """Take an event in."""
        kind = event.get("event")
        if kind in ("started", "progress"):
            self.total = event.get("total" if kind == "progress" else "frames") or self.total
        if kind in ("finished", "progress"):
            self.frames = event.get("frames", self.frames)
            self.seconds_left = event.get("seconds_left")
        if kind == "ended":
            self.exit_code, self.text = event.get("exit_code"), event.get("text")


@dataclass
class Running:
    """A job that a process works on."""

    job: Job
    device: str
    process: JobProcess
    place: int  # in the event file, up to which is read
    progress: Progress = field(default_factory=Progress)

    def listen(self) -> bool:
        """Read what is new; returns whether anything was."""
        events, place = self.job.events.read(self.place)
        for event in events:
            self.progress.hear(event.data)
        is_new, self.place = place != self.place, place
        return is_new


class Queue:
    """Works on the jobs of a server. `tell` hears of a job that has begun, told or ended."""

    def __init__(
        self,
        settings: ServerSettings,
        jobs: Jobs,
        uploads: Uploads,
        tell: Callable[[Job, str], None] = lambda job, event: None,
    ) -> None:
        self._settings, self._jobs, self._uploads, self._tell = settings, jobs, uploads, tell
        self._running: dict[str, Running] = {}
        self._later: dict[str, float] = {}  # jobs that are not to be tried until then
        self._unsaid: dict[str, Job] = {}  # that have ended, and whose events do not say so
        self._stop, self._wake = threading.Event(), threading.Event()
        self._swept = 0.0
        self._thread = threading.Thread(target=self._work, name="vsr-queue")

    def start(self) -> None:
        """Begin to work; takes up what an earlier server has left."""
        for job in self._jobs:
            process = JobProcess(job.folder)
            # One that has ended is read, too, and one whose job was canceled is ended.
            if job.state.status == "processing" or process.is_alive():
                device = job.state.device or self._settings.devices[0]
                self._running[job.id] = Running(job, device, process, job.state.offset)
            if job.state.is_ended and not _is_said(job):
                self._unsaid[job.id] = job
        self._thread.start()

    def stop(self) -> None:
        """End: jobs stop when their segment is done, and go on with the next server."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    @property
    def is_working(self) -> bool:
        """Whether jobs are begun and followed."""
        return self._thread.is_alive()

    @property
    def busy(self) -> int:
        """The number of jobs that are worked on."""
        return len(self._running)

    def wake(self) -> None:
        """Look again at once: there is a new job, or one less."""
        self._wake.set()

    def progress(self, job: Job) -> Progress | None:
        """Return how far a job is that a process works on; None where none does."""
        running = self._running.get(job.id)
        return running.progress if running is not None else None

    def source(self, job: Job) -> Path | None:
        """Return what a job is made of; None: it is to be fetched first. Raises Refused."""
        asked = job.request
        if asked.kind == "path":  # looked at again: a link may have taken its place
            return inside(asked.source, self._settings.roots)
        if asked.kind == "upload":
            return self._uploads.find(asked.source, _EVERYTHING).path
        target = _fetched(job)
        return target if target is not None and target.exists() else None

    def cancel(self, job: Job) -> None:
        """End a job for good, if it has not ended; what is finished of it is removed."""
        with self._jobs.lock:
            if not job.state.is_ended:
                self._end(job, "canceled")
        self.wake()

    # --- the thread ---

    def _work(self) -> None:
        while not self._stop.is_set():
            with suppress(OSError):  # a disk that is full now may have room later
                self._look()
            self._wake.wait(_INTERVAL)
            self._wake.clear()
        while any(running.process.is_alive() for running in self._running.values()):
            for running in self._running.values():
                running.process.ask()
            time.sleep(_INTERVAL)

    def _look(self) -> None:
        now = time.time()
        for running in list(self._running.values()):
            with self._alone(running.job):
                self._follow(running)
        for job in self._jobs:
            deadline = job.request.deadline
            if deadline is not None and deadline < now and not job.state.is_ended:
                with self._alone(job), self._jobs.lock:
                    waits = job.state.status == "starting" and job.state.started is None
                    if not job.state.is_ended:
                        self._end(
                            job, "aborted" if waits else "canceled", "its deadline has passed"
                        )
        self._begin()
        for job in list(self._unsaid.values()):
            with self._alone(job), self._jobs.lock:
                if job.id in self._unsaid:
                    self._say_end(job)
        if now - self._swept > _SWEEP:
            self._swept = now
            self._sweep()

    @contextmanager
    def _alone(self, job: Job) -> Iterator[None]:
        """Keep what goes wrong with one job from all others."""
        try:
            yield
        except OSError:
            pass  # a disk that is full now may have room later
        except Exception as error:
            with suppress(OSError), self._jobs.lock:
                if not job.state.is_ended:
                    self._end(job, "failed", f"internal error: {error!r}")

    def _follow(self, running: Running) -> None:
        job = running.job
        is_alive = running.process.is_alive()  # asked first: what it told then is all
        if running.listen():
            while running.listen():
                pass
            self._tell(job, "logs")
        if job.state.is_ended:  # canceled
            running.process.kill()
        if is_alive:
            return
        with self._jobs.lock:
            if not job.state.is_ended:
                self._judge(job, running.progress)  # again, if it cannot be written down now
            del self._running[job.id]
            if job.state.is_ended and job.state.status != "succeeded":
                shutil.rmtree(job.out, ignore_errors=True)

    def _judge(self, job: Job, told: Progress) -> None:
        """Decide what came of a process that has ended."""
        seconds = job.state.seconds + max(time.time() - (job.state.begun or time.time()), 0)
        source = _fetched(job)
        if source is not None and not source.exists() and told.exit_code not in (None, 0):
            self._end(job, "failed", told.text, seconds=seconds)
        elif (result := job.result) is not None and told.exit_code in (None, 0, *_STOPPED):
            size = result.stat().st_size
            self._end(
                job, "succeeded", seconds=seconds, output=result.name, bytes=size,
                frames=told.frames,
            )  # fmt: skip
        elif told.exit_code in (None, *_STOPPED) or (source is not None and told.exit_code == 0):
            # Killed, stopped, or fetched: the same command goes on.
            reached = max(told.frames or 0, job.state.reached)
            further = reached > job.state.reached or told.exit_code == 0
            tries = 0 if further or told.exit_code in _STOPPED else job.state.tries + 1
            if tries >= _TRIES:
                text = (
                    f"its process was ended {tries} times without a word; is there memory for it?"
                )
                self._end(job, "failed", text, seconds=seconds)
                return
            job.change(status="starting", tries=tries, reached=reached, seconds=seconds)
            with suppress(OSError):
                job.events.add("status", status="starting")
        else:
            self._end(job, "failed", told.text or "failed", seconds=seconds)

    def _end(self, job: Job, status: Status, error: str | None = None, **changes: Any) -> None:
        self._tell(job, "completed")  # first, so that a kill in between leaves no job untold
        job.change(status=status, completed=time.time(), error=error, **changes)
        self._unsaid[job.id] = job
        with suppress(OSError):  # or later
            self._say_end(job)
        if status != "succeeded" and job.id not in self._running:
            shutil.rmtree(job.out, ignore_errors=True)

    def _say_end(self, job: Job) -> None:
        """Add the last of a job's events. Raises OSError."""
        if job.folder.is_dir():
            job.events.add("status", status=job.state.status, error=job.state.error)
        self._unsaid.pop(job.id, None)

    def _begin(self) -> None:
        taken = [running.device for running in self._running.values()]
        free = list(self._settings.devices)
        for device in taken:
            with suppress(ValueError):
                free.remove(device)
        now = time.monotonic()
        waiting = self._jobs.waiting() if free else []
        for job in [job for job in waiting if self._later.get(job.id, now) <= now]:
            if not free:
                break
            with self._alone(job), self._jobs.lock:
                if job.state.status != "starting" or self._stop.is_set():
                    continue
                self._later.pop(job.id, None)
                try:
                    self._start(job, free[0])
                except Refused as error:
                    self._end(job, "failed", error.text)
                except (OSError, ValueError) as error:
                    if isinstance(error, ValueError) or error.errno == errno.E2BIG:
                        self._end(job, "failed", f"its command cannot be run: {error}")
                    else:  # no process can be had now, or its disk is full
                        self._later[job.id] = now + _LATER
                else:
                    free.pop(0)

    def _start(self, job: Job, device: str) -> None:
        command = self._command(job, device)
        is_first = job.state.started is None
        now, place, before = time.time(), job.events.size(), job.state
        try:
            if is_first:
                self._tell(job, "start")  # first, as at its end
            job.change(
                status="processing", started=before.started or now, begun=now, device=device,
                offset=place,
            )  # fmt: skip
            job.events.add("status", status="processing")
            process = JobProcess.start(job, command)
        except OSError:
            job.state = before  # also where the disk does not take it
            with suppress(OSError):
                job.change()
            raise
        self._running[job.id] = Running(job, device, process, place)

    def _command(self, job: Job, device: str) -> Command:
        asked = job.request
        source = self.source(job)
        if source is None:
            target = _fetched(job)
            assert target is not None
            target.parent.mkdir(exist_ok=True)
            limits = self._settings.limits
            words = fetched.command(asked.source, target, limits.upload, self._settings.near)
            return Command(words, job.folder)
        job.out.mkdir(exist_ok=True)
        named = job.out / (PAGE if asked.task == "preview" else asked.output or "")
        output = str(named) if named != job.out else f"{job.out}/"
        # What is complete already has been found: a name that is there is of a try that was killed.
        words = [*asked.words, "--device", device, "--progress", "json"]
        if asked.task == "preview":  # whose page has the command in it, and no folder of ours
            words = [os.path.relpath(w, source.parent) if w.startswith("/") else w for w in words]
            name = f"./{source.name}" if source.name.startswith("-") else source.name
            return Command(vsr("preview", name, "-o", output, *words), source.parent)
        return Command(vsr(asked.task, str(source), "-o", output, *words), job.folder)

    def _sweep(self) -> None:
        limits = self._settings.limits
        self._jobs.sweep(limits.keep)
        used = {job.request.source for job in self._jobs if not job.state.is_ended}
        self._uploads.sweep(limits.keep_uploads, used)


def _is_said(job: Job) -> bool:
    """Return whether the events of a job that has ended say so."""
    return any(
        event.name == "status" and event.data.get("status") == job.state.status
        for event in job.events.last()
    )


def _fetched(job: Job) -> Path | None:
    """Return where a source lies that is fetched from an address."""
    if job.request.kind != "url":
        return None
    return job.folder / "source" / safe_name(name_of_address(job.request.source))
