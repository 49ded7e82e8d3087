"""All jobs of a server: the folders on the disk, and an index of them in memory."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vsr.server.refusals import Refused, not_found
from vsr.server.store.records import Job, JobRequest, Unreadable, free_disk
from vsr.server.tokens import Scope

_GONE = re.compile(r"\.[a-z0-9][a-z0-9_-]{0,62}\.gone")  # a job that was being removed


class Jobs:
    """The jobs in a folder; each change is on the disk before it is told.

    `lock` is held by whoever changes a job. What lies in the folder and is no job that can be
    read is left alone: it may be somebody else's, or a newer release's. `unreadable` has those
    that are jobs, by their folders' names, and why they cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        self._jobs: dict[str, Job] = {}
        self.unreadable: dict[str, str] = {}
        for path, found in _read(folder):
            if isinstance(found, Job):
                self._jobs[found.id] = found
            elif found is not None:
                self.unreadable[path.name] = str(found)
            elif not path.is_symlink() and _is_remnant(path):
                shutil.rmtree(path, ignore_errors=True)

    def __iter__(self) -> Iterator[Job]:
        with self.lock:
            return iter(list(self._jobs.values()))

    def find(self, id: str, scope: Scope) -> Job:
        """Return a job that `scope` sees. Raises Refused."""
        job = self._jobs.get(id)
        if job is None or not scope.sees(job.request.owner):
            raise not_found("job")
        return job

    def waiting(self) -> list[Job]:
        """Return the jobs that wait, the next one first."""
        found = [job for job in self if job.state.status == "starting"]
        return sorted(found, key=_rank)

    def page(
        self, scope: Scope, *, before: tuple[float, str] | None, most: int
    ) -> tuple[list[Job], tuple[float, str] | None]:
        """Return jobs that `scope` sees, the newest first, and where the next page begins."""
        found = sorted(
            ((job.request.created, job.id, job) for job in self if scope.sees(job.request.owner)),
            key=lambda row: row[:2],
            reverse=True,
        )
        rest = [row for row in found if before is None or row[:2] < before]
        last = rest[most - 1][:2] if len(rest) > most else None
        return [job for _, _, job in rest[:most]], last

    def add(self, request: JobRequest, *, most: int, free: int) -> tuple[Job, bool]:
        """Take a job on; returns it, and whether it is new: the same one twice is one.

        `most` jobs wait at a time, and `free` bytes are left. Raises Refused.
        """
        with self.lock:
            if (known := self._jobs.get(request.id)) is not None:
                if _asked(known.request) != _asked(request):
                    raise Refused(409, "there is another job of that id")
                return known, False
            if len(self.waiting()) >= most:
                raise Refused(429, f"{most} jobs wait already", {"Retry-After": "60"})
            if free_disk(self.folder) < free:
                raise Refused(507, "there is no room for another job")
            try:
                job = Job.made(self.folder / request.id, request)
            except FileExistsError as error:
                raise Refused(409, "that id is taken by what is no job") from error
            except OSError as error:
                shutil.rmtree(self.folder / request.id, ignore_errors=True)
                raise Refused(507, "the job cannot be written down") from error
            self._jobs[job.id] = job
            job.events.add("status", status="starting")
            return job, True

    def remove(self, job: Job) -> None:
        """Forget a job that has ended, and remove all of it."""
        with self.lock:
            self._jobs.pop(job.id, None)
            # First the name goes, in one step: what is left after a kill is no job.
            gone = job.folder.with_name(f".{job.id}.gone")
            with suppress(OSError):
                job.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def sweep(self, age: float) -> list[Job]:
        """Remove the jobs that ended longer than `age` seconds ago; returns them."""
        oldest = time.time() - age
        old = [job for job in self if job.state.is_ended and (job.state.completed or 0) < oldest]
        for job in old:
            self.remove(job)
        return old


def unreadable(folder: Path) -> dict[str, str]:
    """Return the jobs of a server that cannot be read, as `Jobs` has them; changes nothing."""
    try:
        return {path.name: str(found) for path, found in _read(folder)
                if isinstance(found, Unreadable)}  # fmt: skip
    except OSError:
        return {}


def _read(folder: Path) -> Iterator[tuple[Path, Job | Unreadable | None]]:
    """Yield the folders in `folder`, each with its job. Raises OSError."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not _GONE.fullmatch(path.name):
            try:
                yield path, Job.read(path)
            except Unreadable as error:
                yield path, error
        elif path.is_dir():
            yield path, None


def _is_remnant(folder: Path) -> bool:
    """Return whether a kill has left a folder as a job was written down, or removed."""
    if _GONE.fullmatch(folder.name):
        return True
    try:
        return {path.name for path in folder.iterdir()} <= {"request.json.part"}
    except OSError:
        return False


def _rank(job: Job) -> tuple[int, bool, float, str]:
    asked = job.request
    return -asked.priority, asked.task != "preview", asked.created, asked.id


def _asked(request: JobRequest) -> tuple[object, ...]:
    return (request.owner, request.task, request.input, request.priority, request.webhook)
