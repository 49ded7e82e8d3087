"""The training: data, steps, checks on what is held out, checkpoints, and weights at the end.

Every batch is a function of the seed and its number, and a step one of the state and the batch: so
a run that was killed goes on from its last checkpoint to the same weights, bit for bit on a CPU.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from vsr.engine.device import choose_device, prepare_cpu
from vsr.errors import OutputError, OutputExists, Stopped, UsageError, VsrError
from vsr.events import Note, Sink, Step, Timed, silent
from vsr.options import DeviceOptions, to_dict
from vsr.train.checkpoint import load_checkpoint, save_checkpoint, write_weights
from vsr.train.curves import Curves
from vsr.train.data import Samples, StoredClip, TrainingBatch, batches, gather, mixed, split
from vsr.train.degrade.pipeline import degrade
from vsr.train.film import codes
from vsr.train.judge import JudgedClip, enlarge, held_pairs, measured, strip
from vsr.train.learner import Learner, losses_named
from vsr.train.options import TrainOptions
from vsr.train.pool import Pool

_HOPELESS = 20  # steps from the beginning, of which none came to anything
_SHOWN = 3  # pairs of a strip
# What may be another when a run goes on: nothing of it changes the weights.
_FREE = frozenset({"schedule.save_every", "schedule.check_every", "data.workers", "licence"})


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What came of it."""

    output: Path
    steps: int
    skipped: int  # steps whose gradient was no number
    psnr: float  # dB, on what was held out; not a number where nothing was
    best: float
    seconds_loading: float  # of which the loop waited for data
    seconds: float


@dataclass
class _TrainingRun:
    """A run under way."""

    options: TrainOptions
    folder: Path
    learner: Learner
    samples: Samples
    held: list[JudgedClip]
    sink: Sink
    step: int = 0
    best: float = -math.inf
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)
    loading: float = 0.0
    curves: Curves | None = None  # of the first process


def train(
    options: TrainOptions,
    output: Path,
    *,
    overwrite: bool = False,
    restart: bool = False,
    keep_best: bool = False,
    until: Callable[[], bool] = lambda: False,
    sink: Sink = silent,
) -> TrainingResult:
    """Train a network and write it to `output`, a .safetensors.

    What is finished lies in the folder of that name that ends in `.train`, beside it: checkpoints,
    the clips that were taken, `curve.csv` and strips of samples. The same call goes on from there.
    `keep_best`: write the weights that were best on what is held out, not the last. `until` ends
    it early. `sink` hears of each step.

    Under `torchrun`, or wherever torch.distributed was set up, the processes share a batch of
    `schedule.batch` for each of them. Raises UsageError (options of another run, unless `restart`),
    InputError, OutputError, ModelError, Stopped at an interrupt, and VsrError where the numbers
    are not finite from the first step on.
    """
    _check_name(output, overwrite)
    began = time.monotonic()
    folder = output.with_suffix(".train")
    rank, world = _place()
    device = choose_device(options.device)
    if device.type == "cpu":
        prepare_cpu(DeviceOptions())
    if rank == 0:
        _prepare(folder, restart)
    clips = _clips(options, folder / "clips", rank, world, sink)
    learnt, held = split(clips, options.data.held_out)
    if not held and rank == 0:
        sink(Note(text="one scene alone: nothing can be held out, so nothing tells how good it is"))
    run = _TrainingRun(
        options=options,
        folder=folder,
        learner=Learner(options, device, sink),
        samples=Samples(folder / "clips", learnt, options.data, options.damage, options.seed),
        held=held_pairs(folder / "clips", held, options.damage, options.seed) if rank == 0 else [],
        sink=silent if rank else Timed(sink),
    )
    pool = None
    if not run.samples.damages:
        pool = Pool(options.damage.pool, options.schedule.batch)
    _go_on(run, pool)
    with closing(Curves(folder, run.step, sink)) if rank == 0 else nullcontext() as run.curves:
        _steps(run, pool, rank, world, until)
    psnr = run.rows[-1].get("psnr", math.nan) if run.rows else math.nan
    weights = run.best_weights if keep_best and run.best_weights else run.learner.averaged()
    if rank == 0:
        write_weights(output, weights, _notes(run, psnr))
    return TrainingResult(
        output=output, steps=run.step, skipped=run.learner.skipped, psnr=psnr, best=run.best,
        seconds_loading=run.loading, seconds=time.monotonic() - began,
    )  # fmt: skip


