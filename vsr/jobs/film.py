"""One film, whole: probe, plan, run the pipeline, join with the sound, verify, name."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from vsr.engine.base import Engine
from vsr.engine.engines import Engines
from vsr.events import Finished, Note, Once, Sink, Started, silent
from vsr.jobs.folder import WorkFolder
from vsr.jobs.frames import finish, work_names
from vsr.jobs.intake import Taken, intake
from vsr.jobs.plan import Plan, plan, spans
from vsr.media.animation import ANIMATIONS, loops_of, muxer_options, set_last_duration
from vsr.media.containers import STDOUT
from vsr.media.encoders import Encoder
from vsr.media.ffmpeg import find_ffmpeg
from vsr.media.hdr import encoder_parameters
from vsr.media.listing import is_many
from vsr.media.mux import Picture as EncodedPicture
from vsr.media.mux import left_out, mux
from vsr.media.pipe import Pipe
from vsr.media.probe import SourceInfo, probe
from vsr.media.repair import clock_jumps, mended
from vsr.media.scan import Scan, undo
from vsr.media.sequence import probe_pictures
from vsr.media.sound import Sound
from vsr.media.spans import WHOLE
from vsr.media.still import STILLS, notes_of, put_notes
from vsr.media.tags import for_output, guessed, name_of
from vsr.nets.store import Loaded
from vsr.options import UpscaleOptions
from vsr.pipeline import Written, run
from vsr.stages.upscale import Picture

# Raw pictures, too large to be kept, with nothing beside them.
_PICTURE_ONLY = frozenset({"yuv4mpegpipe", "rawvideo"})
_RATE = Fraction(25)  # of y4m, where the source has none
_BEHIND = 1 << 22  # bytes that are read behind a part, for the sound that belongs to it


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was done."""

    output: Path
    frames: int
    width: int
    height: int
    seconds: float  # wall time
    notes: tuple[str, ...]


def upscale(
    source: Path | str,
    output: Path | str | None = None,
    options: UpscaleOptions | None = None,
    *,
    sink: Sink = silent,
) -> Result:
    """Upscale the film or picture `source`, with all its streams, to `output`.

    `source` may be an address (as `str`), "-" for standard input, or a folder or pattern of
    pictures that `output` is to be the film of; for each on its own there is `Batch`.
    `output` None: beside the source, a folder: in there; see the result's `output`; "-":
    standard output; a pattern such as `frames/%05d.png`: each frame as a picture.
    The name appears only when the file is complete and verified. `sink` hears of
    progress and notes, from several threads. Raises the errors of `vsr.errors`.
    """
    output = Path(output) if output is not None else None
    return upscale_one(source, output, options or UpscaleOptions(), Engines(), sink=sink)


def upscale_one(
    source: Path | str,
    output: Path | None,
    options: UpscaleOptions,
    engines: Engines,
    *,
    stem: str | None = None,
    sink: Sink,
) -> Result:
    """As `upscale`, with networks that may be loaded already. `stem`: as `plan` takes it."""
    if output is not None and output.is_symlink():
        output = output.resolve()  # the file behind the link is replaced, not the link
    once = Once(sink)
    find_ffmpeg()  # before hours of work that would end without it
    with intake(source, output, options, sink=once) as taken:
        return _upscale(taken, options, engines, stem=stem, sink=once)


def _upscale(
    taken: Taken, options: UpscaleOptions, engines: Engines, *, stem: str | None, sink: Once
) -> Result:
    began = time.monotonic()
    source, once = taken.path, sink
    # A bad source is told before weights are fetched.
    info = read_source(source, options, pipe=taken.pipe)
    model = engines.model(options.model, once)
    job = plan(info, taken.output, options, default_scale=model.scale, stem=stem)
    engine = engines.engine(options.model, job.target.scale, options.device)
    for note in _notes(job, options):
        once(Note(text=f"{info.path.name}: {note}"))
    once(
        Started(
            source=source,
            output=job.output,
            frames=job.frames,
            width=job.target.width,
            height=job.target.height,
            description=_describe(job, model.name, engine),
        )
    )
    if job.output == STDOUT:
        written = _write_out(job, model, engine, options, sink=once)
        return _result(job, written.frames, began, once)
    with WorkFolder(job.output, make=job.pattern is not None) as folder:
        if clock_jumps(info):
            once(Note(text=f"{source.name}: its clock jumps; mended in a copy of it"))
            mend = probe(mended(info, folder), options.colour, 0)
            job = dataclasses.replace(job, source=mend, spans=spans(mend, options))
        complete, frames = _write(job, folder, model, engine, options, sink=once)
        if job.pattern is not None:
            finish(job, job.pattern, folder, frames, sink=once)
        else:
            os.replace(complete, job.output)
    return _result(job, frames, began, once)


