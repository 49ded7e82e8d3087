"""A job's store as workers of several machines write to it, without any lock between them.

Each writes under names of its own. A segment is committed by giving a complete file its name, if
nothing has that name: the first one wins. A segment may be made twice, when a machine was taken for
dead that was not: a second, equal one is dropped; a different one tells that a machine computes
wrongly.
"""

from __future__ import annotations

import dataclasses
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from vsr.errors import VsrError
from vsr.jobs.store import atomic_write
from vsr.jobs.store.job_store import JobStore, SegmentRecord, record_in, sealed
from vsr.nets.download import sha256


class SegmentsDiffer(VsrError):
    """Two machines have made two different things of one segment."""


class SharedJobStore(JobStore):
    """The store of a job that this worker shares with others. Raises SegmentsDiffer, OSError.

    `committed` is told of each segment: its number, its record, and whether it was the first.
    `strict`: whether two machines write the same bits; else the first one wins, whatever it is.
    """

    def __init__(
        self,
        folder: Path,
        committed: Callable[[int, SegmentRecord, bool], None],
        *,
        strict: bool = True,
    ) -> None:
        super().__init__(folder)
        self._token, self._host = uuid.uuid4().hex[:12], socket.gethostname()
        self._committed, self._strict = committed, strict
        self._began = time.monotonic()

    def begin_share(self) -> None:
        """Count the time of the next segment from here."""
        self._began = time.monotonic()

    def unfinished(self, number: int, suffix: str) -> Path:
        """Return the name that this worker, and no other, writes a segment under."""
        return self.folder / f"{number:06d}.{self._token}.part{suffix}"

    def finish(self, number: int, suffix: str, record: SegmentRecord) -> None:
        """Commit a segment, or drop it if another worker has committed the same."""
        seconds = round(time.monotonic() - self._began, 3)
        record = dataclasses.replace(record, host=self._host, seconds=seconds)
        first = self._commit(number, suffix, record)
        self._committed(number, record, first)
        self.begin_share()

    def _commit(self, number: int, suffix: str, record: SegmentRecord) -> bool:
        """Return whether this was the first."""
        part, named = self.unfinished(number, suffix), self.segment(number, suffix)
        if record.frames:
            if not atomic_write.rename_if_none(part, named):
                there = dataclasses.replace(
                    record, sha256=sha256(named), bytes=named.stat().st_size
                )
                if there != record and not self._adopts(record_in(self._record(number))):
                    return self._differs(number, suffix, record)
                atomic_write.remove(part)
                record = there
        elif named.exists():
            return self._differs(number, suffix, record)
        path = self._record(number)
        own = self.unfinished(number, ".json")
        atomic_write.write(own, sealed(dataclasses.asdict(record)))
        if atomic_write.rename_if_none(own, path):
            return True
        atomic_write.remove(own)
        known = record_in(path)
        if known is None:  # nothing that can be read; the segment itself is what it should be
            atomic_write.write(own, sealed(dataclasses.asdict(record)))
            atomic_write.rename(own, path)
        elif not known.same_as(record):
            return self._differs(number, suffix, record)
        return False

    def _adopts(self, known: SegmentRecord | None) -> bool:
        """Return whether to write the record of another's segment.

        Its machine was lost before it did so; or it will, and to the same effect.
        """
        return not self._strict and known is None

    def _differs(self, number: int, suffix: str, record: SegmentRecord) -> bool:
        """Drop a segment that is not what another machine has made of it. Raises SegmentsDiffer."""
        part = self.unfinished(number, suffix)
        if not self._strict:
            atomic_write.remove(part)
            return False
        if part.exists():  # beside the other one, to be looked at
            part.replace(self.folder / f"{number:06d}.{record.host}.other{suffix}")
        there = record_in(self._record(number))
        other = there.host if there is not None and there.host else "another machine"
        text = f"segment {number} ({record.frames} frames) came out otherwise on {record.host}"
        raise SegmentsDiffer(
            f"{text} than on {other}; one of them computes wrongly; both are in {self.folder}"
        )