def _check_name(output: Path, overwrite: bool) -> None:
    """Refuse a name that weights cannot have. Raises UsageError, OutputExists."""
    if output.suffix != ".safetensors":
        raise UsageError(f"{output}: weights are written as .safetensors; give it that name")
    if output.exists() and not overwrite:
        raise OutputExists(f"{output}: is there already; <encode.overwrite> replaces it")


def _clips(
    options: TrainOptions, folder: Path, rank: int, world: int, sink: Sink
) -> list[StoredClip]:
    """Take the clips in the first process; the others find them there."""
    if world > 1 and rank:
        dist.barrier()
    clips = gather(folder, options.data, options.damage, options.seed, silent if rank else sink)
    if world > 1 and not rank:
        dist.barrier()
    return clips


def _prepare(folder: Path, restart: bool) -> None:
    try:
        if restart and folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _place() -> tuple[int, int]:
    """Return (rank, world): of torchrun, whose variables say so, or of whoever set it up."""
    if not dist.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        cuda = torch.cuda.is_available()
        dist.init_process_group("nccl" if cuda else "gloo")
        if cuda:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


# --- the loop ---


def _steps(
    run: _TrainingRun, pool: Pool | None, rank: int, world: int, until: Callable[[], bool]
) -> None:
    schedule = run.options.schedule
    source = batches(
        run.samples, start=run.step, size=schedule.batch, rank=rank, world=world,
        workers=run.options.data.workers,
    )  # fmt: skip
    try:
        with closing(source):
            while run.step < schedule.steps and not until():
                waited = time.monotonic()
                batch = next(source)
                run.loading += time.monotonic() - waited
                batch = _ready(run, batch, pool, rank)
                numbers = run.learner.step(batch, run.step)
                run.step += 1
                if run.learner.skipped == run.step == min(_HOPELESS, schedule.steps):
                    raise VsrError(
                        "training: not one of the first steps came to a finite number; "
                        "a lower <schedule.rate>, or <train.precision> fp32, may help"
                    )
                if rank == 0:
                    _after(run, numbers, pool)
        if rank == 0 and run.step < schedule.steps:  # it was ended early
            _check(run)
            _save(run, pool)
    except KeyboardInterrupt:
        if rank == 0:
            _save(run, pool)
        raise Stopped(f"stopped at step {run.step}; the same command goes on") from None


def _ready(run: _TrainingRun, batch: TrainingBatch, pool: Pool | None, rank: int) -> TrainingBatch:
    """Return a batch, damaged: where the reference does so, as a whole, on the device; and
    mixed.
    """
    if batch.low is not None:
        return batch
    assert pool is not None
    seed = mixed(run.options.seed, 4, run.step, rank)
    high = batch.high.to(run.learner.device)
    low = degrade(high, [seed], run.options.damage)
    chance = np.random.default_rng(seed)
    high, real, low = run.samples.patch(chance, high, batch.real.to(high.device), low)
    return pool.exchange(TrainingBatch(high=high, real=real, low=low), chance)


def _after(run: _TrainingRun, numbers: Mapping[str, float], pool: Pool | None) -> None:
    schedule = run.options.schedule
    row = {"step": float(run.step), **numbers, "skipped": float(run.learner.skipped)}
    run.rows.append(row)
    _show(run, numbers)
    run.sink(Step(step=run.step, total=schedule.steps, numbers=numbers))
    last = run.step == schedule.steps
    if last or run.step % schedule.check_every == 0:
        _check(run)
    if last or run.step % schedule.save_every == 0:
        _save(run, pool)


