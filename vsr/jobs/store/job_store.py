"""A job's folder: what is finished of a film, safe from a kill, a full disk and a second run.

It lies beside the output, named after it, and holds

    job.json        what is made of what: options, source, parts; written once
    lock            held by the process that works on it, as long as that lives
    lease.json      likewise, where several machines share the work
    000041.mkv      a finished segment: it has this name only when it is complete
    000041.json     its record: frames, times, size and sha256

What is finished is what is there with a record that fits. A segment without one, or one that
its record does not describe, is done again; nothing else is kept anywhere about progress.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pwd
import shutil
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vsr.errors import OutputError, UsageError, cause
from vsr.jobs.store import atomic_write, lock
from vsr.jobs.store.lease import Lease, LeaseFile, holder_elsewhere
from vsr.nets.download import sha256

FORMAT = 1
_NAME_BYTES = 255
_TRIES = 10  # a tenth of a second apart, for a lock that is held only to look at it
_OURS = ("[0-9]*", "job.json*", "result.json*", "lease.json*", "work", "lock")


@dataclass(frozen=True, kw_only=True)
class SegmentRecord:
    """One finished segment. Times in ticks of the video's time base, as in the result."""

    frames: int
    first: int
    last: int
    last_duration: int
    bytes: int
    sha256: str
    host: str | None = None  # the machine that made it, where several share the work
    seconds: float | None = None  # that it took there

    def same_as(self, other: SegmentRecord) -> bool:
        """Return whether both describe the same segment, wherever it was made."""
        return dataclasses.replace(other, host=self.host, seconds=self.seconds) == self


class JobLocked(UsageError):
    """Another process works on the job."""


class JobChanged(UsageError):
    """The job was begun with something else."""


def folder_of(output: Path) -> Path:
    """Return where the store of `output` lies."""
    name = f".{output.name}.vsr"
    encoded = os.fsencode(name)
    # ffmpeg-python cannot hold a name that is no text.
    if len(encoded) > _NAME_BYTES or encoded != name.encode(errors="replace"):
        name = f".{hashlib.sha256(os.fsencode(output.name)).hexdigest()[:16]}.vsr"
    return output.absolute().with_name(name)


