"""Promises of the extra `community`: other networks run, or one line says what is missing."""

from __future__ import annotations

import copy
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

import vsr
from tests.support import community, judge
from vsr.engine.build import build_engine
from vsr.errors import BrokenWeights
from vsr.nets import community as ours
from vsr.nets import store
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.options import DeviceOptions, ModelOptions
from vsr.stages.device.tiles import infer

CPU = DeviceOptions(device="cpu", precision="fp32")


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """Weights of no kind of ours."""
    path = tmp_path / "strange.pth"
    torch.save({"params": {"layers.0.attention.weight": torch.rand(4, 4)}}, path)
    return path


def test_without_it_one_line_says_how_to_get_it(
    strange: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vsr.cli.main import main

    monkeypatch.setattr(ours, "is_installed", lambda: False)
    assert main(["upscale", str(strange.with_name("film.mkv")), "-m", str(strange)]) == 3
    judge.talkie(strange.with_name("film.mkv"), 1)
    capsys.readouterr()
    assert main(["upscale", str(strange.with_name("film.mkv")), "-m", str(strange)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "strange.pth" in line
    assert "pip install 'vsr-upscale[community]'" in line


def test_where_it_does_not_start_torchvision_is_named(
    strange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "is_installed", lambda: True)
    monkeypatch.setitem(sys.modules, "spandrel", None)  # as where its torchvision is missing
    with pytest.raises(BrokenWeights, match="torchvision that belongs to this PyTorch"):
        store.load(ModelOptions(name=str(strange)))


def test_our_own_kinds_need_it_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    path = tmp_path / "own.pth"
    torch.save(SRVGGNetCompact(num_feat=4, num_conv=0, upscale=2).state_dict(), path)
    assert store.load(ModelOptions(name=str(path))).scale == 2


def test_what_is_built_for_weights_is_no_larger_than_they_allow() -> None:
    with pytest.raises(BrokenWeights, match="larger"), ours._Bounded({"a": torch.zeros(3)}):
        torch.empty(1 << 20, 1 << 10)
    with pytest.raises(BrokenWeights, match="larger"), ours._Bounded({"a": torch.zeros(3)}):
        torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(100_000))


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    community.spandrel_here()
    folder = tmp_path_factory.mktemp("kinds")
    return {name: community.random_file(name, folder)[0] for name in community.KINDS}


@pytest.mark.parametrize("name", community.KINDS)
def test_a_kind_computes_what_spandrel_says_whole_and_in_tiles(
    name: str, kinds: dict[str, Path], tmp_path: Path
) -> None:
    _, right = community.random_file(name, tmp_path)
    model = store.load(ModelOptions(name=str(kinds[name])))
    engine = build_engine(model, Fraction(2), CPU)
    x = torch.rand(1, 3, 80, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = copy.deepcopy(right)(x).clamp(0, 1)
        assert (engine(x) - wanted).abs().max() < 1e-5
        whole = infer(engine, x, tile=0, overlap=0)
        tiled = infer(engine, x, tile=48, overlap=engine.receptive_radius)
    error = (whole - tiled).abs().max() * 255
    print(f"{name}: radius {engine.receptive_radius}, sees whole {engine.sees_whole}, {error:.3f}")
    if not engine.sees_whole:
        assert error < 1
    assert engine.name == "torch"


def test_the_kinds_that_do_not_keep_still_are_told(kinds: dict[str, Path]) -> None:
    seen = {
        name: network.sees_whole
        for name, path in kinds.items()
        if (network := store.load(ModelOptions(name=str(path))).network) is not None
    }
    assert seen["HAT"]
    assert seen["OmniSR"]
    assert not seen["MoSR"]
    assert not seen["RealPLKSR"]


def test_a_film_says_what_tiles_cost(kinds: dict[str, Path], tmp_path: Path) -> None:
    film = judge.talkie(tmp_path / "film.mkv", 1)
    for name, said in (("OmniSR", True), ("MoSR", False)):
        result = vsr.upscale(
            film, tmp_path / f"{name}.mkv", model=str(kinds[name]), tile=64, device="cpu",
            precision="fp32", reuse="safe", clip=["0f-3f"],
        )  # fmt: skip
        notes = " ".join(str(note) for note in result.notes)
        assert ("blended" in notes) is said, notes
        assert ("sees whole frames" in notes) is said


def test_ncnn_says_that_it_cannot(kinds: dict[str, Path]) -> None:
    model = store.load(ModelOptions(name=str(kinds["MoSR"])))
    with pytest.raises(vsr.errors.UsageError, match="ncnn"):
        build_engine(model, Fraction(2), DeviceOptions(device="cpu", engine="ncnn"))
