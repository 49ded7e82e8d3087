"""Fine-tuning: what is kept belongs to the films and options that made it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.support.judge import make
from vsr.cli.main import main
from vsr.errors import Stopped, UsageError, VsrError
from vsr.events import Step
from vsr.nets.network import Network
from vsr.nets.store import load
from vsr.options import ModelOptions
from vsr.train import finetune as module
from vsr.train import judge, loop
from vsr.train.degrade.settings import read_damage
from vsr.train.finetune import finetune
from vsr.train.judge import JudgedClip
from vsr.train.like import DamageEstimate
from vsr.train.loop import train
from vsr.train.options import DataOptions, FinetuneOptions, ScheduleOptions, TrainOptions


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A film of two scenes, and a network for it."""
    folder = tmp_path_factory.mktemp("finetune")
    film = make(
        folder / "film.mkv",
        "testsrc2=s=164x132:r=12:d=1[a];testsrc=s=164x132:r=12:d=1[b];[a][b]concat",
        "-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    start = folder / "start.safetensors"
    plan = TrainOptions(
        data=DataOptions(clean=(film,), clips=4, patch=48, area=96, window=128),
        damage=read_damage(changes={"scale": 2}), num_feat=4, num_block=1,
        schedule=ScheduleOptions(steps=1, batch=2),
    )  # fmt: skip
    train(plan, start)
    return film, start


_SMALL = {"clips": 4, "patch": 48, "batch": 2, "steps": 1, "keep": True, "rate": 1e-6}
_FOUND = DamageEstimate(
    codec=None, quality=0.0, blur=0.7, noise=3.0, distance=0.5, chroma="4:2:0 8 bit"
)


def _options(start: Path, **more: object) -> FinetuneOptions:
    return FinetuneOptions(**{**_SMALL, "start": str(start), **more})  # type: ignore[arg-type]


def test_an_estimate_is_of_the_films_that_are_named(
    tmp_path: Path, made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    film, start = made
    asked: list[str] = []

    def estimate(damaged: Path, clean: Path, scale: int) -> DamageEstimate:
        asked.append(damaged.name)
        return dataclasses.replace(_FOUND, noise=float(len(asked)))

    monkeypatch.setattr(module, "estimate", estimate)
    out = tmp_path / "my.safetensors"
    one, other = tmp_path / "one.mkv", tmp_path / "other.mkv"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    said = [
        finetune(film, bad, out, _options(start), overwrite=True, restart=restart).damage
        for bad, restart in ((one, False), (one, False), (other, False), (other, True))
    ]
    assert asked == ["one.mkv", "other.mkv", "other.mkv"]
    assert said[0] == said[1]
    assert len(set(said)) == 3
    other.write_bytes(b"another film of that name")
    finetune(film, other, out, _options(start), overwrite=True)
    assert len(asked) == 4


def test_one_scene_is_refused_before_the_estimate(
    tmp_path: Path, made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make(tmp_path / "one.mkv", "testsrc2=s=164x132:r=12:d=2", "-c:v", "ffv1")

    def estimate(damaged: Path, clean: Path, scale: int) -> DamageEstimate:
        raise AssertionError("estimated")

    monkeypatch.setattr(module, "estimate", estimate)
    with pytest.raises(UsageError, match=r"one\.mkv: is one scene"):
        finetune(film, film, tmp_path / "my.safetensors", _options(made[1]))


def test_other_options_are_other_work(tmp_path: Path, made: tuple[Path, Path]) -> None:
    """An edited damage, another seed and other steps begin anew; the first ones go on."""
    film, start = made
    own, out = tmp_path / "own.toml", tmp_path / "my.safetensors"
    own.write_text("[first.resize]\nrange = [0.5, 1.0]\n")
    told: list[object] = []

    def taught(**more: object) -> int:
        options = _options(start, damage=own, **more)
        return finetune(film, None, out, options, overwrite=True, sink=told.append).steps

    assert taught() == 1
    assert taught(seed=1) == 1
    assert taught(steps=3) == 3
    own.write_text("[first.resize]\nrange = [0.6, 1.0]\n")
    assert taught() == 1
    assert not any("goes on" in str(event) for event in told)
    assert taught() == 1
    assert any("goes on" in str(event) for event in told)


def test_no_time_for_a_step_writes_nothing(tmp_path: Path, made: tuple[Path, Path]) -> None:
    film, start = made
    own, out = tmp_path / "own.toml", tmp_path / "my.safetensors"
    own.write_text("[first.resize]\nrange = [0.5, 1.0]\n")
    with pytest.raises(VsrError, match="went into the preparation"):
        finetune(film, None, out, _options(start, damage=own, steps=None, minutes=1e-6))
    assert not out.exists()
    assert not list(tmp_path.rglob("candidate*.safetensors"))
    assert not list(tmp_path.rglob("steps.json"))


def test_where_there_is_no_vmaf_json_has_null(
    tmp_path: Path, made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    film, start = made
    own, out = tmp_path / "own.toml", tmp_path / "my.safetensors"
    own.write_text("[first.resize]\nrange = [0.5, 1.0]\n")
    monkeypatch.setattr(judge, "vmaf", lambda *_: math.nan)
    arguments = [
        "finetune", str(film), "--damage", str(own), "-o", str(out), "--from", str(start),
        "--clips", "4", "--patch", "48", "--batch", "2", "--steps", "1", "--json", "-q",
    ]  # fmt: skip
    assert main([*arguments, "--keep"]) == 0
    report = (tmp_path / "my.train" / "report.json").read_text()
    for text in (capsys.readouterr().out, report):
        told = json.loads(text, parse_constant=pytest.fail)
        assert told["before"]["vmaf"] is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--patch", "600"], "--patch 600"),
        (["--patch", "150"], "is 164x132; --patch 150"),
        (["--clips", "1"], "--clips 1"),
        (["--damage", "x.toml"], "--like and --damage"),
        (["-o", "/dev/null/x.safetensors"], "/dev/null/x.train"),
    ],
)
def test_what_is_wrong_is_said_before_the_estimate(  # noqa: PLR0917
    tmp_path: Path, made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], more: list[str], words: str,
) -> None:  # fmt: skip
    film, start = made
    monkeypatch.setattr(module, "estimate", lambda *_: pytest.fail("it came to an estimate"))
    arguments = ["finetune", str(film), "--like", str(film), "--from", str(start)]
    assert main([*arguments, "-o", str(tmp_path / "x.safetensors"), "--patch", "48", *more]) != 0
    said = capsys.readouterr().err.strip().splitlines()
    assert words in said[-1]
    assert said[-1].startswith("vsr: ")


def test_what_judges_has_chosen_nothing(
    tmp_path: Path, made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four scenes two are held out: one for the checks of the training, one for the report."""
    _, start = made
    colours = ("testsrc2", "testsrc", "mandelbrot", "smptebars")
    inputs = ";".join(f"{c}=s=164x132:r=12[{n}]" for n, c in enumerate(colours))
    cut = ";".join(f"[{n}]trim=end_frame=12,setsar=1[c{n}]" for n in range(4))
    film = make(
        tmp_path / "four.mkv", f"{inputs};{cut};[c0][c1][c2][c3]concat=4",
        "-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    own, out = tmp_path / "own.toml", tmp_path / "my.safetensors"
    own.write_text("[first.resize]\nrange = [0.5, 1.0]\n")
    monkeypatch.setattr(module, "_HELD_OUT", 0.5)
    checked: list[bytes] = []
    judged: list[bytes] = []

    def measured(_: object, pairs: list[JudgedClip]) -> float:
        checked.extend(pair.high.numpy().tobytes() for pair in pairs)
        return 30.0

    def vmaf(_: object, pairs: list[JudgedClip]) -> float:
        judged.extend(pair.high.numpy().tobytes() for pair in pairs)
        return 50.0

    monkeypatch.setattr(loop, "measured", measured)
    monkeypatch.setattr(judge, "vmaf", vmaf)
    report = finetune(film, None, out, _options(start, damage=own, clips=8))
    assert checked
    assert judged
    assert not set(checked) & set(judged)
    assert report.scenes == 1


@pytest.mark.parametrize("at", ["step", "judging"])
def test_a_stop_is_between_steps_or_clips_and_is_gone_on_from(
    tmp_path: Path, made: tuple[Path, Path], at: str
) -> None:
    """With the same weights at the end."""
    film, start = made
    own = tmp_path / "own.toml"
    own.write_text("[first.resize]\nrange = [0.5, 1.0]\n")
    options = _options(start, damage=own, steps=4, rate=1e-3)
    whole, out = tmp_path / "whole.safetensors", tmp_path / "my.safetensors"
    finetune(film, None, whole, options)
    steps = 0

    def sink(event: object) -> None:
        nonlocal steps
        steps += isinstance(event, Step) and "psnr" not in event.numbers

    wanted = 2 if at == "step" else 4
    with pytest.raises(Stopped):
        finetune(film, None, out, options, stop=lambda: steps == wanted, sink=sink)
    assert not out.exists()
    assert steps == wanted
    finetune(film, None, out, options, sink=sink)
    assert steps == 4
    found, expected = load_file(out), load_file(whole)
    assert found.keys() == expected.keys()
    assert all(torch.equal(weights, expected[name]) for name, weights in found.items())


@pytest.mark.parametrize("closer", [True, False])
def test_a_network_keeps_its_colours_where_they_are_closer_to_the_truth(
    tmp_path: Path, made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, closer: bool
) -> None:
    film, start = made
    own, out = tmp_path / "own.toml", tmp_path / "my.safetensors"
    own.write_text("[first.resize]\nrange = [0.5, 1.0]\n")
    asked: list[bool] = []
    real = judge.enlarge

    def measured(_: object, pairs: object, *, keep_colours: bool = True) -> float:
        return 30.0 if keep_colours is not closer else 29.0

    def enlarge(net: Network, low: torch.Tensor, *, keep_colours: bool = True) -> torch.Tensor:
        asked.append(keep_colours)
        return real(net, low, keep_colours=keep_colours)

    monkeypatch.setattr(judge, "measured", measured)
    monkeypatch.setattr(judge, "enlarge", enlarge)
    finetune(film, None, out, _options(start, damage=own))
    assert asked[0]  # what it began with
    assert asked[-1] is not closer
    with safe_open(out, "pt") as file:
        assert (file.metadata().get("colours") == "network") is closer
        assert file.metadata()["steps"] == "1"
    told: list[object] = []
    assert load(ModelOptions(name=str(out)), told.append).own_colours is closer
