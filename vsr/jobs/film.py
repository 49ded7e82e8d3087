"""One film, whole: probe, plan, run the pipeline, join with the sound, verify, name."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vsr.engine.base import Engine
from vsr.engine.build import build_engine
from vsr.errors import OutputError
from vsr.events import Finished, Note, Once, Sink, Started, silent
from vsr.jobs.plan import Plan, plan
from vsr.media.animation import ANIMATIONS, loops_of, muxer_options, set_last_duration
from vsr.media.ffmpeg import find_ffmpeg
from vsr.media.hdr import encoder_parameters
from vsr.media.mux import Picture as EncodedPicture
from vsr.media.mux import left_out, mux
from vsr.media.probe import probe
from vsr.media.repair import clock_jumps, mended
from vsr.media.scan import Scan, undo
from vsr.media.tags import for_output, name_of
from vsr.nets.store import load
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
    info = probe(source, options.colour)  # a bad source is told before weights are fetched
    model = load(options.model, once)
    job = plan(info, output, options, default_scale=model.scale)
    engine = build_engine(model, job.target.scale, options.device)
    video = job.source.video
    for guess in video.guesses:
        once(Note(text=f"{source.name}: {guess}"))
    if video.hdr is not None and encoder_parameters(video.hdr, job.encoder.encoder.name) is None:
        once(Note(text=f"{source.name}: {job.codec} cannot carry its HDR10 metadata"))
    if job.scan is Scan.INTERLACED:
        once(Note(text=f"{source.name}: is interlaced; deinterlaced with bwdif"))
    if job.scan is Scan.TELECINED:
        once(Note(text=f"{source.name}: is telecined; the film's own frames are restored"))
    if job.encoder.layout.bits < min(video.layout.bits, 16) and options.encode.bits is None:
        fewer = f"{video.layout.bits} bit become {job.encoder.layout.bits}"
        once(Note(text=f"{source.name}: {fewer}, the most that {job.codec} holds here"))
    if video.transparent and not job.encoder.layout.alpha:
        once(Note(text=f"{source.name}: its transparency does not fit {job.codec}"))
    once(
        Started(
            source=source,
            output=job.output,
            frames=video.frames,
            width=job.target.width,
            height=job.target.height,
            description=_describe(job, model.name, engine),
        )
    )
    picture = Picture(
        target=job.target,
        layout=job.encoder.layout,
        colour=for_output(
            video.colour,
            video.layout,
            job.encoder.layout,
            sitings=job.encoder.encoder.sitings,
            full_range=job.encoder.encoder.full_range,
        ),
        kernel=model.kernel,
        anchored=options.model.keep_colours,
    )
    with _WorkFolder(job.output) as folder:
        muxer = job.container.muxer
        animated = muxer in ANIMATIONS
        loops = loops_of(info.path) if animated else 1
        if clock_jumps(info):
            once(Note(text=f"{source.name}: its clock jumps; mended in a copy of it"))
            mend = probe(mended(info, folder), options.colour)
            job = dataclasses.replace(job, source=mend)
        encoded = folder / f"picture.{job.encoder.encoder.container}"
        written = run(
            job.source,
            encoded,
            filters=undo(job.scan, video.rate),
            engine=engine,
            picture=picture,
            encoder=job.encoder,
            muxer_options=muxer_options(muxer, loops)
            if animated
            # Or a late start would be rounded to milliseconds.
            else {"movie_timescale": str(max(video.time_base.denominator, 1000))},
            options=options,
            sink=once,
        )
        if animated:
            set_last_duration(encoded, muxer, written.last_duration)
            left_out(job.source, job.container, sink=once)
            joined = encoded
        else:
            joined = folder / f"joined{job.output.suffix}"
            mux(
                EncodedPicture(
                    path=encoded,
                    codec=job.encoder.encoder.codec,
                    frames=written.frames,
                    first=written.first,
                    last=written.last,
                ),
                job.source,
                joined,
                job.container,
                sink=once,
            )
        os.replace(joined, job.output)
    seconds = time.monotonic() - began
    once(
        Finished(output=job.output, frames=written.frames, seconds=seconds, notes=tuple(once.notes))
    )
    return Result(
        output=job.output,
        frames=written.frames,
        width=job.target.width,
        height=job.target.height,
        seconds=seconds,
        notes=tuple(once.notes),
    )


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
