"""A shipped network, taught one film's damage: estimate, train, compare, and keep it if better."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from vsr.engine.device import choose_device, prepare_cpu
from vsr.errors import FfmpegError, OutputExists, UsageError
from vsr.events import Event, Note, Sink, Step, silent
from vsr.nets.network import Network
from vsr.nets.store import load, load_file_as_network
from vsr.options import DeviceOptions, ModelOptions
from vsr.train.checkpoint import write_whole
from vsr.train.data import TrainingBatch, gather, split
from vsr.train.degrade.settings import Damage, read_damage
from vsr.train.film import codes
from vsr.train.judge import JudgedClip, enlarge, held_pairs, psnr, strip, vmaf
from vsr.train.learner import Learner
from vsr.train.like import described, estimate
from vsr.train.loop import TrainingResult, train
from vsr.train.options import (
    DataOptions,
    FinetuneOptions,
    LossOptions,
    ScheduleOptions,
    TrainOptions,
)

_SHARE = 0.85  # of the time left after the preparation that goes to steps; the rest checks
_TRIED = 10  # steps, to know what one takes
_MOST = {"cpu": 20_000, "cuda": 20_000}  # steps
_PATIENCE = 6  # checks without a better one, after which it is no use
_BETTER = 0.02  # dB that count as better


@dataclass(frozen=True, kw_only=True)
class HeldOutScore:
    """On held-out scenes."""

    psnr: float  # dB
    vmaf: float  # not a number where no ffmpeg has libvmaf


@dataclass(frozen=True, kw_only=True)
class FinetuneReport:
    """Before and after."""

    output: Path | None  # None: not written, as it was no better
    damage: str
    before: HeldOutScore
    after: HeldOutScore
    scenes: int  # held out
    steps: int
    seconds: float
    picture: Path  # damaged, before, after, clean

    @property
    def better(self) -> bool:
        """Whether PSNR rose, and VMAF did not fall by more than half a point."""
        worse = self.after.vmaf < self.before.vmaf - 0.5
        return self.after.psnr >= self.before.psnr + _BETTER and not worse


def finetune(
    clean: Path,
    damaged: Path | None,
    output: Path,
    options: FinetuneOptions | None = None,
    *,
    overwrite: bool = False,
    sink: Sink = silent,
) -> FinetuneReport:
    """Teach a network to undo what `damaged` suffers from, with the clean film `clean`.

    `damaged` may be None where `options.damage` names the damage. The work lies beside the output
    in a folder that ends in `.train`; the same call goes on there. Raises what `train` raises.
    """
    options = options or FinetuneOptions()
    began = time.monotonic()
    if output.suffix != ".safetensors":
        raise UsageError(f"{output}: weights are written as .safetensors; give it that name")
    if output.exists() and not overwrite:
        raise OutputExists(f"{output}: is there already; <encode.overwrite> replaces it")
    if damaged is None and options.damage is None:
        raise UsageError("name a film of that damage (<like>), or say it (<finetune.damage>)")
    device = choose_device(options.device)
    if device.type == "cpu":
        prepare_cpu(DeviceOptions())
    loaded = load(ModelOptions(name=options.start), sink)
    if loaded.network is None:
        raise UsageError(f"<finetune.start> {options.start}: has nothing to learn")
    folder = output.with_suffix(".train")
    folder.mkdir(parents=True, exist_ok=True)
    damage, words = _damage(clean, damaged, options, loaded.scale, folder)
    sink(Note(text=f"damage: {words}"))
    plan = _plan(clean, options, damage)
    target = folder / "candidate.safetensors"
    clips = gather(target.with_suffix(".train") / "clips", plan.data, damage, plan.seed, sink)
    held = split(clips, plan.data.held_out)[1]
    if not held:
        raise UsageError(f"{clean}: is one scene; a part of the scenes is held out to judge by")
    pairs = held_pairs(target.with_suffix(".train") / "clips", held, damage, plan.seed)
    before = _score(loaded.network.to(device), pairs)
    sink(Note(text=f"before: {_words(before)} on {len(held)} clips that are held out"))
    plan = _timed(plan, options, device, folder, began)
    deadline = math.inf if options.steps else began + options.minutes * 60
    trained = _train(plan, target, deadline, sink)
    network = load_file_as_network(target).to(device)
    after = _score(network, pairs)
    picture = folder / "before_after.png"
    _picture(picture, pairs, loaded.network, network)
    report = FinetuneReport(
        output=output, damage=words, before=before, after=after,
        scenes=len({clip.scene for clip in held}), steps=trained.steps,
        seconds=time.monotonic() - began, picture=picture,
    )  # fmt: skip
    if report.better or options.keep:
        os.replace(target, output)
    else:
        report = dataclasses.replace(report, output=None)
    write_whole(folder / "report.json", json.dumps(_plain(report), indent=1).encode())
    return report


def _damage(
    clean: Path, damaged: Path | None, options: FinetuneOptions, scale: int, folder: Path
) -> tuple[Damage, str]:
    """Return what to damage clips with: as told, or as estimated, which is kept for the next
    time.
    """
    if options.damage is not None:
        return read_damage(options.damage, {"scale": scale}), f"as in {options.damage.name}"
    assert damaged is not None
    kept, said = folder / "like.toml", folder / "like.txt"
    if not kept.is_file() or not said.is_file():
        found = estimate(damaged, clean, scale)
        write_whole(said, str(found).encode())
        write_whole(kept, described(found.changes(scale)).encode())
    return read_damage(kept), said.read_text()


def _plan(clean: Path, options: FinetuneOptions, damage: Damage) -> TrainOptions:
    """Plan a run whose damaged copies are made beforehand, of whole clips, as encoders see them."""
    return TrainOptions(
        data=DataOptions(
            clean=(clean,), clips=options.clips, frames=1, length=3, window=512,
            patch=options.patch, area=options.patch, variants=2, held_out=0.15, workers=1,
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


def _timed(
    plan: TrainOptions, options: FinetuneOptions, device: torch.device, folder: Path, began: float
) -> TrainOptions:
    """Return the plan with as many steps as fit the time, by a trial that is kept for the next
    time.
    """
    kept = folder / "steps.json"
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


def _train(plan: TrainOptions, target: Path, deadline: float, sink: Sink) -> TrainingResult:
    """Train until the steps are done, the time is over, or it has long been no use."""
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

    return train(plan, target, overwrite=True, keep_best=True, until=enough, sink=listening)


def _score(network: Network, pairs: list[JudgedClip]) -> HeldOutScore:
    network.eval()
    found = [enlarge(network, pair.low) for pair in pairs]
    value = sum(psnr(x, pair.high) for x, pair in zip(found, pairs, strict=True)) / len(pairs)
    try:
        return HeldOutScore(psnr=value, vmaf=vmaf(found, pairs))
    except FfmpegError:
        return HeldOutScore(psnr=value, vmaf=math.nan)


def _picture(path: Path, pairs: list[JudgedClip], before: Network, after: Network) -> None:
    shown = pairs[:4]
    columns = [[pair.low[0] for pair in shown]]
    columns += [
        [codes(enlarge(network, pair.low[:1]))[0] for pair in shown] for network in (before, after)
    ]
    columns.append([pair.high[0] for pair in shown])
    strip(path, columns)


def _words(score: HeldOutScore) -> str:
    judged = "" if math.isnan(score.vmaf) else f", VMAF {score.vmaf:.1f}"
    return f"PSNR {score.psnr:.2f} dB{judged}"


def _plain(report: FinetuneReport) -> dict[str, object]:
    return dataclasses.asdict(report) | {
        "output": None if report.output is None else str(report.output),
        "picture": str(report.picture),
    }
