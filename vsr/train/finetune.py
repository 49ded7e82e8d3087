"""A shipped network, taught one film's damage: estimate, train, compare, and keep it if better."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vsr.errors import (
    InputError,
    OutputError,
    OutputExists,
    UsageError,
    VsrError,
)
from vsr.events import Event, Note, Sink, Step, silent
from vsr.nets.store import load, load_file_as_network
from vsr.options import ModelOptions, to_dict
from vsr.train.checkpoint import write_whole
from vsr.train.data import StoredClip, TrainingBatch, gather, halves, split
from vsr.train.degrade.settings import Damage, read_damage
from vsr.train.film import opened
from vsr.train.judge import (
    BETTER,
    HeldOutScore,
    before_after,
    held_pairs,
    score_of,
    settle_colours,
)
from vsr.train.learner import Learner, training_device
from vsr.train.like import described, estimate
from vsr.train.loop import TrainingResult, train
from vsr.train.options import (
    DataOptions,
    FinetuneOptions,
    LossOptions,
    ScheduleOptions,
    TrainOptions,
)
from vsr.train.sources import found_clips

_SHARE = 0.85  # of the time left after the preparation that goes to steps; the rest checks
_TRIED = 10  # steps, to know what one takes
_MOST = {"cpu": 20_000, "cuda": 20_000}  # steps
_PATIENCE = 6  # checks without a better one, after which it is no use
_HELD_OUT = 0.2  # of the clips: half to choose the best weights by, half to judge them by
_WINDOW = 512  # pixels of a clip's side that are kept, at most
_DIGITS = 8  # of the sha256 of options, in a name


@dataclass(frozen=True, kw_only=True)
class FinetuneReport:
    """Before and after."""

    output: Path | None  # None: not written, as it was no better
    damage: str
    before: HeldOutScore
    after: HeldOutScore
    scenes: int  # judged by
    steps: int
    seconds: float
    picture: Path  # damaged, before, after, clean

    @property
    def better(self) -> bool:
        """Whether PSNR rose, and VMAF did not fall by more than half a point."""
        worse = self.after.vmaf < self.before.vmaf - 0.5
        return self.after.psnr >= self.before.psnr + BETTER and not worse


def finetune(
    clean: Path,
    damaged: Path | None,
    output: Path,
    options: FinetuneOptions | None = None,
    *,
    overwrite: bool = False,
    restart: bool = False,
    stop: Callable[[], bool] = lambda: False,
    sink: Sink = silent,
) -> FinetuneReport:
    """Teach a network to undo what `damaged` suffers from, with the clean film `clean`.

    `damaged` may be None where `options.damage` names the damage. The work lies beside the output
    in a folder that ends in `.train`; the same call goes on there, one with other options begins
    work of its own, and `restart` throws away what these options have begun. `stop` is asked
    between steps, and between clips that are judged. Raises what `train` raises, and VsrError
    where the time was over before the first step.
    """
    options = options or FinetuneOptions()
    began = time.monotonic()
    _check(clean, damaged, output, options, overwrite)
    device = training_device(options.device)
    loaded = load(ModelOptions(name=options.start), sink)
    if loaded.network is None:
        raise UsageError(f"<finetune.start> {options.start}: has nothing to learn")
    # What is wrong with the options is to be known before the estimate, which takes its time.
    plan = _plan(clean, options, read_damage(changes={"scale": loaded.scale}))
    folder = output.with_suffix(".train")
    damage, words = _damage(plan, damaged, options, _folder(folder), restart)
    sink(Note(text=f"damage: {words}"))
    plan = dataclasses.replace(plan, damage=damage)
    target = folder / f"candidate-{_key(plan, options)}.safetensors"
    work = target.with_suffix(".train")
    if restart and work.is_dir():
        shutil.rmtree(work)
    clips = gather(work / "clips", plan.data, damage, plan.seed, sink)
    chosen_by, judged_by = _held_out(clean, clips, sink)
    chose, pairs = (
        held_pairs(work / "clips", held, damage, plan.seed) for held in (chosen_by, judged_by)
    )
    begun = loaded.network.to(device)
    before = score_of(begun, pairs, stop, keep_colours=not loaded.own_colours)
    sink(Note(text=f"before: {before} on {len(pairs)} clips that are held out"))
    plan = _timed(plan, options, device, work, began)
    trained = _train(
        plan, target, options, began, chosen_by={clip.scene for clip in chosen_by}, stop=stop,
        sink=sink,
    )  # fmt: skip
    network = load_file_as_network(target).to(device)
    own = settle_colours(target, network, chose)
    after = score_of(network, pairs, stop, keep_colours=not own)
    picture = folder / "before_after.png"
    before_after(picture, pairs, ((begun, loaded.own_colours), (network, own)))
    report = FinetuneReport(
        output=output, damage=words, before=before, after=after,
        scenes=len({clip.scene for clip in judged_by}), steps=trained.steps,
        seconds=time.monotonic() - began, picture=picture,
    )  # fmt: skip
    return _delivered(report, target, output, folder, keep=options.keep)


def _delivered(
    report: FinetuneReport, target: Path, output: Path, folder: Path, *, keep: bool
) -> FinetuneReport:
    """Give the weights their name, if they are better, and write down what they came to."""
    if report.better or keep:
        os.replace(target, output)
    else:
        report = dataclasses.replace(report, output=None)
    write_whole(folder / "report.json", json.dumps(plain(report), indent=1).encode())
    return report


def _check(
    clean: Path, damaged: Path | None, output: Path, options: FinetuneOptions, overwrite: bool
) -> None:
    """Refuse what cannot come to anything, as far as that is known at once."""
    if output.suffix != ".safetensors":
        raise UsageError(f"{output}: weights are written as .safetensors; give it that name")
    if output.exists() and not overwrite:
        raise OutputExists(f"{output}: is there already; <encode.overwrite> replaces it")
    if damaged is None and options.damage is None:
        raise UsageError("name a film of that damage (<like>), or say it (<finetune.damage>)")
    if damaged is not None and options.damage is not None:
        raise UsageError("<like> and <finetune.damage>: one of them")
    if not 16 <= options.patch <= _WINDOW:
        raise UsageError(f"<finetune.patch> {options.patch}: from 16 to {_WINDOW} pixels")
    for name, value, least in (("clips", options.clips, 2), ("steps", options.steps, 1)):
        if value is not None and value < least:
            raise UsageError(f"<finetune.{name}> {value}: at least {least}")
    if clean.is_file() and clean.suffix != ".txt":
        video = opened(clean).video
        if min(video.width, video.height) < options.patch:
            raise InputError(
                f"{clean}: is {video.width}x{video.height}; "
                f"<finetune.patch> {options.patch} takes at least {options.patch} pixels a side"
            )


def _folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder


def _damage(
    plan: TrainOptions, damaged: Path | None, options: FinetuneOptions, folder: Path, restart: bool
) -> tuple[Damage, str]:
    """Return what to damage clips with: as told, or as estimated, which is kept for the next
    time that these films and this scale are named.
    """
    clean, scale = plan.data.clean[0], plan.damage.scale
    if options.damage is not None:
        return read_damage(options.damage, {"scale": scale}), f"as in {options.damage.name}"
    assert damaged is not None
    kept, made = folder / "like.toml", folder / "like.json"
    made_of = {"damaged": _identity(damaged), "clean": _identity(clean), "scale": scale}
    said = None
    if kept.is_file() and made.is_file() and not restart:
        stored = json.loads(made.read_text())
        said = stored["found"] if stored["made_of"] == made_of else None
    if said is None:
        _check_scenes(plan)  # as the estimate takes a minute
        found = estimate(damaged, clean, scale)
        said = str(found)
        made.unlink(missing_ok=True)  # else a kill in between leaves it beside another's estimate
        write_whole(kept, described(found.changes(scale)).encode())
        write_whole(made, json.dumps({"found": said, "made_of": made_of}, indent=1).encode())
    return read_damage(kept), said


def _check_scenes(plan: TrainOptions) -> None:
    """Refuse one scene alone; reads on only until a second one is seen. Raises UsageError."""
    scenes = set()
    with closing(found_clips(plan.data, plan.damage, silent)) as clips:
        for found in clips:
            scenes.add(found.scene)
            if len(scenes) > 1:
                return
    if scenes:
        raise _one_scene(plan.data.clean[0])


def _one_scene(clean: Path) -> UsageError:
    return UsageError(f"{clean}: is one scene; a part of the scenes is held out to judge by")


def _identity(path: Path) -> list[Any]:
    """Return path, size and time of change; the path alone where it names several pictures."""
    if not path.exists():
        return [str(path.resolve())]
    state = path.stat()
    return [str(path.resolve()), state.st_size, state.st_mtime_ns]


def _key(plan: TrainOptions, options: FinetuneOptions) -> str:
    """Return a name for all that decides about the weights: the work of other options is
    another's.
    """
    told = to_dict(plan)
    del told["licence"]
    parts: list[Any] = [told, options.minutes if options.steps is None else None, options.steps]
    parts += [_identity(path) for path in plan.data.clean]
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _plan(clean: Path, options: FinetuneOptions, damage: Damage) -> TrainOptions:
    """Plan a run whose damaged copies are made beforehand, of whole clips, as encoders see them."""
    return TrainOptions(
        data=DataOptions(
            clean=(clean,), clips=options.clips, frames=1, length=3, window=_WINDOW,
            patch=options.patch, area=options.patch, variants=2, held_out=_HELD_OUT, workers=1,
        ),
        damage=damage,
        start=options.start,
        loss=LossOptions(l1=0.0, charbonnier=1.0),
        schedule=ScheduleOptions(
            steps=1, batch=options.batch, rate=options.rate, warm_up=20, decay=True, ema=0.99,
        ),
        seed=options.seed,
        device=options.device,
        licence=options.licence,
    )  # fmt: skip


def _held_out(
    clean: Path, clips: list[StoredClip], sink: Sink
) -> tuple[list[StoredClip], list[StoredClip]]:
    """Return the clips to choose the best weights by, and those to judge them by."""
    held = split(clips, _HELD_OUT)[1]
    if not held:
        raise _one_scene(clean)
    chosen_by, judged_by = halves(held)
    if chosen_by == judged_by:
        sink(Note(text="one scene alone is held out: the best weights are chosen by it, too"))
    return chosen_by, judged_by


def _timed(
    plan: TrainOptions, options: FinetuneOptions, device: torch.device, work: Path, began: float
) -> TrainOptions:
    """Return the plan with as many steps as fit the time, by a trial that is kept for the next
    time.
    """
    kept = work / "steps.json"
    steps = options.steps
    if steps is None and kept.is_file():
        steps = int(json.loads(kept.read_text())["steps"])
    if steps is None:
        left = options.minutes * 60 - (time.monotonic() - began)
        steps = int(min(max(left * _SHARE / _step_time(plan, device), 10), _MOST[device.type]))
    write_whole(kept, json.dumps({"steps": steps}).encode())
    every = max(steps // 10, 1)
    schedule = dataclasses.replace(
        plan.schedule, steps=steps, check_every=every, save_every=min(every, 200)
    )
    return dataclasses.replace(plan, schedule=schedule)


def _step_time(plan: TrainOptions, device: torch.device) -> float:
    """Return seconds of a step, by trying some: the shortest, as other work only makes longer."""
    learner = Learner(plan, device, silent)
    side, scale = plan.data.patch, plan.damage.scale
    high = torch.rand(plan.schedule.batch, 1, 3, side, side)
    low = torch.rand(plan.schedule.batch, 1, 3, side // scale, side // scale)
    times = []
    for number in range(_TRIED):
        began = time.monotonic()
        learner.step(TrainingBatch(high=high, real=high, low=low), number)
        times.append(time.monotonic() - began)
    return min(times[1:])


def _train(
    plan: TrainOptions,
    target: Path,
    options: FinetuneOptions,
    began: float,
    *,
    chosen_by: Collection[int],
    stop: Callable[[], bool],
    sink: Sink,
) -> TrainingResult:
    """Train until the steps are done, the time is over, or it has long been no use.

    Raises VsrError where it was over before the first step.
    """
    deadline = math.inf if options.steps else began + options.minutes * 60
    checks: list[float] = []

    def listening(event: Event) -> None:
        if isinstance(event, Step) and "psnr" in event.numbers:
            checks.append(event.numbers["psnr"])
        sink(event)

    def enough() -> bool:
        if time.monotonic() > deadline:
            return True
        best = max(range(len(checks)), key=checks.__getitem__, default=0)
        return len(checks) - 1 - best >= _PATIENCE

    prepared = time.monotonic() - began
    done = train(
        plan, target, overwrite=True, chosen_by=chosen_by, until=enough, stop=stop,
        sink=listening,
    )  # fmt: skip
    if done.steps == 0:
        # Its number of steps came of no time, and its weights are those of the beginning.
        (target.with_suffix(".train") / "steps.json").unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        raise VsrError(
            f"<finetune.minutes> {options.minutes:g}: went into the preparation, which "
            f"took {prepared:.0f} s, and nothing was learnt; the same command goes on from "
            "there, or give it more"
        )
    return done


def plain(report: FinetuneReport) -> dict[str, Any]:
    """Return the report as JSON has it: null where there is no VMAF."""

    def score(of: HeldOutScore) -> dict[str, float | None]:
        return {"psnr": of.psnr, "vmaf": None if math.isnan(of.vmaf) else of.vmaf}

    return dataclasses.asdict(report) | {
        "output": None if report.output is None else str(report.output),
        "before": score(report.before),
        "after": score(report.after),
        "picture": str(report.picture),
    }
