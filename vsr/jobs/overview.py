"""Jobs that were begun: what they are, how far they have come, whether one is running."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import UsageError
from vsr.jobs.registry import stores
from vsr.jobs.store import Store, folder_of, unsealed
from vsr.options import UpscaleOptions, from_dict


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it lies on the disk. Its parts are counted, not verified."""

    store: Path
    source: Path
    output: Path
    options: UpscaleOptions
    done: int  # parts
    parts: int
    bytes: int
    touched: float  # when the last part was finished, in seconds since 1970
    process: int | None  # that works on it


def jobs(folders: Sequence[Path] = ()) -> Iterator[Job]:
    """The jobs that were begun on this machine, and those in `folders`."""
    found = dict.fromkeys(stores())
    for folder in folders:
        found |= dict.fromkeys(sorted(folder.glob(".*.vsr")))
    for store in found:
        if (job := _read(store)) is not None:
            yield job


def job_of(output: Path) -> Job:
    """The job whose result `output` is to be; also by its store. Raises UsageError."""
    for store in (folder_of(output), output):
        if (job := _read(store)) is not None:
            return job
    raise UsageError(f"{output}: no job of that name was begun; `vsr jobs` lists them")


def remove(job: Job) -> None:
    """Throw away what is finished of a job. Raises UsageError while it is running."""
    with Store(job.store) as store:
        store.remove()


def _read(store: Path) -> Job | None:
    told = unsealed(store / "job.json")
    if told is None:
        return None
    records = list(store.glob("[0-9]*.json"))
    files = [path.stat() for path in store.rglob("*") if path.is_file()]
    stamps = [path.stat().st_mtime for path in (*records, store / "job.json")]
    call = told["call"]
    return Job(
        store=store,
        source=Path(call["source"]),
        output=Path(call["output"]),
        options=from_dict(UpscaleOptions, call["options"]),
        done=len(records),
        parts=len(told["parts"]),
        bytes=sum(file.st_size for file in files),
        touched=max(stamps),
        process=_holder(store / "lock"),
    )


def _holder(lock: Path) -> int | None:
    """The process that holds the lock, if one does."""
    try:
        number = os.open(lock, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(number, 32).decode(errors="replace").strip() or 0)
    finally:
        os.close(number)
    return None
