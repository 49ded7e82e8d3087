"""A film as a job that can be killed at any moment, and goes on where it was."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vsr.errors import (
    InputError,
    Interrupted,
    OutputError,
    OutputExists,
    SoundLost,
    Stopped,
    VsrError,
    cause,
)
from vsr.events import Note
from vsr.jobs.plan.estimate import room, told_of_room
from vsr.jobs.plan.output_place import is_full, is_lasting
from vsr.jobs.plan.segments import cut_at_keyframes
from vsr.jobs.run.context import RunContext, part_suffix
from vsr.jobs.run.fingerprint import differences, fingerprint
from vsr.jobs.run.outputs import Runner, deliver, from_store, here
from vsr.jobs.run.segment_writer import Segment
from vsr.jobs.store import atomic_write
from vsr.jobs.store.job_store import JobChanged, JobStore, SegmentRecord, folder_of
from vsr.jobs.store.registry import register
from vsr.media.read.keyframes import keyframes
from vsr.nets.store import from_anywhere
from vsr.options import to_dict


def run_job(work: RunContext, runner: Runner = here) -> int:
    """Make the film of `work`, or what is still missing of it; returns its number of frames.

    Raises the errors of `vsr.errors`; Stopped where the same call goes on with it later.
    """
    with JobStore(folder_of(work.job.output)) as store:
        if not store.is_safe:
            text = "its file system knows no locks; let no other machine work on it meanwhile"
            work.sink(Note(text=f"{work.job.output.name}: {text}"))
        try:
            with _on_disk(work):
                frames = _run(work, store, runner)
                store.remove()
        except BaseException as error:
            # Nothing to go on with; or it is complete, but for what cannot be had.
            if not store.has_parts() or isinstance(error, SoundLost):
                with suppress(OSError):
                    store.remove()
                if isinstance(error, Stopped):
                    text = "interrupted; nothing was finished yet, and nothing is left behind"
                    raise Interrupted(text) from error
            elif isinstance(error, VsrError) and not isinstance(error, Stopped | JobChanged):
                when = " when that is changed" if is_lasting(error) else ""
                error.add_note(f"what is finished is kept; the same command goes on{when}")
            raise
    return frames


@contextmanager
def _on_disk(work: RunContext) -> Iterator[None]:
    """Raise what the disk refuses as one line."""
    folder = work.job.output.absolute().parent
    try:
        try:
            yield
        except FileNotFoundError as error:
            if isinstance(error, VsrError):
                raise
            text = f"{folder}: what was written there is gone ({error.filename})"
            raise OutputError(text) from error
        except OSError as error:
            if isinstance(error, VsrError):
                raise
            raise OutputError(f"{folder}: cannot be written to ({cause(error)})") from error
    except VsrError as error:
        if is_full(error):
            with suppress(OSError):
                error.add_note(told_of_room(work.job, work.options))
        raise


def _run(work: RunContext, store: JobStore, runner: Runner) -> int:
    scratch = store.folder / "work"
    shutil.rmtree(scratch, ignore_errors=True)
    atomic_write.make_folder(scratch)
    for path in store.folder.glob("*.part*"):  # of a run that was killed
        atomic_write.remove(path)
    work = work.mended(scratch)
    job = work.job
    before = _stamp(job.source.path)
    told = store.result_at(job.output)
    parts = _parts(work, store)
    if told is not None and store.result_at(job.output) is not None:
        return told  # killed when all was done, and not yet, or half, tidied up
    suffix = part_suffix(work.part_encoder())
    records = {part.number: store.finished(part.number, suffix) for part in parts}
    missing = [part for part in parts if records[part.number] is None]
    finished = [record for record in records.values() if record is not None]
    if finished:
        work.sink(Note(text=f"resuming: {len(finished)} of {len(parts)} parts are done"))
    if missing:
        runner(work, store, missing, sum(record.frames for record in finished))
    done: list[tuple[Segment, SegmentRecord]] = []
    for part in parts:
        record = records[part.number] or store.finished(part.number, suffix)
        if record is None:
            raise OutputError(f"{store.folder}: part {part.number} is not what was written")
        done.append((part, record))
    if _stamp(job.source.path) != before:
        raise InputError(f"{job.source.path}: was changed while it was read")
    complete, frames = from_store(work, store, done, scratch)
    deliver(work, complete, frames, scratch, store)
    return frames


def _parts(work: RunContext, store: JobStore) -> list[Segment]:
    """Return the parts of the film; what an earlier run has begun must be the same job."""
    job = work.job
    index = keyframes(job.source)
    spans = cut_at_keyframes(
        job.spans, index, job.source.video.time_base, work.options.jobs.segment
    )
    try:
        new = fingerprint(job, spans, work.model, work.engine, work.options)
    except OSError as error:
        raise InputError(f"{job.source.path}: cannot be read ({error.strerror})") from error
    old = store.job()
    changed = differences({k: old.get(k) for k in new}, new) if old is not None else []
    if old is None or work.options.jobs.restart or (changed and not store.has_parts()):
        # Made by another process while this one waited; or by a run with other options.
        if job.output.exists() and not work.options.encode.overwrite:
            raise OutputExists(
                f"{job.output}: is there already; use <encode.overwrite>, or another <output>"
            )
        store.clear(keep=["work"])
        # From whatever folder it is gone on with, it is the same file of weights.
        found = dataclasses.replace(work.options, model=from_anywhere(work.options.model))
        call = {
            "source": os.fsdecode(work.path.absolute()),
            "output": os.fsdecode(job.output.absolute()),
            "options": to_dict(found),
        }
        store.begin({**new, "call": call})
        _tell_of_room(work, store)
    elif changed:
        raise JobChanged(
            f"{job.output.name}: was begun with something else ({'; '.join(changed)}); "
            f"use <jobs.restart> to begin again"
        )
    register(store.folder)
    return [Segment(number=n, span=span) for n, span in enumerate(spans)]


def _tell_of_room(work: RunContext, store: JobStore) -> None:
    """Warn before hours of work that may not fit; only an estimate, so that it does not refuse."""
    needed, free = room(work.job, work.options), shutil.disk_usage(store.folder).free
    if needed is not None and needed > free:
        text = f"may need about {needed >> 20} MB on the disk while it runs; {free >> 20} are free"
        work.sink(Note(text=f"{work.job.output.name}: {text}"))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what tells whether a file was changed; None for a pattern of many."""
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_size, told.st_mtime_ns
