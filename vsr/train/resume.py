"""A run under way, what a checkpoint holds of it, and how it goes on from there."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from vsr.errors import UsageError, VsrError
from vsr.events import Note, Sink
from vsr.options import to_dict
from vsr.train.checkpoint import load_checkpoint, save_checkpoint
from vsr.train.curves import Curves
from vsr.train.data import Samples
from vsr.train.judge import JudgedClip
from vsr.train.learner import Learner
from vsr.train.options import TrainOptions
from vsr.train.pool import Pool

# What may be another when a run goes on: nothing of it changes the weights.
_FREE = frozenset({"schedule.save_every", "schedule.check_every", "data.workers", "licence"})


@dataclass
class TrainingRun:
    """A run under way, in one of its processes."""

    options: TrainOptions
    folder: Path
    learner: Learner
    samples: Samples
    held: list[JudgedClip]
    sink: Sink
    rank: int
    world: int
    pool: Pool | None
    step: int = 0
    saved: int = 0  # step of the newest checkpoint
    psnr: float = math.nan  # dB, of this step, if it was checked
    best: float = -math.inf
    best_step: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    loading: float = 0.0
    curves: Curves | None = None  # of the first process


def save(run: TrainingRun) -> None:
    """Write a checkpoint; all processes take part. Raises OutputError in the first."""
    own = {
        "pool": run.pool.state() if run.pool is not None else {},
        "scalers": [scaler.state_dict() for scaler in run.learner.scalers],
        "random": torch.get_rng_state(),
    }
    everyone: list[Any] = [own] * run.world
    if run.world > 1:
        dist.gather_object(own, everyone if run.rank == 0 else None)
    if run.rank == 0:
        if run.curves is not None:  # before: a checkpoint stands for all rows up to its step
            run.curves.keep()
        state = {
            "options": json.dumps(to_dict(run.options)),
            "step": run.step,
            "learner": run.learner.state(),
            "psnr": run.psnr,
            "best": run.best,
            "best_step": run.best_step,
            "best_weights": run.best_weights,
            "processes": everyone,  # what each has of its own
        }
        save_checkpoint(run.folder, run.step, state)
    run.saved = run.step


def go_on(run: TrainingRun) -> None:
    """Take the newest checkpoint up, if there is one. Raises UsageError for another run's."""
    held = _held(run)
    if held is None:
        return
    differs = sorted(_differences(json.loads(held["options"]), to_dict(run.options)))
    if differs:
        raise UsageError(
            f"{run.folder}: was begun with other options ({', '.join(differs)}); "
            "<jobs.restart> begins anew"
        )
    try:
        if (world := len(held["processes"])) != run.world:
            raise UsageError(
                f"{run.folder}: was begun by {world} processes together, and now there are "
                f"{run.world}; <jobs.restart> begins anew"
            )
        _take_up(run, held)
    except (KeyError, RuntimeError) as error:
        raise UsageError(
            f"{run.folder}: holds checkpoints of another network or version; "
            "<jobs.restart> begins anew"
        ) from error
    run.sink(Note(text=f"goes on at step {run.step}"))


def _take_up(run: TrainingRun, held: Mapping[str, Any]) -> None:
    """Restore what `save` has written."""
    own = held["processes"][run.rank]
    run.learner.load(held["learner"])
    for scaler, state in zip(run.learner.scalers, own["scalers"], strict=True):
        if state:
            scaler.load_state_dict(state)
    if run.pool is not None:
        run.pool.load(own["pool"], run.learner.device)
    torch.set_rng_state(own["random"])
    run.step = run.saved = held["step"]
    run.psnr, run.best, run.best_step = held["psnr"], held["best"], held["best_step"]
    run.best_weights = held["best_weights"]


def _held(run: TrainingRun) -> dict[str, Any] | None:
    """Return the newest checkpoint that is whole; newer ones are told and removed."""
    found = load_checkpoint(run.folder)
    step = 0 if found.state is None else found.state["step"]
    if run.world > 1:  # all have read it when the first removes something
        steps = [0] * run.world
        dist.all_gather_object(steps, step)
        if len(set(steps)) > 1:
            raise VsrError(f"{run.folder}: must be one folder for all processes, and it is not")
    for path in found.broken:
        then = "it begins anew" if found.state is None else f"it goes on at step {step}"
        run.sink(Note(text=f"{path}: cannot be read; {then}"))
        if run.rank == 0:
            with suppress(OSError):
                path.unlink()
    return found.state


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
