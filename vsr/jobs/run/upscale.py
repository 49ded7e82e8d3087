"""One film, whole: probe, plan, run the pipeline, join with the sound, verify, name."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr.engine.base import Engine
from vsr.engine.cache import EngineCache
from vsr.errors import Interrupted, ModelError, Stopped, VsrError
from vsr.events import Finished, Note, OncePerNote, Sink, Started, WarningNote, silent
from vsr.jobs.plan.plan import Plan, plan
from vsr.jobs.plan.scratch import WorkFolder, made
from vsr.jobs.plan.source import OpenedSource, intake
from vsr.jobs.run.auto_strength import settled
from vsr.jobs.run.context import RunContext, never, unheard
from vsr.jobs.run.outputs import Runner, deliver, here, into_folder, into_pipe
from vsr.jobs.run.resume import run_job
from vsr.jobs.store.job_store import folder_of
from vsr.media.ffmpeg import find_ffmpeg
from vsr.media.format.colour_tags import name_of
from vsr.media.format.containers import STDOUT
from vsr.media.format.encoders import Encoder
from vsr.media.format.hdr import TELLS_LIGHT, encoder_parameters
from vsr.media.format.repeatable import unrepeatable
from vsr.media.read.interlace import ScanMode
from vsr.media.source.kinds.base import Source, VideoInfo
from vsr.media.source.kinds.table import probe_source
from vsr.media.source.local_name import local_output, names_folder
from vsr.options import Codec, UpscaleOptions, with_keywords
from vsr.stages.temporal.deflicker import levels

# Codecs that devices play in hardware, mostly in 4:2:0 alone.
_IN_HARDWARE = frozenset({"h264", "hevc", "av1", "vp9"})


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
    stop: Callable[[], bool] = never,
    runner: Runner = here,
    **chosen: Any,
) -> Result:
    """Upscale the film or picture `source`, with all its streams, to `output`.

    Options may be given as a tree, or by the names of the command line's, `model="x4plus",
    height=1080`; those given by name take the place of the tree's.

    `source` may be an address (as `str`), "-" for standard input, or a folder or pattern of
    pictures that `output` is to be the film of; for each on its own there is `Batch`.
    `output` None: beside the source, a folder: in there (`done/` is made); see the result's
    `output`; "-": standard output; a pattern such as `frames/%05d.png`: each frame as a picture.
    The name appears only when the file is complete and verified. `sink` hears of
    progress and notes, from several threads. Raises the errors of `vsr.errors`.

    What is finished of a film is kept beside the output until all of it is; the same call
    goes on with it. `stop`: asked after each part, whether to stop there (raises Stopped, or
    Interrupted where no part is finished yet).
    `runner`: who works on the parts of a film, see `vsr.runners`.
    """
    into = local_output(output) if output is not None else None
    options = with_keywords(options or UpscaleOptions(), chosen)
    with made(into or Path(), wanted=names_folder(output)):
        return upscale_one(
            source, into, options, EngineCache(), sink=sink, stop=stop, runner=runner
        )


def upscale_one(
    source: Path | str,
    output: Path | None,
    options: UpscaleOptions,
    engines: EngineCache,
    *,
    stem: str | None = None,
    claim: Callable[[Path], None] | None = None,
    ready: Callable[[Plan, Path, int], None] = unheard,
    sink: Sink,
    stop: Callable[[], bool] = never,
    runner: Runner = here,
) -> Result:
    """Upscale as `upscale`, with networks that may be loaded already. `stem`: as `plan` takes it.

    `claim`: told the result's name before any work; it may raise UsageError. `ready`: told of the
    complete file and its frames before that gets its name; of many, of the last when all have it.
    """
    if output is not None and output.is_symlink():
        output = output.resolve()  # the file behind the link is replaced, not the link
    once = OncePerNote(sink)
    find_ffmpeg()  # before hours of work that would end without it
    with intake(source, output, options, sink=once) as taken:
        began = time.monotonic()
        work = work_for(taken, options, engines, stem=stem, stop=stop, sink=once)
        if claim is not None:
            claim(work.job.output)
        with _named(work.job, work.model.name):
            work = dataclasses.replace(settled(work), ready=ready)
            frames = _carry_out(work, taken, runner, once)
        return _result(work.job, frames, began, once)


@contextmanager
def _named(job: Plan, model: str) -> Iterator[None]:
    """See to it that a failure of the work names what it is about.

    An encoder, a network or the ffmpeg program that fails does not know which film it works on.
    """
    try:
        yield
    except (Stopped, Interrupted):
        raise  # both say how to go on
    except VsrError as error:
        about = model if isinstance(error, ModelError) else job.output.name
        known = (about, job.source.path.name, str(job.output.absolute().parent))
        if not error.options and not any(name in error.text for name in known):
            error.args = (f"{about}: {error.text}",)
        raise


def _carry_out(work: RunContext, taken: OpenedSource, runner: Runner, once: OncePerNote) -> int:
    """Do the work; returns the number of frames."""
    job, info = work.job, work.job.source
    resumable = info.lasts and job.output != STDOUT and not _is_single(job)
    for note in _notes(job, work.options):
        once(Note(text=f"{info.path.name}: {note}"))
    for loss in _losses(job, work.options):
        once(WarningNote(text=f"{info.path.name}: {loss}"))
    once(
        Started(
            source=taken.path,
            output=job.output,
            frames=job.frames,
            width=job.target.width,
            height=job.target.height,
            description=_describe(job, work.model.name, work.engine),
            store=folder_of(job.output) if resumable else None,
        )
    )
    if job.output == STDOUT:
        return into_pipe(work).frames
    with made(job.output.absolute().parent, job.pattern is not None):
        if resumable:
            return run_job(work, runner)
        with WorkFolder(job.output) as folder:
            complete, frames = into_folder(work.mended(folder), folder)
            deliver(work, complete, frames, folder)
    return frames


def work_for(
    taken: OpenedSource,
    options: UpscaleOptions,
    engines: EngineCache,
    *,
    stem: str | None = None,
    stop: Callable[[], bool] = never,
    sink: Sink,
) -> RunContext:
    """Look at the source, load the model, settle the plan. Raises the errors of `vsr.errors`."""
    info = read_source(taken, options)  # a bad source is told before weights are fetched
    if options.source.strict:
        info.check_whole(sink)
    model = engines.model(options.model, sink)
    job = plan(info, taken.output, options, default_scale=model.scale, stem=stem)
    return RunContext(
        job=job,
        model=model,
        engine=engines.engine(options.model, job.target.scale, options.device, sink),
        options=options,
        path=taken.path,
        sink=sink,
        stop=stop,
    )


def _is_single(job: Plan) -> bool:
    """Return whether it is one picture, which is soon done again."""
    return job.container.pictures is not None or (job.source.video.frames == 1 and not job.spans)


def _result(job: Plan, frames: int, began: float, once: OncePerNote) -> Result:
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


def read_source(taken: OpenedSource, options: UpscaleOptions) -> Source:
    """Return what is in a file, or in the pictures of a folder or pattern. Raises InputError."""
    source = options.source
    info = probe_source(
        taken.path, options.colour, fps=source.fps, stream=source.stream, pipe=taken.pipe
    )
    return dataclasses.replace(info, lasts=taken.lasting)


def _notes(job: Plan, options: UpscaleOptions) -> Iterator[str]:
    """Yield what the user should know before the work begins."""
    video = job.source.video
    yield from video.guesses
    layout = job.encoder.layout
    if layout.family == "yuv" and not layout.sub_y and job.encoder.encoder.codec in _IN_HARDWARE:
        yield (
            f"stays {layout.name}, which few players decode in hardware; "
            f"they do <encode.chroma> 420"
        )
    if job.scan is ScanMode.INTERLACED:
        yield "is interlaced; deinterlaced with bwdif"
    if job.scan is ScanMode.TELECINED:
        yield "is telecined; the film's own frames are restored"
    if options.temporal.deflicker and not levels(video.colour):
        yield "is HDR, whose light <temporal.deflicker> leaves as it is"


def _losses(job: Plan, options: UpscaleOptions) -> Iterator[str]:
    """Yield what of the picture the result cannot have."""
    video, layout = job.source.video, job.encoder.layout
    yield from job.source.flaws()
    yield from video.beside
    encoder, muxer = job.encoder.encoder, job.container.muxer
    if video.colour.hdr:
        yield from _losses_of_hdr(video, job.codec, encoder, muxer)
    if layout.bits < video.layout.bits and options.encode.bits is None:
        fewer = f"{video.layout.bits} bit become {layout.bits}"
        yield f"{fewer}, the most that {job.codec} holds here"
    if video.hidden_alpha:
        yield f"the transparency of {video.codec} cannot be read; it is lost"
    if why := unrepeatable(job.encoder, job.target.width):
        yield why
    if video.transparent and not layout.alpha:
        holds = (
            "a .mov, .mkv or .webm would keep it"
            if not job.container.alpha
            else "see <encode.codec>"
        )
        yield f"its transparency does not fit {job.codec}; {holds}"


def _losses_of_hdr(video: VideoInfo, codec: Codec, encoder: Encoder, muxer: str) -> Iterator[str]:
    if encoder.untagged or encoder.codec in _TELLS_NO_TRANSFER:
        yield f"is HDR, which {codec} cannot say: the result will look pale"
    elif encoder.codec == "h264":
        yield (
            "is HDR, and hardly any device plays that from H.264; "
            "<encode.codec> h265 or av1 would do"
        )
    written = encoder_parameters(video.hdr, encoder.name) if video.hdr is not None else ("", "")
    if written is None and muxer not in TELLS_LIGHT:
        yield f"neither {codec} nor {muxer} can carry its HDR10 metadata"


_TELLS_NO_TRANSFER = frozenset({"gif", "webp", "mjpeg"})


def _describe(job: Plan, model: str, engine: Engine) -> str:
    """Return the run in one line, for people."""
    video = job.source.video
    runtime = f"{engine.label} " if engine.label else ""
    return (
        f"{model}, {engine.device} {runtime}{engine.precision}, {video.width}x{video.height} -> "
        f"{job.target.width}x{job.target.height} {name_of(video.colour.matrix)}, "
        f"{job.encoder.description}"
    )