def _result(job: Plan, frames: int, began: float, once: Once) -> Result:
    seconds = time.monotonic() - began
    notes = tuple(once.notes)
    once(Finished(output=job.output, frames=frames, seconds=seconds, notes=notes))
    return Result(
        output=job.output,
        frames=frames,
        width=job.target.width,
        height=job.target.height,
        seconds=seconds,
        notes=notes,
    )


def read_source(path: Path, options: UpscaleOptions, *, pipe: Pipe | None = None) -> SourceInfo:
    """What is in a file, or in the pictures of a folder or pattern. Raises InputError."""
    if pipe is None and is_many(path):
        return probe_pictures(path, options.source.fps, options.colour)
    return probe(path, options.colour, options.source.stream, pipe=pipe)


def _notes(job: Plan, options: UpscaleOptions) -> Iterator[str]:
    """What the user should know before the work begins."""
    video, layout = job.source.video, job.encoder.layout
    yield from video.guesses
    if video.hdr is not None and encoder_parameters(video.hdr, job.encoder.encoder.name) is None:
        yield f"{job.codec} cannot carry its HDR10 metadata"
    if job.scan is Scan.INTERLACED:
        yield "is interlaced; deinterlaced with bwdif"
    if job.scan is Scan.TELECINED:
        yield "is telecined; the film's own frames are restored"
    if layout.bits < video.layout.bits and options.encode.bits is None:
        fewer = f"{video.layout.bits} bit become {layout.bits}"
        yield f"{fewer}, the most that {job.codec} holds here"
    if video.hidden_alpha:
        yield f"the transparency of {video.codec} cannot be read; it is lost"
    if video.transparent and not layout.alpha:
        yield f"its transparency does not fit {job.codec}"


def _write_out(
    job: Plan, model: Loaded, engine: Engine, options: UpscaleOptions, *, sink: Sink
) -> Written:
    """Into standard output, as it comes."""
    pieces = [span.piece(job.source.video.time_base) for span in job.spans]
    left_out(job.source, job.container, sink=sink)
    sound = None
    if job.container.audio is None and job.source.pictures is None:
        sound = Sound(job.source, pieces, sink=sink)
    if job.source.pipe is not None:
        job.source.pipe.start(1 if sound is None else 2)
    return _run(
        job,
        sys.stdout.buffer,
        model,
        engine,
        options,
        muxer_options=dict(job.container.options),
        sound=sound,
        sink=sink,
    )


def _run(
    job: Plan,
    target: Path | BinaryIO,
    model: Loaded,
    engine: Engine,
    options: UpscaleOptions,
    *,
    muxer_options: Mapping[str, str],
    sound: Sound | None = None,
    sink: Sink,
) -> Written:
    """The pipeline, for this job."""
    video, encoder = job.source.video, job.encoder.encoder
    source = job.source
    if job.scan is Scan.TELECINED and video.rate is not None:  # four frames come for five
        source = dataclasses.replace(
            source, video=dataclasses.replace(video, rate=video.rate * Fraction(4, 5))
        )
    colour = encoder.colour or for_output(
        video.colour,
        video.layout,
        job.encoder.layout,
        sitings=encoder.sitings,
        full_range=encoder.full_range,
    )
    if encoder.untagged:
        colour = guessed(job.encoder.layout, width=job.target.width, height=job.target.height)
    filters = undo(job.scan, video.rate)
    if job.pattern is not None and options.source.fps is not None:
        filters += (("fps", str(options.source.fps)),)
    if job.output == STDOUT and job.container.untimed:
        rate = source.video.rate or _RATE
        filters += (("fps", str(rate)),)
        video = dataclasses.replace(source.video, rate=rate, time_base=1 / rate)
        source = dataclasses.replace(source, video=video)
    return run(
        source,
        target,
        filters=filters,
        spans=job.spans or (WHOLE,),
        engine=engine,
        picture=Picture(
            target=job.target,
            layout=job.encoder.layout,
            colour=colour,
            kernel=model.kernel,
            anchored=options.model.keep_colours,
        ),
        encoder=job.encoder,
        muxer_options=muxer_options,
        muxer=job.container.muxer if job.output == STDOUT else None,
        sound=sound,
        options=options,
        sink=sink,
    )


