"""The training: data, steps, checks on what is held out, checkpoints, and weights at the end.

Every batch is a function of the seed and its number, and a step one of the state and the batch: so
a run that was killed goes on from its last checkpoint to the same weights, bit for bit on a CPU.
"""

from __future__ import annotations

import copy
import math
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from vsr.errors import OutputError, OutputExists, Stopped, UsageError, VsrError
from vsr.events import Note, Sink, Step, Timed, silent
from vsr.train.checkpoint import write_weights
from vsr.train.curves import Curves
from vsr.train.data import Samples, StoredClip, TrainingBatch, batches, gather, mixed, split
from vsr.train.degrade.pipeline import degrade
from vsr.train.film import codes
from vsr.train.judge import enlarge, held_pairs, measured, strip
from vsr.train.learner import Learner, losses_named, training_device
from vsr.train.options import TrainOptions
from vsr.train.pool import Pool
from vsr.train.resume import TrainingRun, go_on, save

_HOPELESS = 20  # steps in a row, of which none came to anything
_SHOWN = 3  # pairs of a strip


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What came of it."""

    output: Path
    steps: int
    skipped: int  # steps in which a gradient was no number
    psnr: float  # dB, on what was held out; not a number where nothing was
    best: float
    seconds_loading: float  # of which the loop waited for data
    seconds: float


def train(
    options: TrainOptions,
    output: Path,
    *,
    overwrite: bool = False,
    restart: bool = False,
    chosen_by: Collection[int] = (),
    until: Callable[[], bool] = lambda: False,
    stop: Callable[[], bool] = lambda: False,
    sink: Sink = silent,
) -> TrainingResult:
    """Train a network and write it to `output`, a .safetensors.

    What is finished lies in the folder of that name that ends in `.train`, beside it: checkpoints,
    the clips that were taken, `curve.csv` and strips of samples. The same call goes on from there.
    `chosen_by`: scenes of what is held out; the checks look at no others then, and the weights
    that were best on them are written, not the last. `until` ends it early. `stop` is asked between
    steps: what is done is saved then, and Stopped raised. `sink` hears of each step.

    Under `torchrun`, or wherever torch.distributed was set up, the processes share a batch of
    `schedule.batch` for each of them. Raises UsageError (options of another run, unless `restart`),
    InputError, OutputError, ModelError, Stopped (at KeyboardInterrupt, too, which loses the steps
    since the last checkpoint), and VsrError where the numbers are not finite in many steps
    on end.
    """
    _check_name(output, overwrite)
    began = time.monotonic()
    folder = output.with_suffix(".train")
    run = _begun(options, folder, restart, chosen_by, sink)
    go_on(run)
    if run.step > (steps := options.schedule.steps):
        run.sink(
            Note(text=f"{run.step} steps are done already, more than the {steps} that are asked "
                      "for: their weights are written")
        )  # fmt: skip
    with closing(Curves(folder, run.step, sink)) if run.rank == 0 else nullcontext() as run.curves:
        _steps(run, until, stop)
    best = bool(chosen_by) and bool(run.best_weights)
    weights = run.best_weights if best else run.learner.averaged()
    if run.rank == 0:
        write_weights(output, weights, _notes(run, best))
    return TrainingResult(
        output=output, steps=run.step, skipped=run.learner.skipped, psnr=run.psnr, best=run.best,
        seconds_loading=run.loading, seconds=time.monotonic() - began,
    )  # fmt: skip


def _begun(
    options: TrainOptions, folder: Path, restart: bool, chosen_by: Collection[int], sink: Sink
) -> TrainingRun:
    """Return a run at its first step, with its clips taken."""
    rank, world = _place()
    device = training_device(options.device)
    if rank == 0:
        _prepare(folder, restart)
    clips = _clips(options, folder / "clips", rank, world, sink)
    learnt, held = split(clips, options.data.held_out)
    if not held and rank == 0:
        sink(Note(text="one scene alone: nothing can be held out, so nothing tells how good it is"))
    checked = [clip for clip in held if not chosen_by or clip.scene in chosen_by]
    run = TrainingRun(
        options=options,
        folder=folder,
        learner=Learner(options, device, sink),
        samples=Samples(folder / "clips", learnt, options.data, options.damage, options.seed),
        held=held_pairs(
            folder / "clips",
            checked if rank == 0 else [],
            options.damage,
            options.seed,
            sharpen=options.data.sharpen,
        ),
        sink=silent if rank else Timed(sink),
        rank=rank,
        world=world,
        pool=None,
    )
    if not run.samples.damages:
        run.pool = Pool(options.damage.pool, options.schedule.batch)
    return run


def _check_name(output: Path, overwrite: bool) -> None:
    """Refuse a name that weights cannot have. Raises UsageError, OutputError, OutputExists."""
    if output.suffix != ".safetensors":
        raise UsageError(f"{output}: weights are written as .safetensors; give it that name")
    if output.is_dir():
        raise OutputError(f"{output}: is a folder; weights are written to a file")
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


def _steps(run: TrainingRun, until: Callable[[], bool], stop: Callable[[], bool]) -> None:
    schedule = run.options.schedule
    source = batches(
        run.samples, start=run.step, size=schedule.batch, rank=run.rank, world=run.world,
        workers=run.options.data.workers,
    )  # fmt: skip
    try:
        with closing(source):
            while run.step < schedule.steps:
                ended, stopped = _agreed(run, until(), stop())
                if stopped:
                    save(run)
                    raise Stopped(f"stopped at step {run.step}; the same command goes on")
                if ended:
                    break
                _step(run, source)
        if run.step < schedule.steps:  # it was ended early
            _check(run)
            save(run)
    except KeyboardInterrupt:
        # It came anywhere, in the middle of a step, too: nothing but what is saved is whole.
        raise Stopped(f"stopped; the same command goes on at step {run.saved}") from None


def _agreed(run: TrainingRun, *asked: bool) -> list[bool]:
    """Return what any process was asked: all of them leave the loop at the same step."""
    if run.world == 1:
        return list(asked)
    flags = torch.tensor(asked, dtype=torch.int32, device=run.learner.device)
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return [bool(flag) for flag in flags.tolist()]


def _step(run: TrainingRun, source: Iterator[TrainingBatch]) -> None:
    schedule = run.options.schedule
    waited = time.monotonic()
    batch = next(source)
    run.loading += time.monotonic() - waited
    numbers = run.learner.step(_ready(run, batch), run.step)
    run.step += 1
    run.psnr = math.nan
    if (lost := run.learner.skipped_in_a_row) >= min(_HOPELESS, schedule.steps):
        which = "first" if lost == run.step else f"last {lost}"
        raise VsrError(
            f"training: not one of the {which} steps came to a finite number; "
            "a lower <schedule.rate>, or <train.precision> fp32, may help"
        )
    _after(run, numbers)


def _ready(run: TrainingRun, batch: TrainingBatch) -> TrainingBatch:
    """Return a batch, damaged: where the reference does so, as a whole, on the device; and
    mixed.
    """
    if batch.low is not None:
        return batch
    assert run.pool is not None
    seed = mixed(run.options.seed, 4, run.step, run.rank)
    high = batch.high.to(run.learner.device)
    low = degrade(high, [seed], run.options.damage)
    chance = np.random.default_rng(seed)
    high, real, low = run.samples.patch(chance, high, batch.real.to(high.device), low)
    return run.pool.exchange(TrainingBatch(high=high, real=real, low=low), chance)


def _after(run: TrainingRun, numbers: Mapping[str, float]) -> None:
    schedule = run.options.schedule
    _show(run, {**numbers, "skipped": float(run.learner.skipped)})
    run.sink(Step(step=run.step, total=schedule.steps, numbers=numbers))
    last = run.step == schedule.steps
    if last or run.step % schedule.check_every == 0:
        _check(run)
    if last or run.step % schedule.save_every == 0:
        save(run)


def _show(run: TrainingRun, numbers: Mapping[str, float]) -> None:
    if run.curves is not None:
        run.curves.add(run.step, numbers)


def _check(run: TrainingRun) -> None:
    """Measure the averaged weights on what is held out, and write a strip to look at."""
    if not run.held:
        return
    net = copy.deepcopy(run.learner.net)
    net.load_state_dict(run.learner.averaged())
    value = measured(net, run.held)
    shown = run.held[:_SHOWN]
    after = [codes(enlarge(net, pair.low[:1]))[0] for pair in shown]
    run.psnr = value
    if value > run.best:
        run.best, run.best_step = value, run.step
        run.best_weights = {n: w.detach().clone() for n, w in run.learner.averaged().items()}
    total = run.options.schedule.steps
    _show(run, {"psnr": value})
    run.sink(Step(step=run.step, total=total, numbers={"psnr": value}))
    picture = run.folder / f"step_{run.step:06}.png"
    strip(picture, [[p.low[0] for p in shown], after, [p.high[0] for p in shown]])


# --- what is written at the end ---


def _notes(run: TrainingRun, best: bool) -> dict[str, str]:
    """Return what the file says about itself: the best weights, or the last."""
    options = run.options
    step, psnr = (run.best_step, run.best) if best else (run.step, run.psnr)
    named = {"SRVGGNetCompact": "srvgg", "RRDBNet": "rrdb"}
    kind = type(run.learner.net).__name__
    notes = {
        "format": "vsr.train 1",
        "architecture": named.get(kind, kind),
        "scale": str(options.damage.scale),
        "from": run.learner.name,
        "stage": options.stage,
        "steps": str(step),
        "losses": losses_named(options.loss, options.stage),
        "perceptual": options.loss.perceptual,
        "ema": f"{options.schedule.ema:g}",
        "learnt_from": ", ".join(path.name for path in options.data.clean),
    }
    if math.isfinite(psnr):
        notes["held_out_psnr"] = f"{psnr:.3f}"
    if licence := options.licence or run.learner.licence:
        notes["licence"] = licence
    return notes