def _show(run: _TrainingRun, numbers: Mapping[str, float]) -> None:
    if run.curves is not None:
        run.curves.add(run.step, numbers)


def _check(run: _TrainingRun) -> None:
    """Measure the averaged weights on what is held out, and write a strip to look at."""
    if not run.held:
        return
    kept = {name: value.detach().clone() for name, value in run.learner.net.state_dict().items()}
    run.learner.net.load_state_dict(run.learner.averaged())
    value = measured(run.learner.net, run.held)
    shown = run.held[:_SHOWN]
    after = [codes(enlarge(run.learner.net, pair.low[:1]))[0] for pair in shown]
    run.learner.net.load_state_dict(kept)
    run.learner.net.train()
    if run.rows:
        run.rows[-1]["psnr"] = value
    if value > run.best:
        run.best = value
        run.best_weights = {n: w.detach().clone() for n, w in run.learner.averaged().items()}
    total = run.options.schedule.steps
    _show(run, {"psnr": value})
    run.sink(Step(step=run.step, total=total, numbers={"psnr": value}))
    picture = run.folder / f"step_{run.step:06}.png"
    strip(picture, [[p.low[0] for p in shown], after, [p.high[0] for p in shown]])


# --- checkpoints ---


def _save(run: _TrainingRun, pool: Pool | None) -> None:
    state = {
        "options": json.dumps(to_dict(run.options)),
        "step": run.step,
        "learner": run.learner.state(),
        "best": run.best,
        "best_weights": run.best_weights,
        "pool": pool.state() if pool is not None else {},
        "rows": run.rows,
        "random": torch.get_rng_state(),
    }
    save_checkpoint(run.folder, run.step, state)
    if run.curves is not None:
        run.curves.keep(run.rows)


def _go_on(run: _TrainingRun, pool: Pool | None) -> None:
    """Take the newest checkpoint up, if there is one. Raises UsageError for another run's."""
    held = load_checkpoint(run.folder)
    if held is None:
        return
    differs = sorted(_differences(json.loads(held["options"]), to_dict(run.options)))
    if differs:
        raise UsageError(
            f"{run.folder}: was begun with other options ({', '.join(differs)}); "
            "<jobs.restart> begins anew"
        )
    try:
        run.learner.load(held["learner"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"{run.folder}: holds another network; <jobs.restart> begins anew"
        ) from error
    run.step, run.best, run.rows = held["step"], held["best"], held["rows"]
    run.best_weights = held["best_weights"]
    if pool is not None:
        pool.load(held["pool"])
    torch.set_rng_state(held["random"])
    run.sink(Note(text=f"goes on at step {run.step}"))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Yield dotted names of what is not the same. Longer, without a decay, is the same run."""
    for name in new.keys() | old.keys():
        path = f"{at}{name}"
        one, other = old.get(name), new.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _differences(one, other, f"{path}.")
        elif one != other and path not in _FREE:
            if path == "schedule.steps" and not new.get("decay"):
                continue
            yield path


def _notes(run: _TrainingRun, psnr: float) -> dict[str, str]:
    """Return what the file says about itself."""
    options = run.options
    named = {"SRVGGNetCompact": "srvgg", "RRDBNet": "rrdb"}
    kind = type(run.learner.net).__name__
    notes = {
        "format": "vsr.train 1",
        "architecture": named.get(kind, kind),
        "scale": str(options.damage.scale),
        "from": run.learner.name,
        "stage": options.stage,
        "steps": str(run.step),
        "losses": losses_named(options.loss, options.stage),
        "perceptual": options.loss.perceptual,
        "ema": f"{options.schedule.ema:g}",
        "learnt_from": ", ".join(path.name for path in options.data.clean),
    }
    if math.isfinite(psnr):
        notes["held_out_psnr"] = f"{psnr:.3f}"
    if options.licence:
        notes["licence"] = options.licence
    return notes
