"""A planned film, made: the pipeline, and what comes around its picture."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from vsr.errors import InputError, OutputError, OutputExists, SoundLost, Stopped, cause
from vsr.events import silent
from vsr.frame import Frame
from vsr.jobs.plan.estimate import told_of_room
from vsr.jobs.plan.segments import joined, with_context
from vsr.jobs.run.context import RunContext, part_suffix
from vsr.jobs.run.image_output import finish, work_names
from vsr.jobs.run.segment_writer import Segment, write_parts
from vsr.jobs.store import atomic_write
from vsr.jobs.store.job_store import JobStore, SegmentRecord
from vsr.media.format.animation import ANIMATIONS, set_last_duration
from vsr.media.format.still_image import STILLS, put_notes
from vsr.media.read.interlace import ScanMode
from vsr.media.read.keyframes import keyframes
from vsr.media.read.reader import read_frames
from vsr.media.source.kinds.base import Source
from vsr.media.source.probe import probe
from vsr.media.source.spans import WHOLE, Span
from vsr.media.write.carried_streams import left_out
from vsr.media.write.concat import SAYS_DURATIONS, join
from vsr.media.write.live_audio import LiveAudio
from vsr.media.write.mux import mux
from vsr.media.write.verify import EncodedVideo
from vsr.options import ColourOptions
from vsr.pipeline import Writer, Written, run
from vsr.stages.device.reuse import reuses
from vsr.stages.temporal.deflicker import RADIUS as DEFLICKER_RADIUS
from vsr.stages.temporal.mctf import temporal_radius_of

_SPARE = 1 << 26  # bytes that have to be free for the work to go on
_BEHIND = 1 << 22  # bytes that are read behind a part, for the sound that belongs to it

# Sees to it that parts are finished in a store; the frames in other parts are for the progress.
Runner = Callable[[RunContext, JobStore, Sequence[Segment], int], None]


def here(work: RunContext, store: JobStore, parts: Sequence[Segment], done: int) -> None:
    """Finish the segments in this process, one after the other."""
    into_store(work, store, parts, done)


def into_pipe(work: RunContext) -> Written:
    """Write to standard output, as it comes. Raises the errors of `vsr.errors`."""
    job, source = work.job, work.job.source
    left_out(source, job.container, sink=work.sink)
    sound = None
    wanted = job.container.sound and work.options.encode.audio
    if wanted and not source.only_pictures:
        sound = LiveAudio(source, work.pieces(), sink=work.sink)
    source.expect(1 if sound is None else 2)

    def write(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
        return work.encode(
            frames,
            sys.stdout.buffer,
            job.encoder,
            dict(job.container.options),
            muxer=job.container.muxer,
            sound=sound,
        )

    written = _run(work, write, joined(job.spans or (WHOLE,)))
    if not written.frames:
        raise InputError(f"{source.path}: not one frame of its video can be decoded")
    return written


def into_folder(work: RunContext, folder: Path) -> tuple[Path, int]:
    """Return the complete result, in `folder`, and its number of frames; all in one go.

    Of a plan with a pattern, the files are there under `work_names`. Raises the errors of
    `vsr.errors`.
    """
    job = work.job
    encoded, base = _target(work, folder), job.source.video.time_base
    # Durations that MP4 and MOV cannot say are in the order that the picture is joined in, and
    # the joining alone tells containers of HDR.
    kind, hdr = job.encoder.encoder.container, job.source.video.hdr
    joins = kind in ("mp4", "mov") or (kind in SAYS_DURATIONS and hdr is not None)
    first = encoded.with_stem("encoded") if joins else encoded

    def write(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
        return work.encode(frames, first, job.encoder, work.muxer_options())

    with ExitStack() as stack:
        source = job.source.kept(folder, stack)
        written = _run(work, write, joined(job.spans or (WHOLE,)))
        job.source.drain(_BEHIND if job.spans else None)
    if joins and written.frames:
        join(
            [first],
            encoded,
            container=kind,
            time_base=base,
            rate=work.progressive()[0].video.rate,
            last_duration=round(written.last_duration / base),
            hdr=hdr,
            muxer_options=work.muxer_options(),
        )
        first.unlink()
    return _complete(work, encoded, written, source, folder), written.frames


def into_store(work: RunContext, store: JobStore, parts: Sequence[Segment], done: int) -> None:
    """Encode `parts`, each of which is then finished in `store`.

    `done`: frames that are in other parts already. Raises the errors of `vsr.errors`, and
    Stopped where the work is to be, or has to be, gone on with later.
    """
    plan = work.part_encoder()

    def encode(frames: Iterator[Frame], path: Path) -> Generator[Frame, None, None]:
        return work.encode(frames, path, plan, work.exact(plan))

    def write(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
        return write_parts(
            frames,
            parts,
            store,
            encode,
            suffix=part_suffix(plan),
            finished=lambda: _go_on(work, store),
        )

    starts = [part.span.at for part in parts]
    wanted, context = joined([part.span for part in parts]), _context(work)
    if context:
        frames = keyframes(work.job.source).frames
        wanted = with_context(wanted, work.job.spans, frames, context)
    _run(work, write, wanted, starts=starts, done=done, context=context)


def from_store(
    work: RunContext,
    store: JobStore,
    records: Sequence[tuple[Segment, SegmentRecord]],
    folder: Path,
) -> tuple[Path, int]:
    """Return the complete result, in `folder`, made of finished parts; and its number of frames.

    Raises the errors of `vsr.errors`.
    """
    job, plan, base = work.job, work.part_encoder(), work.job.source.video.time_base
    filled = [(part, record) for part, record in records if record.frames]
    if not filled:
        raise InputError(f"{job.source.path}: not one frame of its video can be decoded")
    paths = [store.part(part.number, part_suffix(plan)) for part, _ in filled]
    first, last = filled[0][1], filled[-1][1]
    written = Written(
        frames=sum(record.frames for _, record in filled),
        first=first.first * base,
        last=last.last * base,
        last_duration=last.last_duration * base,
    )
    encoded = _target(work, folder)
    if plan is job.encoder:
        join(
            paths,
            encoded,
            container=plan.encoder.container,
            time_base=base,
            rate=work.progressive()[0].video.rate,
            last_duration=last.last_duration,
            hdr=job.source.video.hdr,
            muxer_options=work.exact(plan),
        )
    else:
        for _ in work.encode(_frames_of(paths), encoded, job.encoder, work.muxer_options()):
            pass
    return _complete(work, encoded, written, job.source, folder), written.frames


def deliver(
    work: RunContext, complete: Path, frames: int, folder: Path, store: JobStore | None = None
) -> None:
    """Give the complete result in `folder` its name, which `store` is told first."""
    job = work.job
    try:
        if job.pattern is not None:
            if store is not None:
                store.tell({"pictures": frames})
            finish(job, job.pattern, folder, frames, sink=work.sink)
            work.ready(job, job.pattern.path(frames), frames)
            return
        if job.output.exists() and not work.options.encode.overwrite:  # it was not at the beginning
            raise OutputExists(f"{job.output}: is there already, since this run; use --overwrite")
        if store is not None:
            store.tell({"bytes": complete.stat().st_size, "frames": frames})
        work.ready(job, complete, frames)
        atomic_write.rename(complete, job.output)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        text = f"{job.output}: cannot be given its name ({cause(error)})"
        raise OutputError(text) from error


def _go_on(work: RunContext, store: JobStore) -> None:
    """Check, between two segments, whether to go on. Raises Stopped."""
    if work.stop():
        raise Stopped("stopped")
    free = shutil.disk_usage(store.folder).free
    if free < _SPARE:
        text = f"{store.folder.parent}: the disk is full; make room"
        raise Stopped(f"{text}: {told_of_room(work.job, work.options, least=_SPARE)}")


def _target(work: RunContext, folder: Path) -> Path:
    job = work.job
    if job.pattern is not None:
        return work_names(job, folder)
    return folder / f"picture.{job.encoder.encoder.container}"


def _complete(
    work: RunContext, encoded: Path, written: Written, source: Source, folder: Path
) -> Path:
    """Return the picture, with what else is in the source; still in `folder`."""
    job, encoder, muxer = work.job, work.job.encoder.encoder, work.job.container.muxer
    if not written.frames:
        raise InputError(f"{source.path}: not one frame of its video can be decoded")
    if muxer in STILLS or muxer in ANIMATIONS:  # complete as they are, but for this
        if muxer in ANIMATIONS:
            set_last_duration(encoded, muxer, written.last_duration)
        if job.pattern is None:
            put_notes(encoded, source.metadata())
        left_out(source, job.container, sink=work.sink)
        return folder / encoded.name  # `work_names` writes the folder's name as ffmpeg reads it
    complete = folder / f"joined{job.output.suffix}"
    picture = EncodedVideo(
        path=encoded,
        codec=encoder.codec,
        hidden_alpha=encoder.codec == "vp9" and job.encoder.layout.alpha,
        frames=written.frames,
        first=written.first,
        last=written.last,
    )
    try:
        mux(
            picture,
            source,
            complete,
            job.container,
            pieces=work.pieces(),
            audio=work.options.encode.audio,
            sink=work.sink,
        )
    except SoundLost as error:
        beside = _free(job.output)
        atomic_write.rename(complete, beside)
        raise SoundLost(f"{error.text}; the film without it is {beside}") from error
    return complete


def _free(output: Path) -> Path:
    """Return a name beside the output's that nothing has yet."""
    for number in itertools.count(1):
        beside = output.with_stem(f"{output.stem}_no-audio{number if number > 1 else ''}")
        if not beside.exists():
            return beside
    raise AssertionError


def _context(work: RunContext) -> int:
    """Return frames next to a part that decide on its pixels, too."""
    chosen = work.options.temporal
    context = DEFLICKER_RADIUS if chosen.deflicker else 0
    if reuses(work.options.device, work.engine):
        return context  # what is drawn depends on where a part begins: so does the filter
    return context + temporal_radius_of(chosen.filter)


def _run(
    work: RunContext,
    write: Writer,
    spans: Sequence[Span],
    *,
    starts: Sequence[int] = (),
    done: int = 0,
    context: int = 0,
) -> Written:
    source, filters = work.progressive()
    return run(
        source,
        write,
        filters=filters,
        spans=work.counted(spans),
        seeks=work.job.scan is not ScanMode.TELECINED,  # whose filters count in fives
        context=context,
        starts=starts,
        engine=work.engine,
        picture=work.picture(),
        options=work.options,
        done=done,
        sink=work.sink,
    )


def _frames_of(paths: Sequence[Path]) -> Iterator[Frame]:
    """Yield the frames of finished parts, one after the other."""
    for path in paths:
        yield from read_frames(probe(path), ColourOptions(), sink=silent)