class JobStore:
    """The folder of one job; a context, in which this process alone works on it.

    Raises OutputError where the disk refuses, Locked where another process is at work.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: int | None = None
        self._held: lock.HeldLock | None = None
        self._lease: Lease | None = None

    @property
    def is_safe(self) -> bool:
        """Whether other machines are kept out, too."""
        return self._held is not None and self._held.everywhere

    def __enter__(self) -> Self:
        try:
            for _ in range(_TRIES):
                if self._take():
                    break
                time.sleep(0.1)
            else:
                process = holder(self.folder) or "another"
                text = f"{self.folder}: process {process} is at work on it already"
                raise JobLocked(text)
            if (other := holder_elsewhere(self._lease_file())) is not None:
                self._close()
                raise JobLocked(f"{self.folder}: {other} is at work on it already")
            return self
        except OSError as error:
            self._close()
            if isinstance(error, OutputError):
                raise
            if (owner := self._owner()) is not None and isinstance(error, PermissionError):
                text = f"{self.folder}: belongs to {owner}; name the result otherwise, or remove it"
                raise OutputError(text) from error
            text = f"{self.folder.parent}: cannot be written to ({cause(error)})"
            raise OutputError(text) from error

    def hold_lease(self) -> Lease:
        """Keep other machines out too, as long as the context lasts; their locks may not reach
        here.
        """
        if self._lease is None:
            self._lease = Lease(self._lease_file())
            self._lease.take()
        return self._lease

    @property
    def is_lost(self) -> bool:
        """Whether another machine has taken this one for dead, and the job over."""
        return self._lease is not None and self._lease.lost

    def check_lease(self) -> None:
        """Leave the job to who has it. Raises JobLocked."""
        if self.is_lost:
            raise JobLocked(f"{self.folder}: another machine has taken the job over")

    def _owner(self) -> str | None:
        """Return who the folder belongs to, if that is somebody else."""
        try:
            user = self.folder.stat().st_uid
            return pwd.getpwuid(user).pw_name if user != os.geteuid() else None
        except OSError:
            return None
        except KeyError:
            return f"user {user}"

    def _take(self) -> bool:
        """Return whether the lock is ours now. Raises OSError."""
        # A link may lead to a folder of the user's, and what is in there is not ours to clear.
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            raise OutputError(f"{self.folder}: is in the way, and is no folder that vsr made")
        try:
            if not self.folder.is_dir():
                atomic_write.make_folder(self.folder)
            self._lock = _open(self.folder, os.O_RDWR | os.O_CREAT)
        except (FileExistsError, FileNotFoundError):
            if not self.folder.parent.is_dir():
                raise
            return False  # another process has just made it, or removed it
        self._held = lock.take(self._lock)
        if self._held is None:
            self._close()
            return False
        # Who held it may have removed it: then it keeps nobody out any more.
        try:
            there = os.stat(self.folder / "lock")  # noqa: PTH116
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(there, os.fstat(self._lock)):
            self._close()
            return False
        with suppress(OSError):  # only told to people; on a full disk it is not
            os.truncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _lease_file(self) -> LeaseFile:
        return LeaseFile(self.folder)

    def _close(self) -> None:
        if self._lease is not None:
            self._lease.close()
            self._lease = None
        if self._held is not None:
            self._held.close()
            self._held = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- the job ---

    def job(self) -> dict[str, Any] | None:
        """Return what `begin` wrote; None where there is nothing that can be read."""
        job = unsealed(self.folder / "job.json")
        # Killed when all was done and half tidied up, only the result tells what was made.
        return job or (unsealed(self.folder / "result.json") or {}).get("job")

    def begin(self, job: Mapping[str, Any]) -> None:
        """Start a job in the empty folder."""
        atomic_write.write(self.folder / "job.json", sealed(job))

    def tell(self, result: Mapping[str, Any]) -> None:
        """Say what the result is, before it gets its name."""
        atomic_write.write(self.folder / "result.json", sealed({**result, "job": self.job()}))

    def result_at(self, output: Path) -> int | None:
        """Return the number of frames, if `output` is already the result that was told of."""
        result = unsealed(self.folder / "result.json")
        try:
            if result is not None and output.stat().st_size == result.get("bytes"):
                return int(result["frames"])
        except OSError:
            pass
        return None

    def delivers_pictures(self) -> bool:
        """Return whether some of the pictures of a pattern may have got their names already."""
        return "pictures" in (unsealed(self.folder / "result.json") or {})

    def clear(self, *, keep: Collection[str] = ()) -> None:
        """Throw away all of ours but `keep`, the job itself first."""
        atomic_write.remove(self.folder / "result.json")
        atomic_write.remove(self.folder / "job.json")
        atomic_write.sync(self.folder)
        self._sweep(("lock", *keep))

    def remove(self) -> None:
        """Remove all of a job that is done, last of all what tells that it is."""
        if self.is_lost:
            return  # it is the other machine's
        if self._lease is not None:
            self._lease.close()  # which would be written again
        last = ("job.json", "lock", "result.json")
        self._sweep(last)
        for name in last:
            atomic_write.remove(self.folder / name)
        with suppress(OSError):  # another process has come to look
            self.folder.rmdir()

    def _sweep(self, keep: Collection[str]) -> None:
        _sweep(self.folder, keep)

    # --- its segments ---

    def segment(self, number: int, suffix: str) -> Path:
        """Return the name of a finished segment."""
        return self.folder / f"{number:06d}{suffix}"

    def unfinished(self, number: int, suffix: str) -> Path:
        """Return the name that a segment is written under."""
        return self.folder / f"{number:06d}.part{suffix}"

    def has_segments(self) -> bool:
        """Return whether any segment with frames in it was ever finished."""
        return _has_segments(self.folder)

    def finish(self, number: int, suffix: str, record: SegmentRecord) -> None:
        """Give a segment its name, and then its record."""
        if record.frames:
            atomic_write.rename(self.unfinished(number, suffix), self.segment(number, suffix))
        atomic_write.write(self._record(number), sealed(asdict(record)))

    def discard(self, numbers: Iterable[int], suffix: str) -> None:
        """Remove what is there of segments that are not finished, their records first."""
        for number in numbers:
            atomic_write.remove(self._record(number))
            atomic_write.remove(self.segment(number, suffix))

    def finished(self, number: int, suffix: str) -> SegmentRecord | None:
        """Return the record of a segment that is there, complete and unchanged; else None."""
        record = record_in(self._record(number))
        if record is None or record.frames == 0:
            return record
        segment = self.segment(number, suffix)
        try:
            whole = segment.stat().st_size == record.bytes and sha256(segment) == record.sha256
        except OSError:
            return None
        return record if whole else None

    def _record(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"


def record_in(path: Path) -> SegmentRecord | None:
    """Return the record that a file holds; None where there is none that can be read."""
    try:
        return SegmentRecord(**(unsealed(path) or {}))
    except TypeError:
        return None


def sealed(data: Mapping[str, Any]) -> str:
    """Return JSON with a hash that tells whether a single byte of it was changed."""
    return json.dumps({"seal": _seal(data), **data}, indent=1)


def unsealed(path: Path) -> dict[str, Any] | None:
    """Return what was sealed; None where it is not there, torn, changed, or something else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        seal = data.pop("seal")
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError):
        return None
    return data if seal == _seal(data) else None


def _seal(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def forget(folder: Path | None) -> bool:
    """Remove a store in which no segment is finished; of a run that ends, or was killed tidying."""
    if folder is None or _has_segments(folder) or holder(folder) not in (None, os.getpid()):
        return False
    with suppress(OSError):
        _sweep(folder, ())
        folder.rmdir()
    return True


def holder(folder: Path) -> int | None:
    """Return the process that works on the job in `folder`; 0: one that cannot be told; None:
    none.
    """
    try:
        number = _open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        held = lock.take(number, shared=True)
        if held is None:
            process = os.read(number, 32).strip()
            return int(process) if process.isdigit() else 0
        held.close()
    except OSError:
        return None
    finally:
        os.close(number)
    return None


def _open(folder: Path, how: int) -> int:
    """Return the lock, and nothing that a link leads to."""
    return os.open(folder / "lock", how | os.O_NOFOLLOW, 0o644)


def _sweep(folder: Path, keep: Collection[str]) -> None:
    """Remove what is ours, and nothing that somebody else put there."""
    for path in {path for names in _OURS for path in folder.glob(names)}:
        if path.name not in keep:
            shutil.rmtree(path) if path.is_dir() else atomic_write.remove(path)


def _has_segments(folder: Path) -> bool:
    """Return whether there is a finished segment that holds anything.

    One that has its name but not yet its record is not: the next run would do it again.
    """
    files = (path for path in folder.glob("[0-9]*") if path.suffix != ".json")
    return any(path.with_suffix(".json").exists() for path in files)
