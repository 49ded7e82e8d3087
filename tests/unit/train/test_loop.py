"""The loop: killed and gone on with, shared, stopped, and its weights used."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from vsr.errors import OutputError, OutputExists, Stopped, UsageError, VsrError
from vsr.events import Event, Note, Step
from vsr.nets.store import licence_of_model, load_file_as_network
from vsr.options import ModelOptions
from vsr.train import checkpoint, loop, resume
from vsr.train.data import TrainingBatch
from vsr.train.degrade.settings import read_damage
from vsr.train.learner import Learner, rate_at
from vsr.train.loop import train
from vsr.train.options import DataOptions, ScheduleOptions, Stage, TrainOptions
from vsr.train.pool import Pool


def _options(film: Path, **values: Any) -> TrainOptions:
    schedule: dict[str, Any] = {
        "steps": 12,
        "batch": 2,
        "save_every": 4,
        "check_every": 6,
        "warm_up": 3,
    }
    schedule |= values.pop("schedule", {})
    return TrainOptions(
        data=DataOptions(
            clean=(film,), clips=4, window=128, area=96, patch=48, workers=0, held_out=0.3
        ),
        damage=read_damage(),
        num_feat=4, num_block=1, schedule=ScheduleOptions(**schedule), **values,
    )  # fmt: skip


def test_kills_and_companions_change_nothing(tmp_path: Path, bunny: Path) -> None:
    """Three kills and stops here; tests/support/train_kills.py takes any number."""
    script = Path(__file__).parents[2] / "support" / "train_kills.py"
    command = [sys.executable, str(script), str(tmp_path), str(bunny), "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed" in done.stdout
    assert "stopped" in done.stdout


def test_the_weights_say_what_they_are_and_work(tmp_path: Path, bunny: Path) -> None:
    output = tmp_path / "my.safetensors"
    done = train(_options(bunny, licence="CC0-1.0"), output)
    with safe_open(output, "pt") as file:
        notes = file.metadata()
    assert notes["architecture"] == "srvgg"
    assert notes["scale"] == "4"
    assert notes["steps"] == "12"
    assert notes["licence"] == "CC0-1.0"
    assert notes["losses"] == "l1 1"
    assert math.isclose(float(notes["held_out_psnr"]), done.psnr, abs_tol=1e-3)
    network = load_file_as_network(output)
    assert network(torch.rand(1, 3, 8, 8)).shape == (1, 3, 32, 32)
    with open(tmp_path / "my.train" / "curve.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, 13))
    assert all(float(row["l1"]) > 0 for row in rows)
    assert [bool(row["psnr"]) for row in rows].count(True) == 2


def test_tensorboard_shows_each_step_once_whatever_was_killed(
    tmp_path: Path, bunny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged by its own reader. The first run goes beyond the checkpoint that the second takes."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    writer = importlib.import_module("tensorboard.summary.writer.event_file_writer")
    # Files of one process in one second are read by their numbers, and 10 comes before 9 there.
    monkeypatch.setattr(writer, "_global_uid", writer.AtomicCounter(0))
    output = tmp_path / "my.safetensors"

    def killed(event: Event) -> None:
        if isinstance(event, Step) and event.step == 7:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train(_options(bunny), output, sink=killed)
    train(_options(bunny), output)
    shown = accumulator.EventAccumulator(str(tmp_path / "my.train" / "tensorboard"))
    shown.Reload()
    with open(tmp_path / "my.train" / "curve.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = {one.step: one.value for one in shown.Scalars("l1")}
    assert len(shown.Scalars("l1")) == 12
    assert told == {int(row["step"]): pytest.approx(float(row["l1"])) for row in rows}
    assert [one.step for one in shown.Scalars("psnr")] == [6, 12]


def test_it_learns(tmp_path: Path, bunny: Path) -> None:
    """To enlarge at all: from noise to about what repeating pixels would give, in a few steps."""
    schedule = {"steps": 60, "rate": 5e-3, "check_every": 30, "ema": 0.9, "save_every": 60}
    done = train(_options(bunny, schedule=schedule), tmp_path / "my.safetensors")
    with open(tmp_path / "my.train" / "curve.csv", encoding="utf-8") as file:
        losses = [float(row["l1"]) for row in csv.DictReader(file)]
    assert sum(losses[-15:]) < sum(losses[:15]) * 0.97
    assert done.best >= done.psnr


def test_other_options_are_refused_and_named(tmp_path: Path, bunny: Path) -> None:
    output = tmp_path / "my.safetensors"
    train(_options(bunny), output)
    with pytest.raises(OutputExists):
        train(_options(bunny), output)
    other = _options(bunny, seed=1)
    with pytest.raises(UsageError, match=r"my\.train.*\(seed\)"):
        train(other, output, overwrite=True)
    train(other, output, overwrite=True, restart=True)
    longer = dataclasses.replace(other, schedule=dataclasses.replace(other.schedule, steps=14))
    said: list[Event] = []
    assert train(longer, output, overwrite=True, sink=said.append).steps == 14
    assert any(isinstance(one, Note) and "step 12" in one.text for one in said)


@pytest.mark.parametrize(("stage", "first"), [("net", 0), ("gan", 0), ("net", 5)])
def test_numbers_that_are_none_are_skipped_and_then_the_end(
    tmp_path: Path, bunny: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage, first: int
) -> None:
    """Both networks of a GAN come to nothing here, in each step."""
    real: Callable[..., TrainingBatch] = loop.__dict__["_ready"]

    def blown(run: resume.TrainingRun, batch: TrainingBatch) -> TrainingBatch:
        ready = real(run, batch)
        if run.step < first:
            return ready
        nothing = torch.full_like(ready.high, math.nan)
        assert ready.low is not None
        low = torch.full_like(ready.low, math.nan)
        return TrainingBatch(high=nothing, real=nothing, low=low)

    monkeypatch.setattr(loop, "_ready", blown)
    schedule = {"steps": 40, "check_every": 99, "save_every": 99}
    which = "last 20" if first else "first"
    with pytest.raises(VsrError, match=f"not one of the {which} steps"):
        train(
            _options(bunny, stage=stage, disc_feat=4, schedule=schedule),
            tmp_path / "my.safetensors",
        )
    assert not (tmp_path / "my.safetensors").exists()


def _told(said: list[Event]) -> str:
    return "\n".join(one.text for one in said if isinstance(one, Note))


def test_a_checkpoint_that_is_damaged_is_told_and_removed(tmp_path: Path, bunny: Path) -> None:
    output, folder = tmp_path / "my.safetensors", tmp_path / "my.train"
    train(_options(bunny), output)
    before = load_file(output)
    newest, older = sorted(folder.glob("*.ckpt"), reverse=True)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    torn = folder / "99999999.torn.ckpt"
    torn.write_bytes(b"half of one")
    said: list[Event] = []
    train(_options(bunny), output, overwrite=True, sink=said.append)
    for path in (torn, newest):
        assert f"{path}: cannot be read; it goes on at step 8" in _told(said)
    kept = sorted(folder.glob("*.ckpt"))
    assert kept[0] == older
    assert [path.name[:8] for path in kept] == ["00000008", "00000012"]
    found = checkpoint.load_checkpoint(folder)
    assert found.state is not None
    assert (found.state["step"], found.broken) == (12, ())
    after = load_file(output)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_checkpoints_that_are_all_damaged_are_told(tmp_path: Path, bunny: Path) -> None:
    output, folder = tmp_path / "my.safetensors", tmp_path / "my.train"
    train(_options(bunny), output)
    for path in folder.glob("*.ckpt"):
        os.truncate(path, 100)
    said: list[Event] = []
    train(_options(bunny), output, overwrite=True, sink=said.append)
    assert _told(said).count("cannot be read; it begins anew") == 2
    with open(folder / "curve.csv", encoding="utf-8") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(1, 13))


def test_fewer_steps_than_are_done_are_told(tmp_path: Path, bunny: Path) -> None:
    output = tmp_path / "my.safetensors"
    train(_options(bunny), output)
    said: list[Event] = []
    fewer = _options(bunny, schedule={"steps": 4})
    assert train(fewer, output, overwrite=True, sink=said.append).steps == 12
    assert "12 steps are done already, more than the 4 that are asked for" in _told(said)


def test_a_folder_is_not_overwritten_and_told_at_once(tmp_path: Path, bunny: Path) -> None:
    output = tmp_path / "my.safetensors"
    output.mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        train(_options(bunny), output, overwrite=True)
    assert not output.with_suffix(".train").exists()


def test_the_best_weights_say_what_they_came_to(
    tmp_path: Path, bunny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter((30.0, 20.0))
    monkeypatch.setattr(loop, "measured", lambda net, held: next(values))
    output = tmp_path / "my.safetensors"
    done = train(_options(bunny, licence="CC0-1.0"), output, chosen_by=range(100))
    assert (done.psnr, done.best) == (20.0, 30.0)
    with safe_open(output, "pt") as file:
        notes = file.metadata()
    assert (notes["held_out_psnr"], notes["steps"]) == ("30.000", "6")


def test_a_licence_is_taken_over(tmp_path: Path, bunny: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    train(_options(bunny, licence="CC0-1.0", schedule={"steps": 1}), first)
    train(_options(bunny, start=str(first), schedule={"steps": 1}), second)
    with safe_open(second, "pt") as file:
        assert file.metadata()["licence"] == "CC0-1.0"
    assert "BSD-3" in (licence_of_model(ModelOptions()) or "")


_PLACES = {  # where an interrupt comes: between an optimiser's step and its number, and elsewhere
    "between the networks": (Learner, "_disc_step"),
    "before the average": (Learner, "_average"),
    "in a check": (loop, "measured"),
    "before the pool's batch": (Pool, "exchange"),
    "before the check": (loop, "_check"),
    "in a checkpoint": (resume, "save_checkpoint"),
}


@pytest.mark.parametrize("place", _PLACES)
def test_an_interrupt_anywhere_changes_no_weights(
    tmp_path: Path, bunny: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    options = _options(bunny, stage="gan", disc_feat=4, schedule={"check_every": 3})
    options = dataclasses.replace(
        options, damage=read_damage(changes={"per_sample": False, "pool": 4})
    )
    output, whole = tmp_path / "my.safetensors", tmp_path / "whole.safetensors"
    train(options, whole)
    owner, name = _PLACES[place]
    real, calls = getattr(owner, name), list[int]()

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            real(*arguments, **keywords)
            raise KeyboardInterrupt
        return real(*arguments, **keywords)

    monkeypatch.setattr(owner, name, interrupted)
    with pytest.raises(Stopped, match=r"stopped; the same command goes on at step \d"):
        train(options, output)
    monkeypatch.undo()
    assert not output.exists()
    train(options, output)
    one, other = load_file(output), load_file(whole)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_stop_keeps_all_that_is_done(tmp_path: Path, bunny: Path) -> None:
    steps: list[int] = []

    def sink(event: Event) -> None:
        if isinstance(event, Step):
            steps.append(event.step)

    output = tmp_path / "my.safetensors"
    with pytest.raises(Stopped, match="stopped at step 7; the same command goes on"):
        train(_options(bunny), output, sink=sink, stop=lambda: 7 in steps)
    assert not output.exists()
    steps.clear()
    train(_options(bunny), output, sink=sink)
    assert min(steps) == 8
    train(_options(bunny), tmp_path / "whole.safetensors")
    one, other = load_file(output), load_file(tmp_path / "whole.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_full_disk_is_told_and_leaves_the_last_checkpoint(
    tmp_path: Path, bunny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, writes = os.fsync, list[int]()

    def full(number: int) -> None:
        writes.append(number)
        if len(writes) > 4:  # two for a file, its data and its folder: a checkpoint and a curve
            raise OSError(28, "No space left on device")
        real(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        train(_options(bunny), tmp_path / "my.safetensors")
    monkeypatch.undo()
    folder = tmp_path / "my.train"
    held = checkpoint.load_checkpoint(folder)
    assert held.state is not None
    assert held.state["step"] == 4
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_rates_warm_up_and_decay() -> None:
    options = _options(Path("x"), schedule={"steps": 100, "warm_up": 10, "rate": 1.0 - 1e-9})
    assert math.isclose(rate_at(options, 0), 0.1, rel_tol=1e-6)
    assert math.isclose(rate_at(options, 9), 1.0, rel_tol=1e-6)
    decaying = dataclasses.replace(
        options, schedule=dataclasses.replace(options.schedule, decay=True)
    )
    assert math.isclose(rate_at(decaying, 50), 0.5, rel_tol=1e-6)
    assert rate_at(decaying, 99) < 0.001


@pytest.mark.parametrize("start", ["nearest", "srvgg.pth"])
def test_what_cannot_be_begun_with_is_named(tmp_path: Path, bunny: Path, start: str) -> None:
    with pytest.raises(VsrError, match=start.split(".", maxsplit=1)[0]):
        train(_options(bunny, start=start), tmp_path / "my.safetensors")
