"""A job's store in an object store such as S3, and a result there.

What is finished lies there, under the names that it has in a folder; here are copies. An object
appears whole or not at all, and with a condition only if none was there: that is the commit, and
the lock of a lease, in one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from vsr.errors import OutputError, OutputExists
from vsr.jobs.store import atomic_write
from vsr.jobs.store.job_store import (
    SegmentRecord,
    folder_of,
    sealed,
    unsealed,
)
from vsr.jobs.store.lease import NAME, LeaseFile
from vsr.jobs.store.shared_store import SharedJobStore
from vsr.nets.download import sha256
from vsr.objects import Objects, cache_folder, split


class ObjectJobStore(SharedJobStore):
    """The store of a job whose segments lie at `address`; `folder` has copies of them."""

    def __init__(
        self,
        folder: Path,
        address: str,
        committed: Callable[[int, SegmentRecord, bool], None] = lambda *_: None,
        *,
        strict: bool = True,
    ) -> None:
        super().__init__(folder, committed, strict=strict)
        self.objects = Objects(address)

    def __enter__(self) -> Self:
        """Keep other machines out, too: the lock of the copies is this machine's alone."""
        super().__enter__()
        try:
            self.hold_lease()
        except OSError as error:
            self._close()
            raise OutputError(str(error)) from error
        return self

    def _lease_file(self) -> LeaseFile:
        return _LeaseObject(self.objects)

    # --- the job ---

    def job(self) -> dict[str, Any] | None:
        """See `JobStore`."""
        return self._unsealed("job.json") or (self._unsealed("result.json") or {}).get("job")

    def begin(self, job: Mapping[str, Any]) -> None:
        """See `JobStore`."""
        super().begin(job)
        self.objects.put("job.json", sealed(job).encode())

    def tell(self, result: Mapping[str, Any]) -> None:
        """See `JobStore`."""
        told = {**result, "job": self.job()}
        atomic_write.write(self.folder / "result.json", sealed(told))
        self.objects.put("result.json", sealed(told).encode())

    def result_at(self, output: Path) -> int | None:
        """Return the number of frames, if the object is already the result that was told of."""
        result = self._unsealed("result.json")
        address = f"{split(self.objects.address)[0]}/{output.name}"
        if result is None or Objects(address).size("") != result.get("bytes"):
            return None
        return int(result["frames"])

    def clear(self, *, keep: Collection[str] = ()) -> None:
        """See `JobStore`."""
        self._remove_all()
        super().clear(keep=keep)

    def remove(self) -> None:
        """See `JobStore`."""
        if self.is_lost:
            return
        self._remove_all()
        super().remove()

    def _remove_all(self) -> None:
        self.objects.remove("job.json")
        names = set(self.objects.names())
        if self._lease is not None:
            names -= {NAME}  # this run's own, which is given back in the end
        for name in sorted(names, key=lambda name: name == "result.json"):
            self.objects.remove(name)

    # --- its segments ---

    def has_segments(self) -> bool:
        """See `JobStore`."""
        return any(name[:1].isdigit() and not name.endswith(".json")
                   for name in self.objects.names())  # fmt: skip

    def _commit(self, number: int, suffix: str, record: SegmentRecord) -> bool:
        name, told = f"{number:06d}{suffix}", f"{number:06d}.json"
        if record.frames:
            part = self.unfinished(number, suffix)
            if not self.objects.put(name, part, only_new=True):
                there = self._other(number, name, record)
                if there != record and not self._adopts(self._known(number)):
                    return self._differs(number, suffix, record)
                record = there
            part.unlink()
        elif self.objects.size(name) is not None:
            return self._differs(number, suffix, record)
        data = sealed(dataclasses.asdict(record)).encode()
        if self.objects.put(told, data, only_new=True):
            return True
        known = self._known(number)
        if known is None:
            self.objects.put(told, data)
        elif not known.same_as(record):
            return self._differs(number, suffix, record)
        return False

    def _other(self, number: int, name: str, record: SegmentRecord) -> SegmentRecord:
        """Return the record with the hash and the size of a segment that is there already."""
        if (known := self._known(number)) is not None and known.frames:
            return dataclasses.replace(record, sha256=known.sha256, bytes=known.bytes)
        copy = self.unfinished(number, ".other")
        try:
            self.objects.fetch(name, copy)
            return dataclasses.replace(record, sha256=sha256(copy), bytes=copy.stat().st_size)
        finally:
            copy.unlink(missing_ok=True)

    def _known(self, number: int) -> SegmentRecord | None:
        try:
            return SegmentRecord(**(self._unsealed(f"{number:06d}.json") or {}))
        except TypeError:
            return None

    def discard(self, numbers: Iterable[int], suffix: str) -> None:
        """See `JobStore`."""
        numbers, there = list(numbers), set(self.objects.names())
        for number in numbers:
            for name in (f"{number:06d}.json", f"{number:06d}{suffix}"):
                if name in there:
                    self.objects.remove(name)
        super().discard(numbers, suffix)

    def finished(self, number: int, suffix: str) -> SegmentRecord | None:
        """Return a segment's record, if it is there; a copy of it is then in the folder."""
        record = self._known(number)
        if record is None or not record.frames:
            return record
        path = self.segment(number, suffix)
        with suppress(OSError):
            if path.stat().st_size == record.bytes and sha256(path) == record.sha256:
                return record
        copy = self.unfinished(number, suffix)
        try:
            self.objects.fetch(f"{number:06d}{suffix}", copy)
        except FileNotFoundError:
            return None
        if sha256(copy) != record.sha256:
            copy.unlink()
            return None
        copy.replace(path)
        return record

    def _unsealed(self, name: str) -> dict[str, Any] | None:
        data = self.objects.get(name)
        if data is None:
            return None
        copy = self.folder / f"{self._token}.{name}"
        copy.write_bytes(data)
        try:
            return unsealed(copy)
        finally:
            copy.unlink()


