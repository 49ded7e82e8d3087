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
from vsr.jobs.outputs.place import is_full, is_lasting
from vsr.jobs.plan.estimate import room, told_of_room
from vsr.jobs.plan.segments import Segment, cut_at_keyframes
from vsr.jobs.run.context import RunContext, segment_suffix
from vsr.jobs.run.encode import deliver, from_store, into_store
from vsr.jobs.run.fingerprint import differences, fingerprint, taken_over_from
from vsr.jobs.store import atomic_write
from vsr.jobs.store.job_store import JobChanged, JobStore, SegmentRecord
from vsr.jobs.store.registry import register
from vsr.media.read.keyframes import keyframes
from vsr.nets.store import from_anywhere
from vsr.options import to_dict


def run_job(run: RunContext) -> int:
    """Make the film of `work`, or what is still missing of it; returns its number of frames.

    Raises the errors of `vsr.errors`; Stopped where the same call goes on with it later.
    """
    with run.store() as store:
        if not store.is_safe:
            text = "its file system knows no locks; let no other machine work on it meanwhile"
            run.sink(Note(text=f"{run.plan.output.path.name}: {text}"))
        try:
            with _on_disk(run):
                frames = _finish(run, store)
                store.remove()
        except BaseException as error:
            # Nothing to go on with; or it is complete, but for what cannot be had.
            if not store.has_segments() or isinstance(error, SoundLost):
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
def _on_disk(run: RunContext) -> Iterator[None]:
    """Raise what the disk refuses as one line."""
    folder = run.plan.output.path.absolute().parent
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
                error.add_note(told_of_room(run.plan, run.options))
        raise


def _finish(run: RunContext, store: JobStore) -> int:
    scratch = store.folder / "work"
    shutil.rmtree(scratch, ignore_errors=True)
    atomic_write.make_folder(scratch)
    for path in store.folder.glob("*.part*"):  # of a run that was killed
        atomic_write.remove(path)
    run = run.repaired(scratch)
    plan = run.plan
    before = _stamp(plan.source.path)
    finished_before = store.result_at(plan.output.path)
    segments = _segments(run, store)
    if finished_before is not None and store.result_at(plan.output.path) is not None:
        return finished_before  # killed when all was done, and not yet, or half, tidied up
    suffix = segment_suffix(run.segment_encoder())
    records = {segment.number: store.finished(segment.number, suffix) for segment in segments}
    missing = [segment for segment in segments if records[segment.number] is None]
    finished = [record for record in records.values() if record is not None]
    if finished:
        run.sink(Note(text=f"resuming: {len(finished)} of {len(segments)} segments are done"))
    if missing:
        runner = run.hooks.runner or into_store
        runner(run, store, missing, sum(record.frames for record in finished))
    done: list[tuple[Segment, SegmentRecord]] = []
    for segment in segments:
        record = records[segment.number] or store.finished(segment.number, suffix)
        if record is None:
            raise OutputError(f"{store.folder}: segment {segment.number} is not what was written")
        done.append((segment, record))
    if _stamp(plan.source.path) != before:
        raise InputError(f"{plan.source.path}: was changed while it was read")
    complete, frames = from_store(run, store, done, scratch)
    deliver(run, complete, frames, store)
    return frames


def _segments(run: RunContext, store: JobStore) -> list[Segment]:
    """Return the segments of the film; what an earlier run has begun must be the same job."""
    plan = run.plan
    index = keyframes(plan.source)
    spans = cut_at_keyframes(
        plan.spans, index, plan.source.video.time_base, run.options.jobs.segment
    )
    try:
        new = fingerprint(plan, spans, run.model, run.engine, run.options)
    except OSError as error:
        raise InputError(f"{plan.source.path}: cannot be read ({error.strerror})") from error
    old = store.job()
    changed = differences({k: old.get(k) for k in new}, new) if old is not None else []
    if old is None or run.options.jobs.restart or (changed and not store.has_segments()):
        # Made by another process while this one waited; or by a run with other options.
        if plan.output.path.exists() and not run.options.encode.overwrite:
            raise OutputExists(
                f"{plan.output.path}: is there already; use <encode.overwrite>, or another <output>"
            )
        store.clear(keep=["work"])
        # From whatever folder it is gone on with, it is the same file of weights.
        options = dataclasses.replace(run.options, model=from_anywhere(run.options.model))
        call = {
            "source": run.address or os.fsdecode(run.path.absolute()),
            "output": os.fsdecode(plan.output.path.absolute()),
            "options": to_dict(options),
        }
        store.begin({**new, "call": call})
        _tell_of_room(run, store)
    elif changed:
        raise JobChanged(
            f"{plan.output.path.name}: was begun with something else ({'; '.join(changed)}); "
            f"use <jobs.restart> to begin again"
        )
    elif (text := taken_over_from(old["engine"], new["engine"])) is not None:
        run.sink(Note(text=text))
    if run.hooks.remote is None:  # else the folder has copies, and the command alone goes on
        register(store.folder)
    return [Segment(number=n, span=span) for n, span in enumerate(spans)]


def _tell_of_room(run: RunContext, store: JobStore) -> None:
    """Warn before hours of work that may not fit; only an estimate, so that it does not refuse."""
    needed, free = room(run.plan, run.options), shutil.disk_usage(store.folder).free
    if needed is not None and needed > free:
        text = f"may need about {needed >> 20} MB on the disk while it runs; {free >> 20} are free"
        run.sink(Note(text=f"{run.plan.output.path.name}: {text}"))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what tells whether a file was changed; None for a pattern of many."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
