"""Jobs that were begun: what they are, how far they have come, whether one is running."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

from vsr.errors import UsageError
from vsr.jobs.store.job_store import JobStore, folder_of, holder, unsealed
from vsr.jobs.store.registry import stores
from vsr.objects import is_object
from vsr.options import UpscaleOptions, from_dict


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """A job as it lies on the disk. Its segments are counted, not verified."""

    store: Path
    source: Path | str  # an address, of an object
    output: Path
    given: Mapping[str, Any]  # the options, as JSON has them
    done: int  # segments
    segments: int
    bytes: int
    touched: float  # when the last segment was finished, in seconds since 1970
    process: int | None  # that works on it

    @property
    def options(self) -> UpscaleOptions:
        """Raises UsageError for those of another version of vsr."""
        return from_dict(UpscaleOptions, self.given)


def jobs(folders: Sequence[Path] = ()) -> Iterator[JobStatus]:
    """Yield the jobs that were begun on this machine, and those in `folders`."""
    known = dict.fromkeys(stores())
    for folder in folders:
        known |= dict.fromkeys(sorted(folder.glob(".*.vsr")))
    for store in known:
        if (job := _read(store)) is not None:
            yield job


def job_of(output: Path) -> JobStatus:
    """Return the job whose result `output` is to be; also by its store. Raises UsageError."""
    for store in (folder_of(output), folder_of(output.resolve()), output):
        if (job := _read(store)) is not None:
            return job
    raise UsageError(f"{output}: no job of that name was begun; `vsr jobs` lists them")


def remove(job: JobStatus) -> None:
    """Throw away what is finished of a job. Raises UsageError while it is running."""
    with JobStore(job.store) as store:
        store.remove()


def _read(store: Path) -> JobStatus | None:
    data = unsealed(store / "job.json")
    if data is None:
        return None
    try:
        call, segments = data["call"], len(data["parts"])
        named, output, given = call["source"], Path(call["output"]), call["options"]
        source = named if is_object(named) else Path(named)
    except (LookupError, TypeError):  # of a vsr that is to come
        return None
    # Wherever they were moved together.
    now, before = store.absolute().parent, output.parent
    if isinstance(source, Path) and source.parent == before:
        source = now / source.name
    records = _stats(store.glob("[0-9]*.json"))
    return JobStatus(
        store=store,
        source=source,
        output=now / output.name,
        given=given,
        done=len(records),
        segments=segments,
        bytes=sum(file.st_size for file in _stats(store.rglob("*")) if S_ISREG(file.st_mode)),
        touched=max(
            (file.st_mtime for file in (*records, *_stats([store / "job.json"]))), default=0
        ),
        process=holder(store),
    )


def _stats(paths: Iterable[Path]) -> list[os.stat_result]:
    """Return the stats of those that are there; a job that runs renames its files meanwhile."""
    stats = []
    with suppress(OSError):
        for path in paths:
            with suppress(OSError):
                stats.append(path.stat())
    return stats
