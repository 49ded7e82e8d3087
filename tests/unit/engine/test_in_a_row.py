"""Promises: two networks in a row make what one after the other makes, in one pass."""

from __future__ import annotations

import copy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import vsr
from tests.support import judge
from vsr.engine.base import Engine
from vsr.engine.build import build_engine
from vsr.engine.in_a_row import EnginesInARow, engines_in_a_row
from vsr.nets import store
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.span import SPAN
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.options import DeviceOptions, ModelOptions
from vsr.stages.device.tiles import infer


def _seeded(network: Network) -> Network:
    torch.manual_seed(network.scale)
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, -0.2, 0.2)
    return network.eval().requires_grad_(False)


def restorer() -> Network:
    return _seeded(SRVGGNetCompact(num_feat=8, num_conv=2, upscale=1))


PAIRS: dict[str, tuple[Network, Network]] = {
    "1 then 4": (restorer(), _seeded(SRVGGNetCompact(num_feat=8, num_conv=2, upscale=4))),
    "2 then 2, unshuffled": (
        _seeded(SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2)),
        _seeded(RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, scale=2)),
    ),
    "1, unshuffled, then 2": (
        _seeded(RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, scale=1)),
        _seeded(SPAN(num_feat=8, scale=2, norm=False)),
    ),
}


def model(first: Network, second: Network) -> store.LoadedModel:
    made = [
        store.LoadedModel(
            name=f"n{n}", network=copy.deepcopy(one), scale=one.scale, kernel="bicubic"
        )
        for n, one in enumerate((first, second))
    ]
    return store.LoadedModel(
        name="both", network=made[0].network, scale=first.scale * second.scale,
        kernel="bicubic", then=made[1],
    )  # fmt: skip


@pytest.mark.parametrize("engine", ["torch", "ncnn"])
@pytest.mark.parametrize("name", PAIRS)
def test_it_is_one_after_the_other_whole_and_in_tiles(name: str, engine: Any) -> None:
    first, second = PAIRS[name]
    options = DeviceOptions(device="cpu", precision="fp32", engine=engine)
    built = build_engine(model(first, second), Fraction(first.scale * second.scale), options)
    assert isinstance(built, EnginesInARow)
    assert built.name == engine
    step = built.multiple
    x = torch.rand(1, 3, 12 * step, 10 * step)
    with torch.inference_mode():
        between = first.double()(x.double()).clamp(0, 1)
        right = second.double()(between)
        first.float(), second.float()
        assert built.scale == right.shape[3] // x.shape[3]
        assert (built(x) - right).abs().max() < 1e-4
        whole = infer(built, x, tile=0, overlap=0)
        tiled = infer(built, x, tile=5 * step, overlap=built.receptive_radius)
    assert (whole - tiled).abs().max() < 1 / 255


def test_what_the_last_one_is_too_large_by_is_folded_into_it() -> None:
    first, second = PAIRS["1 then 4"]
    options = DeviceOptions(device="cpu", precision="fp32", engine="torch")
    halved = build_engine(model(first, second), Fraction(2), options)
    assert halved.scale == 2
    x = torch.rand(1, 3, 12, 16)
    with torch.inference_mode():
        right = F.avg_pool2d(second(first(x).clamp(0, 1)), 2)
        assert torch.allclose(halved(x), right, rtol=0, atol=1e-5)


def test_where_each_alone_would_have_another_engine_both_are_as_if_built_at_once() -> None:
    """What the first try has folded and rounded is not folded and rounded again."""
    first, second = PAIRS["1 then 4"]

    def build(one: store.LoadedModel, scale: Fraction, options: DeviceOptions) -> Engine:
        if options.engine == "auto":
            options = replace(options, precision="fp32" if one.scale == 1 else "bf16")
        return build_engine(one, scale, replace(options, engine="torch"))

    auto = DeviceOptions(device="cpu")
    both = engines_in_a_row(build, model(first, second), Fraction(2), auto)
    at_once = build_engine(
        model(first, second), Fraction(2), replace(auto, engine="torch", precision="fp32")
    )
    assert (both.name, both.precision, both.scale) == ("torch", "fp32", 2)
    x = torch.rand(1, 3, 12, 16)
    with torch.inference_mode():
        assert torch.equal(both(x), at_once(x))


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_what_overflows_in_the_first_is_seen_behind_the_second(value: float) -> None:
    first, second = (copy.deepcopy(one) for one in PAIRS["1 then 4"])
    assert isinstance(first, SRVGGNetCompact)
    last = first.body[-1]
    assert isinstance(last, torch.nn.Conv2d)
    torch.nn.init.constant_(last.bias, value)  # type: ignore[arg-type]
    options = DeviceOptions(device="cpu", precision="fp32", engine="torch")
    built = build_engine(model(first, second), Fraction(4), options)
    assert not torch.isfinite(built(torch.rand(1, 3, 12, 16))).any()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A restorer that makes everything too bright, and what doubles."""
    bright = SRVGGNetCompact(num_feat=4, num_conv=0, upscale=1)
    double = SRVGGNetCompact(num_feat=4, num_conv=0, upscale=2)
    for network in (bright, double):
        for parameter in network.parameters():
            torch.nn.init.zeros_(parameter)
    last = bright.body[-1]
    assert isinstance(last, torch.nn.Conv2d)
    torch.nn.init.constant_(last.bias, 0.1)  # type: ignore[arg-type]
    paths = tmp_path / "bright.pth", tmp_path / "double.pth"
    for network, path in zip((bright, double), paths, strict=True):
        torch.save(network.state_dict(), path)
    return paths


def test_colours_are_kept_over_both(files: tuple[Path, Path]) -> None:
    flat = np.full((24, 32, 3), (90, 120, 60), np.uint8)
    chosen: dict[str, Any] = {"device": "cpu", "precision": "fp32", "then": str(files[1])}
    with vsr.Upscaler(files[0], **chosen) as upscale:
        assert upscale.scale == 2
        large = upscale(flat)
    assert large.shape == (48, 64, 3)
    assert np.abs(large.astype(int) - flat[0, 0]).max() <= 1
    with vsr.Upscaler(files[0], keep_colours=False, **chosen) as upscale:
        assert upscale(flat).astype(int).mean() > flat.mean() + 20


def test_a_film_goes_through_both_and_says_so(files: tuple[Path, Path], tmp_path: Path) -> None:
    film = judge.talkie(tmp_path / "film.mkv", 1)
    events: list[vsr.events.Event] = []
    result = vsr.upscale(
        film, tmp_path / "out.mkv", model=str(files[0]), then=str(files[1]),
        device="cpu", precision="fp32", sink=events.append,
    )  # fmt: skip
    (started,) = (event for event in events if isinstance(event, vsr.events.Started))
    assert "bright.pth, then double.pth" in started.description
    size = (result.width, result.height)
    assert len(judge.rgb(result.output, size=size)) == result.frames


@pytest.mark.parametrize("pair", [("bicubic", "animevideov3"), ("animevideov3", "lanczos")])
def test_a_resizer_is_not_joined(pair: tuple[str, str]) -> None:
    with pytest.raises(vsr.errors.UsageError, match="joins two networks"):
        ModelOptions(name=pair[0], then=pair[1])


def test_a_missing_second_one_is_named(files: tuple[Path, Path]) -> None:
    with pytest.raises(vsr.errors.UnknownModel, match="nothere"):
        store.load(ModelOptions(name=str(files[0]), then="nothere.pth"))
