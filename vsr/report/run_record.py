"""What a run said and how fast it was, kept for a report that somebody may ask for afterwards.

A file for each film lies in the user's state folder, beside the hints of begun jobs; the newest are
kept. It is believed while the result is what it was when the run ended.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vsr.events import Event, Finished, Note, Progress, Sink, Started, WarningNote
from vsr.jobs.store import atomic_write
from vsr.jobs.store.job_store import sealed, unsealed
from vsr.jobs.store.registry import state_folder
from vsr.options import UpscaleOptions, to_dict
from vsr.version import __version__

_FORMAT = 1
_KEPT = 200  # records
_POINTS = 2000  # of the pace, at most


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run that ended well. Names are absolute; texts name options as `<size.scale>`."""

    format: int
    vsr: str
    source: str
    output: str
    stamp: list[int]  # size and time of the result
    options: dict[str, Any]
    description: str
    frames: int
    before: int  # frames that earlier runs had done
    seconds: float
    ended: float  # seconds since 1970
    notes: list[str]
    warnings: list[str]
    pace: list[list[float]]  # frames done, seconds since the work began


class RunRecorder:
    """A sink that keeps a record of each film that is finished, and hands events on."""

    def __init__(self, sink: Sink, options: UpscaleOptions) -> None:
        self._sink, self._options = sink, options
        self._forget()

    def _forget(self) -> None:
        self._started: Started | None = None
        self._began = 0.0
        self._notes: list[str] = []
        self._warnings: list[str] = []
        self._pace = _Pace()

    def __call__(self, event: Event) -> None:
        """Take an event down, and hand it on."""
        if isinstance(event, Started):
            self._started, self._began, self._pace = event, time.monotonic(), _Pace()
        elif isinstance(event, Progress):
            self._pace.add(event.frames, round(time.monotonic() - self._began, 3))
        elif isinstance(event, Note):
            (self._warnings if isinstance(event, WarningNote) else self._notes).append(event.text)
        elif isinstance(event, Finished):
            if self._started is not None and event.frames > 1:
                self._save(self._started, event)
            self._forget()
        self._sink(event)

    def _save(self, started: Started, finished: Finished) -> None:
        stamp = _stamp(finished.output)
        if stamp is None:  # a pipe, or many pictures
            return
        record = RunRecord(
            format=_FORMAT,
            vsr=__version__,
            source=os.fsdecode(started.source.absolute()),
            output=os.fsdecode(finished.output.absolute()),
            stamp=stamp,
            options=to_dict(self._options),
            description=started.description,
            frames=finished.frames,
            before=finished.frames if self._pace.first is None else self._pace.first - 1,
            seconds=round(finished.seconds, 3),
            ended=round(time.time(), 3),
            notes=list(dict.fromkeys(self._notes)),
            warnings=list(dict.fromkeys(self._warnings)),
            pace=self._pace.points(),
        )
        with suppress(OSError, ValueError):  # only for a report; the film is done
            path = _place(finished.output)
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write.write(path, sealed(asdict(record)))
            _tidy(path.parent)


class _Pace:
    """How many frames were done when, in no more points for a long film than for a short one."""

    def __init__(self) -> None:
        self.first: int | None = None  # frames done at the first point
        self._kept: list[list[float]] = []
        self._last: list[float] = []
        self._count, self._step = 0, 1

    def add(self, frames: int, seconds: float) -> None:
        """Take a point down, or every so many of them once there are many."""
        self.first = frames if self.first is None else self.first
        self._last = [frames, seconds]
        if self._count % self._step == 0:
            self._kept.append(self._last)
        self._count += 1
        if len(self._kept) > _POINTS:
            self._kept, self._step = self._kept[::2], 2 * self._step

    def points(self) -> list[list[float]]:
        """Return the points that were kept, and the last."""
        whole = not self._kept or self._kept[-1] == self._last
        return list(self._kept) if whole else [*self._kept, self._last]


def record_of(output: Path) -> RunRecord | None:
    """Return the record of the run that made `output`; None where there is none, or it changed."""
    told = unsealed(_place(output))
    try:
        record = RunRecord(**(told or {}))
    except TypeError:
        return None
    return record if record.format == _FORMAT and record.stamp == _stamp(output) else None


def _place(output: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(output.absolute())).hexdigest()
    return state_folder() / "reports" / f"{digest[:24]}.json"


def _stamp(path: Path) -> list[int] | None:
    try:
        told = path.stat()
    except (OSError, ValueError):
        return None
    return [told.st_size, told.st_mtime_ns] if path.is_file() else None


def _tidy(folder: Path) -> None:
    """Remove all but the newest records."""
    known = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in known[_KEPT:]:
        path.unlink(missing_ok=True)
