"""A planned film, made: the pipeline, and what comes around its picture."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsr.errors import InputError, OutputError, Stopped, cause
from vsr.events import silent
from vsr.frame import Frame
from vsr.jobs.outputs.base import EncodedPicture
from vsr.jobs.outputs.film import exact
from vsr.jobs.plan.estimate import told_of_room
from vsr.jobs.plan.segments import Segment, joined, with_context
from vsr.jobs.run.context import RunContext, segment_suffix
from vsr.jobs.run.segment_writer import write_segments
from vsr.jobs.store.job_store import JobStore, SegmentRecord
from vsr.media.format.containers import SAME_BYTES
from vsr.media.read.interlace import ScanMode
from vsr.media.read.reader import read_frames
from vsr.media.source.kinds.base import Source
from vsr.media.source.probe import probe
from vsr.media.source.spans import WHOLE, Span
from vsr.media.write.carried_streams import left_out
from vsr.media.write.concat import SAYS_DURATIONS, JoinedVideo, join
from vsr.media.write.live_audio import LiveAudio
from vsr.options import ColourOptions
from vsr.pipeline import Section, Writer, Written, run_pipeline
from vsr.stages.device.reuse import reuses
from vsr.stages.temporal.deflicker import RADIUS as DEFLICKER_RADIUS
from vsr.stages.temporal.mctf import temporal_radius_of

_SPARE = 1 << 26  # bytes that have to be free for the work to go on
_BEHIND = 1 << 22  # bytes that are read behind a segment, for the sound that belongs to it


def into_pipe(run: RunContext) -> Written:
    """Write to standard output, as it comes. Raises the errors of `vsr.errors`."""
    plan, source = run.plan, run.plan.source
    left_out(source, plan.output.container, sink=run.sink)
    sound = None
    wanted = plan.output.container.sound and run.options.encode.audio
    if wanted and not source.only_pictures:
        sound = LiveAudio(source, run.pieces(), sink=run.sink)
    source.expect(1 if sound is None else 2)

    def write(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
        return run.encode(
            frames,
            sys.stdout.buffer,
            plan.encoder,
            run.muxer_options(),
            muxer=plan.output.container.muxer,
            sound=sound,
        )

    written = _through_pipeline(run, write, joined(plan.spans or (WHOLE,)))
    if not written.frames:
        raise InputError(f"{source.path}: not one frame of its video can be decoded")
    return written


def into_folder(run: RunContext, folder: Path) -> tuple[Path, int]:
    """Return the complete result, in `folder`, and its number of frames; all in one go.

    Of a plan with a pattern, the files are there under numbers. Raises the errors of
    `vsr.errors`.
    """
    plan = run.plan
    encoded = plan.output.encoded_name(folder, plan.encoder)
    # Durations that MP4 and MOV cannot say are in the order that the picture is joined in, and
    # the joining alone tells containers of HDR and of what is seen all around.
    kind, video = plan.encoder.encoder.container, plan.source.video
    base = video.time_base
    tells = video.hdr is not None or video.views is not None
    joins = kind in ("mp4", "mov") or (kind in SAYS_DURATIONS and tells)
    first = encoded.with_stem("encoded") if joins else encoded

    def write(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
        return run.encode(frames, first, plan.encoder, run.muxer_options())

    with ExitStack() as stack:
        source = plan.source.kept(folder, stack)
        written = _through_pipeline(run, write, joined(plan.spans or (WHOLE,)))
        plan.source.drain(_BEHIND if plan.spans else None)
    if joins and written.frames:
        join(
            [first],
            encoded,
            _joined_video(run, round(written.last_duration / base)),
            container=kind,
            muxer_options=run.muxer_options(),
        )
        first.unlink()
    return _complete(run, encoded, written, source, folder), written.frames


def into_store(run: RunContext, store: JobStore, segments: Sequence[Segment], done: int) -> None:
    """Encode `segments`, each of which is then finished in `store`.

    `done`: frames that are in other segments already. Raises the errors of `vsr.errors`, and
    Stopped where the work is to be, or has to be, gone on with later.
    """
    encoder = run.segment_encoder()
    # The same bytes whoever makes it: another machine's may be compared with it.
    options = {**exact(run.plan.source, encoder), **SAME_BYTES}

    def encode(frames: Iterator[Frame], path: Path) -> Generator[Frame, None, None]:
        return run.encode(frames, path, encoder, options)

    def write(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
        return write_segments(
            frames,
            segments,
            store,
            encode,
            suffix=segment_suffix(encoder),
            finished=lambda: _go_on(run, store),
        )

    starts = [segment.span.at for segment in segments]
    wanted, context = joined([segment.span for segment in segments]), _context(run)
    if context:
        wanted = with_context(wanted, run.plan.spans, run.keyframes.frames, context)
    _through_pipeline(run, write, wanted, starts=starts, done=done, context=context)


def from_store(
    run: RunContext,
    store: JobStore,
    records: Sequence[tuple[Segment, SegmentRecord]],
    folder: Path,
) -> tuple[Path, int]:
    """Return the complete result, in `folder`, made of finished segments; and its number of frames.

    Raises the errors of `vsr.errors`.
    """
    plan, encoder, base = run.plan, run.segment_encoder(), run.plan.source.video.time_base
    filled = [(segment, record) for segment, record in records if record.frames]
    if not filled:
        raise InputError(f"{plan.source.path}: not one frame of its video can be decoded")
    paths = [store.segment(segment.number, segment_suffix(encoder)) for segment, _ in filled]
    first, last = filled[0][1], filled[-1][1]
    written = Written(
        frames=sum(record.frames for _, record in filled),
        first=first.first * base,
        last=last.last * base,
        last_duration=last.last_duration * base,
    )
    encoded = plan.output.encoded_name(folder, plan.encoder)
    if encoder is plan.encoder:
        join(
            paths,
            encoded,
            _joined_video(run, last.last_duration),
            container=encoder.encoder.container,
            muxer_options=exact(plan.source, encoder),
        )
    else:
        for _ in run.encode(_frames_of(paths), encoded, plan.encoder, run.muxer_options()):
            pass
    return _complete(run, encoded, written, plan.source, folder), written.frames


def _joined_video(run: RunContext, last_duration: int) -> JoinedVideo:
    video = run.plan.source.video
    return JoinedVideo(
        time_base=video.time_base,
        rate=run.progressive()[0].video.rate,
        last_duration=last_duration,
        hdr=video.hdr,
        views=video.views,
    )


def deliver(run: RunContext, complete: Path, frames: int, store: JobStore | None = None) -> None:
    """Give the complete result its name, which `store` is told first."""
    plan, overwrite = run.plan, run.options.encode.overwrite

    def ready(file: Path) -> None:
        run.hooks.ready(plan, file, frames)
        if run.hooks.remote is not None:
            run.hooks.remote.deliver(file, overwrite=overwrite)

    if store is not None:
        store.check_lease()
    try:
        plan.output.deliver(
            complete,
            frames,
            store,
            overwrite=overwrite,
            ready=ready,
            sink=run.sink,
        )
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        text = f"{plan.output.path}: cannot be given its name ({cause(error)})"
        raise OutputError(text) from error


def _go_on(run: RunContext, store: JobStore) -> None:
    """Check, between two segments, whether to go on. Raises Stopped, JobLocked."""
    store.check_lease()
    if run.hooks.stop():
        raise Stopped("stopped")
    free = shutil.disk_usage(store.folder).free
    if free < _SPARE:
        text = f"{store.folder.parent}: the disk is full; make room"
        raise Stopped(f"{text}: {told_of_room(run.plan, run.options, least=_SPARE)}")


def _complete(
    run: RunContext, encoded: Path, written: Written, source: Source, folder: Path
) -> Path:
    """Complete the result with what else is in the source; it is still in `folder`."""
    if not written.frames:
        raise InputError(f"{source.path}: not one frame of its video can be decoded")
    target = run.plan.target
    return run.plan.output.complete(
        EncodedPicture(
            path=encoded,
            folder=folder,
            written=written,
            encoder=run.plan.encoder,
            shape=(run.sample_aspect_ratio() or 1) * Fraction(target.width, target.height),
            source=source,
            pieces=run.pieces(),
            audio=run.options.encode.audio,
            sink=run.sink,
        )
    )


def _context(run: RunContext) -> int:
    """Return frames next to a segment that decide on its pixels, too."""
    chosen = run.options.temporal
    context = DEFLICKER_RADIUS if chosen.deflicker else 0
    if reuses(run.options.device, run.engine):
        return context  # what is drawn depends on where a segment begins: so does the filter
    return context + temporal_radius_of(chosen.filter)


def _through_pipeline(
    run: RunContext, write: Writer, spans: Sequence[Span], **more: Any
) -> Written:
    """Upscale `spans` of the source into `write`; `more`: what else a `Section` has."""
    source, filters = run.progressive()
    seeks = run.plan.scan is not ScanMode.TELECINED  # whose filters count in fives
    return run_pipeline(
        source,
        Section(filters=filters, spans=run.counted(spans), seeks=seeks, **more),
        write,
        engine=run.engine,
        picture=run.picture(),
        options=run.options,
        sink=run.sink,
    )


def _frames_of(paths: Sequence[Path]) -> Iterator[Frame]:
    """Yield the frames of finished segments, one after the other."""
    for path in paths:
        yield from read_frames(probe(path), ColourOptions(), sink=silent)