def _own_folder() -> Path:
    """Return where this process keeps what it makes; those of dead ones are removed."""
    parts = cache_folder() / "parts" / socket.gethostname()
    parts.mkdir(parents=True, exist_ok=True)
    for left in parts.iterdir():
        if not Path("/proc", left.name).exists():
            shutil.rmtree(left, ignore_errors=True)
    own = parts / str(os.getpid())
    own.mkdir(exist_ok=True)
    return own


class _LeaseObject(LeaseFile):
    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def read(self) -> bytes | None:
        return self._objects.get(NAME)

    def write(self, data: bytes) -> None:
        self._objects.put(NAME, data)

    def remove(self) -> None:
        self._objects.remove(NAME)


class ObjectOutput:
    """A result that is to be an object; until then it is a file, whose job lies beside the object.

    Raises UsageError for what is no address.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        place, name = split(address)
        key = hashlib.sha256(address.encode()).hexdigest()[:24]
        folder = cache_folder() / key
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / name
        self.store_address = f"{place}/{folder_of(self.path).name}"

    def store(self) -> ObjectJobStore:
        """Return the job's store."""
        return ObjectJobStore(folder_of(self.path), self.store_address)

    def check(self, *, overwrite: bool) -> None:
        """Refuse an object that is there already. Raises OutputExists."""
        self.path.unlink(missing_ok=True)
        if overwrite or Objects(self.address).size("") is None:
            return
        folder_of(self.path).mkdir(exist_ok=True)
        if self.store().result_at(self.path) is None:
            raise OutputExists(f"{self.address}: is there already; use <encode.overwrite>")

    def deliver(self, complete: Path, *, overwrite: bool) -> None:
        """Make the object of a complete file. Raises OutputError, OutputExists."""
        new = Objects(self.address).put("", complete, only_new=not overwrite)
        size = Objects(self.address).size("")
        if size != complete.stat().st_size:
            if not new:
                raise OutputExists(f"{self.address}: is there already, since this run")
            raise OutputError(f"{self.address}: has {size} bytes, and should have others")


def worker_store(
    job: Mapping[str, Any], committed: Callable[[int, SegmentRecord, bool], None]
) -> SharedJobStore:
    """Return a job's store as a worker of any machine sees it. Raises OSError."""
    strict = bool(job["repeatable"])
    if job["objects"]:
        folder = _own_folder()
        return ObjectJobStore(folder, job["objects"], committed, strict=strict)
    return SharedJobStore(Path(job["store"]), committed, strict=strict)
