"""One film, whole: probe, plan, run the pipeline, join with the sound, verify, name."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr.engine.cache import EngineCache
from vsr.errors import Interrupted, ModelError, OutputExists, Stopped, VsrError
from vsr.events import Finished, Note, OncePerNote, Sink, Started, Timed, WarningNote, silent
from vsr.jobs.plan.notes import describe, losses, notes
from vsr.jobs.plan.plan import Plan
from vsr.jobs.plan.plan import plan as make_plan
from vsr.jobs.plan.scratch import WorkFolder, made
from vsr.jobs.plan.source import OpenedSource, intake
from vsr.jobs.run.auto_strength import resolve_strength
from vsr.jobs.run.context import Hooks, RunContext, Runner, never
from vsr.jobs.run.drawn_hint import drawn_hint
from vsr.jobs.run.encode import deliver, into_folder, into_pipe
from vsr.jobs.run.resume import run_job
from vsr.jobs.store.job_store import folder_of, forget
from vsr.jobs.store.object_store import ObjectOutput
from vsr.media.ffmpeg import find_ffmpeg
from vsr.media.source.kinds.base import Source
from vsr.media.source.kinds.table import probe_source
from vsr.media.source.local_name import local_output, names_folder
from vsr.nets.store import with_own_colours
from vsr.objects import is_object
from vsr.options import UpscaleOptions, with_keywords


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
    runner: Runner | None = None,
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
    progress and notes, from several threads. Each of the two names may be an `s3://` address.
    Raises the errors of `vsr.errors`.

    What is finished of a film is kept beside the output until all of it is; the same call
    goes on with it. `stop`: asked after each segment, whether to stop there (raises Stopped, or
    Interrupted where no segment is finished yet).
    `runner`: who works on the segments of a film, see `vsr.runners`; None: this process.
    """
    options = with_keywords(options or UpscaleOptions(), chosen)
    remote = None
    if is_object(output):
        remote = ObjectOutput(str(output))
        output = remote.path
    into = local_output(output) if output is not None else None
    with made(into or Path(), wanted=names_folder(output)):
        hooks = Hooks(sink=sink, stop=stop, runner=runner, remote=remote)
        return upscale_one(source, into, options, EngineCache(), hooks)


def upscale_one(
    source: Path | str,
    output: Path | None,
    options: UpscaleOptions,
    engines: EngineCache,
    hooks: Hooks,
    *,
    stem: str | None = None,
) -> Result:
    """Do as `upscale`, with networks that may be loaded already. `stem`: as `plan` takes it."""
    if output is not None and output.is_symlink():
        output = output.resolve()  # the file behind the link is replaced, not the link
    if hooks.remote is not None:
        hooks.remote.check(overwrite=options.encode.overwrite)
    once = OncePerNote(Timed(hooks.sink))
    find_ffmpeg()  # before hours of work that would end without it
    with _tidied(), intake(source, output, options, sink=once) as opened:
        began = time.monotonic()
        run = prepare(opened, options, engines, dataclasses.replace(hooks, sink=once), stem=stem)
        hooks.claim(run.plan.output.path)
        with _named(run.plan, run.model.name):
            frames = _carry_out(resolve_strength(run))
        if hooks.remote is not None:
            run.plan.output.path.unlink(missing_ok=True)  # it is there as an object
        return _result(run.plan, frames, began, once)


@contextmanager
def _tidied() -> Iterator[None]:
    """Take away what a run left that was killed at its very end, when all it made was there."""
    try:
        yield
    except OutputExists as error:
        if error.output is not None:
            store = folder_of(error.output)
            if not (store / "job.json").exists():
                forget(store)
        raise


@contextmanager
def _named(plan: Plan, model: str) -> Iterator[None]:
    """See to it that a failure of the work names what it is about.

    An encoder, a network or the ffmpeg program that fails does not know which film it works on.
    """
    try:
        yield
    except (Stopped, Interrupted):
        raise  # both say how to go on
    except VsrError as error:
        about = model if isinstance(error, ModelError) else plan.output.path.name
        known = (about, plan.source.path.name, str(plan.output.path.absolute().parent))
        if not error.options and not any(name in error.text for name in known):
            error.args = (f"{about}: {error.text}",)
        raise


def _carry_out(run: RunContext) -> int:
    """Do the work; returns the number of frames."""
    plan, name = run.plan, run.plan.source.path.name
    for note in notes(plan, run.options):
        run.sink(Note(text=f"{name}: {note}"))
    if (hint := drawn_hint(run)) is not None:
        run.sink(Note(text=f"{name}: {hint}"))
    for loss in losses(plan, run.options):
        run.sink(WarningNote(text=f"{name}: {loss}"))
    run.sink(
        Started(
            source=run.path,
            output=plan.output.path,
            frames=plan.frames,
            width=plan.target.width,
            height=plan.target.height,
            description=describe(plan, run.model.name, run.engine),
            store=folder_of(plan.output.path) if plan.is_resumable else None,
        )
    )
    if plan.output.is_stream:
        return into_pipe(run).frames
    with made(plan.output.path.absolute().parent, plan.output.is_sequence):
        if plan.is_resumable:
            return run_job(run)
        with WorkFolder(plan.output.path) as folder:
            complete, frames = into_folder(run.repaired(folder), folder)
            deliver(run, complete, frames)
    return frames


def prepare(
    opened: OpenedSource,
    options: UpscaleOptions,
    engines: EngineCache,
    hooks: Hooks,
    *,
    stem: str | None = None,
) -> RunContext:
    """Look at the source, load the model, make the plan. Raises the errors of `vsr.errors`."""
    source = read_source(opened, options)  # a bad source is told before weights are fetched
    if options.source.strict:
        source.check_whole(hooks.sink)
    model = engines.model(options.model, hooks.sink)
    options = with_own_colours(model, options, hooks.sink)
    plan = make_plan(source, opened.output, options, default_scale=model.scale, stem=stem)
    return RunContext(
        plan=plan,
        model=model,
        engine=engines.engine(options.model, plan.target.scale, options.device, hooks.sink),
        options=options,
        path=opened.path,
        address=opened.address,
        hooks=hooks,
    )


def _result(plan: Plan, frames: int, began: float, once: OncePerNote) -> Result:
    seconds = time.monotonic() - began
    notes = tuple(once.notes)
    once(Finished(output=plan.output.path, frames=frames, seconds=seconds, notes=notes))
    return Result(
        output=plan.output.path,
        frames=frames,
        width=plan.target.width,
        height=plan.target.height,
        seconds=seconds,
        notes=notes,
    )


def read_source(opened: OpenedSource, options: UpscaleOptions) -> Source:
    """Return what is in a file, or in the pictures of a folder or pattern. Raises InputError."""
    source = options.source
    info = probe_source(
        opened.path, options.colour, fps=source.fps, stream=source.stream, pipe=opened.pipe
    )
    return dataclasses.replace(info, lasts=opened.lasting)
