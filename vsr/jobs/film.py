"""One film, whole: probe, plan, run the pipeline, join with the sound, verify, name."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vsr.engine.base import Engine
from vsr.engine.build import build_engine
from vsr.errors import OutputError
from vsr.events import Finished, Note, Once, Sink, Started, silent
from vsr.jobs.plan import Plan, plan
from vsr.media.animation import ANIMATIONS, loops_of, muxer_options, set_last_duration
from vsr.media.encoders import Encoder
from vsr.media.ffmpeg import find_ffmpeg
from vsr.media.hdr import encoder_parameters
from vsr.media.mux import Picture as EncodedPicture
from vsr.media.mux import left_out, mux
from vsr.media.probe import SourceInfo, probe
from vsr.media.repair import clock_jumps, mended
from vsr.media.scan import Scan, undo
from vsr.media.still import STILLS, carry_notes
from vsr.media.tags import for_output, name_of
from vsr.nets.store import Loaded, load
from vsr.options import UpscaleOptions
from vsr.pipeline import run
from vsr.stages.upscale import Picture


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
    """Upscale the film `source`, with all its streams, to `output`.

    `output` None: beside the source, a folder: in there; see the result's `output`.
    The name appears only when the file is complete and verified. `sink` hears of
    progress and notes, from several threads. Raises the errors of `vsr.errors`.
    """
    options = options or UpscaleOptions()
    source, output = Path(source), Path(output) if output is not None else None
    if output is not None and output.is_symlink():
        output = output.resolve()  # the file behind the link is replaced, not the link
    began = time.monotonic()
    once = Once(sink)
    find_ffmpeg()  # before hours of work that would end without it
    # A bad source is told before weights are fetched.
    info = probe(source, options.colour, options.source.stream)
    model = load(options.model, once)
    job = plan(info, output, options, default_scale=model.scale)
    engine = build_engine(model, job.target.scale, options.device)
    for note in _notes(job, options):
        once(Note(text=f"{source.name}: {note}"))
    once(
        Started(
            source=source,
            output=job.output,
            frames=info.video.frames,
            width=job.target.width,
            height=job.target.height,
            description=_describe(job, model.name, engine),
        )
    )
    with _WorkFolder(job.output) as folder:
        if clock_jumps(info):
            once(Note(text=f"{source.name}: its clock jumps; mended in a copy of it"))
            mend = probe(mended(info, folder), options.colour, 0)
            job = dataclasses.replace(job, source=mend)
        complete, frames = _write(job, folder, model, engine, options, sink=once)
        os.replace(complete, job.output)
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
    encoded = folder / f"picture.{encoder.container}"
    written = run(
        source,
        encoded,
        filters=undo(job.scan, video.rate),
        engine=engine,
        picture=Picture(
            target=job.target,
            layout=job.encoder.layout,
            colour=colour,
            kernel=model.kernel,
            anchored=options.model.keep_colours,
        ),
        encoder=job.encoder,
        muxer_options=_muxer_options(job.source, muxer, encoder),
        options=options,
        sink=sink,
    )
    if muxer in STILLS or muxer in ANIMATIONS:  # complete as they are, but for this
        if muxer in STILLS:
            carry_notes(job.source.path, encoded)
        else:
            set_last_duration(encoded, muxer, written.last_duration)
        left_out(job.source, job.container, sink=sink)
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
    mux(picture, job.source, joined, job.container, sink=sink)
    return joined, written.frames


def _muxer_options(info: SourceInfo, muxer: str, encoder: Encoder) -> dict[str, str]:
    if muxer in ANIMATIONS:
        return muxer_options(muxer, loops_of(info.path))
    if muxer in STILLS:
        return {"update": "1"}  # one file of this very name, whatever is in it
    if encoder.container == "webm":
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


class _WorkFolder:
    """A hidden folder beside the output: the same file system, so that a rename finishes."""

    def __init__(self, output: Path) -> None:
        self._parent = output.absolute().parent

    def __enter__(self) -> Path:
        try:
            self._path = Path(tempfile.mkdtemp(prefix=".vsr-", dir=self._parent))
        except OSError as error:
            raise OutputError(f"{self._parent}: cannot be written to ({error.strerror})") from error
        return self._path

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):
            shutil.rmtree(self._path)