def _write(
    job: Plan,
    folder: Path,
    model: Loaded,
    engine: Engine,
    options: UpscaleOptions,
    *,
    sink: Sink,
) -> tuple[Path, int]:
    """The complete result, in `folder`, and its number of frames."""
    video, encoder = job.source.video, job.encoder.encoder
    muxer = job.container.muxer
    encoded = folder / f"picture.{encoder.container}"
    if job.pattern is not None:
        encoded = work_names(job, folder)
    with ExitStack() as stack:
        source = _kept(job.source, folder, stack)
        written = _run(
            job,
            encoded,
            model,
            engine,
            options,
            muxer_options=_muxer_options(job, muxer, encoder),
            sink=sink,
        )
        if (pipe := job.source.pipe) is not None:
            pipe.drain(_BEHIND if job.spans else None)
            pipe.stop()
    if muxer in STILLS or muxer in ANIMATIONS:  # complete as they are, but for this
        if muxer in ANIMATIONS:
            set_last_duration(encoded, muxer, written.last_duration)
        if job.pattern is None and source.pictures is None:
            put_notes(encoded, notes_of(source.path))
        left_out(source, job.container, sink=sink)
        return encoded, written.frames
    joined = folder / f"joined{job.output.suffix}"
    picture = EncodedPicture(
        path=encoded,
        codec=encoder.codec,
        hidden_alpha=encoder.codec == "vp9" and job.encoder.layout.alpha,
        frames=written.frames,
        first=written.first,
        last=written.last,
    )
    pieces = [span.piece(video.time_base) for span in job.spans]
    mux(picture, source, joined, job.container, pieces=pieces, sink=sink)
    return joined, written.frames


def _kept(source: SourceInfo, folder: Path, stack: ExitStack) -> SourceInfo:
    """The source as it can be read again, for what is not its picture."""
    pipe = source.pipe
    if pipe is None:
        return source
    if pipe.file is not None:
        pipe.start(1)
        return dataclasses.replace(source, path=pipe.file, pipe=None)
    if source.format in _PICTURE_ONLY:
        pipe.start(1)
        return source
    copy = folder / source.path.name
    pipe.start(1, stack.enter_context(copy.open("wb")))
    return dataclasses.replace(source, path=copy, pipe=None)


def _muxer_options(job: Plan, muxer: str, encoder: Encoder) -> dict[str, str]:
    info = job.source
    if muxer in ANIMATIONS:
        return muxer_options(muxer, loops_of(info.path))
    if job.pattern is not None:
        return {"start_number": "1"}
    if muxer in STILLS:
        return {"update": "1"}  # one file of this very name, whatever is in it
    if encoder.container not in ("mp4", "mov"):
        return {}
    # Or a late start would be rounded to milliseconds.
    return {"movie_timescale": str(max(info.video.time_base.denominator, 1000))}


def _describe(job: Plan, model: str, engine: Engine) -> str:
    """The run in one line, for people."""
    video = job.source.video
    return (
        f"{model}, {engine.device} {engine.precision}, {video.width}x{video.height} -> "
        f"{job.target.width}x{job.target.height} {name_of(video.colour.matrix)}, "
        f"{job.encoder.description}"
    )
