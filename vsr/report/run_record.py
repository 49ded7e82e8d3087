"""What a run said and how fast it was, kept for a report that somebody may ask for afterwards.

A file for each film lies in the user's state folder, beside the hints of begun jobs; the newest are
kept. It is believed while the result is what it was when the run ended.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
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
        self._pace: list[list[float]] = []

    def __call__(self, event: Event) -> None:
        """Take an event down, and hand it on."""
        if isinstance(event, Started):
            self._started, self._began, self._pace = event, time.monotonic(), []
        elif isinstance(event, Progress):
            self._pace.append([event.frames, round(time.monotonic() - self._began, 3)])
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
            before=int(self._pace[0][0]) - 1 if self._pace else finished.frames,
            seconds=round(finished.seconds, 3),
            ended=round(time.time(), 3),
            notes=list(dict.fromkeys(self._notes)),
            warnings=list(dict.fromkeys(self._warnings)),
            pace=_thinned(self._pace),
        )
        with suppress(OSError, ValueError):  # only for a report; the film is done
            path = _place(finished.output)
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write.write(path, sealed(asdict(record)))
            _tidy(path.parent)


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


def _thinned(pace: Sequence[list[float]]) -> list[list[float]]:
    """Return every so many points, and the last."""
    step = -(-len(pace) // _POINTS) or 1
    kept = list(pace[::step])
    return kept if not pace or kept[-1] == pace[-1] else [*kept, pace[-1]]


def _tidy(folder: Path) -> None:
    """Remove all but the newest records."""
    known = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in known[_KEPT:]:
        path.unlink(missing_ok=True)
