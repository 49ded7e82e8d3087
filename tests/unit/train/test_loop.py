"""The loop: killed and gone on with, shared, stopped, and its weights used."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from vsr.errors import OutputError, OutputExists, Stopped, UsageError, VsrError
from vsr.events import Event, Note, Step
from vsr.nets.store import load_file_as_network
from vsr.train import checkpoint
from vsr.train.degrade.settings import read_damage
from vsr.train.learner import rate_at
from vsr.train.loop import train
from vsr.train.options import DataOptions, LossOptions, ScheduleOptions, TrainOptions


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
    """Three kills here; tests/support/train_kills.py takes any number."""
    script = Path(__file__).parents[2] / "support" / "train_kills.py"
    command = [sys.executable, str(script), str(tmp_path), str(bunny), "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed" in done.stdout


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


def test_tensorboard_shows_each_step_once_whatever_was_killed(tmp_path: Path, bunny: Path) -> None:
    """Judged by its own reader. The first run goes beyond the checkpoint that the second takes."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
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


def test_a_checkpoint_that_is_damaged_is_not_taken(tmp_path: Path, bunny: Path) -> None:
    output = tmp_path / "my.safetensors"
    train(_options(bunny), output)
    newest, older = sorted((tmp_path / "my.train").glob("*.ckpt"), reverse=True)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    (tmp_path / "my.train" / "99999999.torn.ckpt").write_bytes(b"half of one")
    said: list[Event] = []
    before = load_file(output)
    train(_options(bunny), output, overwrite=True, sink=said.append)
    assert any(isinstance(one, Note) and "step 8" in one.text for one in said), older
    after = load_file(output)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_numbers_that_are_none_are_skipped_and_at_first_the_end(
    tmp_path: Path, bunny: Path
) -> None:
    blown = LossOptions(l1=math.inf)
    with pytest.raises(VsrError, match="not one of the first steps"):
        train(
            _options(bunny, loss=blown, schedule={"steps": 40, "check_every": 99}),
            tmp_path / "my.safetensors",
        )
    assert not (tmp_path / "my.safetensors").exists()


def test_an_interrupt_keeps_what_is_done(tmp_path: Path, bunny: Path) -> None:
    def sink(event: Event) -> None:
        if isinstance(event, Step) and event.step == 7:
            raise KeyboardInterrupt

    output = tmp_path / "my.safetensors"
    with pytest.raises(Stopped, match="step 7"):
        train(_options(bunny), output, sink=sink)
    assert not output.exists()
    train(_options(bunny), output)
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
    assert held is not None
    assert held["step"] == 4
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
