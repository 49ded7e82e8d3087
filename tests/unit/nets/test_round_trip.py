"""Promise: the networks that people have are told by their files alone, and compute what they say.

What is right is computed in float64 by the tests' own code, and by spandrel where it is here.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.support import community
from tests.unit.nets.layouts import Layout, Made, compact, rrdb
from tests.unit.nets.test_span import exact as span_exact
from tests.unit.nets.test_span import trained
from vsr.engine.build import build_engine
from vsr.nets import store
from vsr.nets.families.cugan import RealCUGAN
from vsr.options import DeviceOptions, ModelOptions
from vsr.stages.device.tiles import infer

_CPU = DeviceOptions(device="cpu", precision="fp32", engine="torch")
_SPAN_RADIUS = 21


@dataclass(frozen=True)
class Case:
    """A network of somebody's, and what is known of it."""

    make: Callable[[], Made]
    family: str = "RRDBNet"
    name: str = "Name"  # of the file, without its suffix
    activation: str = "relu"
    spandrel: bool = True  # knows it
    edge: int = 0  # source pixels at the edges, where implementations differ
    channels: int = 3


def _rrdb(layout: Layout, *, spandrel: bool = True, name: str = "Name", **shape: Any) -> Case:
    channels = shape.get("channels", 3)
    return Case(
        lambda: rrdb(layout, **shape), "RRDBNet" if channels == 3 else "RRDBNet, grey",
        spandrel=spandrel, name=name, channels=channels,
    )  # fmt: skip


def _compact(*, activation: str = "prelu", channels: int = 3, **shape: Any) -> Case:
    made: Any = {"activation": activation, "channels": channels, **shape}
    family = "SRVGGNetCompact" if channels == 3 else "SRVGGNetCompact, grey"
    named = activation if activation in ("relu", "leakyrelu") else "relu"
    return Case(
        lambda: compact(**made), family, activation=named, channels=channels,
        spandrel=activation == "prelu",
    )  # fmt: skip


def _span(feat: int, scale: int, norm: bool) -> Case:
    def make() -> Made:
        state = trained(feat, scale, norm=norm)
        return Made(state, scale, lambda x: span_exact(state, x, scale))

    return Case(make, "SPAN", edge=_SPAN_RADIUS)


def _cugan(*, channels: int = 3, pro: bool = False) -> Case:
    def make() -> Made:
        torch.manual_seed(0)
        network = RealCUGAN(channels=channels, pro=pro)
        state = network.state_dict() | ({"pro": torch.zeros(1)} if pro else {})

        def exact(x: Tensor) -> Tensor:  # judged by ncnn in tests of its own, and by spandrel
            network.load_state_dict({name: state[name] for name in network.state_dict()})
            out: Tensor = network.double()(x)
            return out

        return Made(state, 2, exact)

    family = "RealCUGAN" if channels == 3 else "RealCUGAN, grey"
    return Case(make, family, edge=24, channels=channels)


LAYOUTS: tuple[Layout, ...] = get_args(Layout)
_SHAPES: dict[str, dict[str, Any]] = {
    "4x": {"feat": 64},
    "2x": {"scale": 2, "feat": 48},
    "1x": {"scale": 1, "feat": 24},
    "3x": {"scale": 3, "name": "3x_Name", "spandrel": False},
    "8x": {"scale": 8},
    "16x": {"scale": 16, "feat": 24},
    "2x, unshuffled by 2": {"scale": 2, "unshuffle": 2, "feat": 64},
    "1x, unshuffled by 4": {"scale": 1, "unshuffle": 4},
    "4x, unshuffled by 2": {"unshuffle": 2, "feat": 24},
    # spandrel knows it by its own names only, those of old ESRGAN.
    "plus 4x": {"plus": True, "feat": 48, "spandrel": False},
    "grey 4x": {"channels": 1},
    "two blocks, narrow": {"scale": 2, "blocks": 2, "grow": 4, "spandrel": False},
}
CASES: dict[str, Case] = {
    f"{layout} {name}": _rrdb(layout, **shape)
    for layout in LAYOUTS
    for name, shape in _SHAPES.items()
}
CASES |= {
    "grey 2x, unshuffled by 2": _rrdb("real-esrgan", scale=2, unshuffle=2, channels=1),
    "plus 4x, as it is about": _rrdb("old-esrgan", plus=True, feat=64),
    "plus 1x": _rrdb("old-esrgan", scale=1, plus=True),
    "Compact 1x": _compact(scale=1, feat=24),
    "Compact 2x": _compact(scale=2, feat=48, convs=0),
    "Compact 3x": _compact(scale=3, feat=32, convs=5),
    "Compact 4x": _compact(scale=4),
    "Compact 8x": _compact(scale=8, feat=24),
    "Compact 2x, one slope": _compact(scale=2, activation="one-slope"),
    "Compact 2x, ReLU": _compact(scale=2, activation="relu", feat=32),
    "Compact 4x, LeakyReLU": _compact(scale=4, activation="leakyrelu", feat=48),
    "Compact 2x, grey": _compact(scale=2, channels=1, feat=32),
    "SPAN 1x": _span(28, 1, True),
    "SPAN 2x": _span(48, 2, True),
    "SPAN 3x, no norm": _span(24, 3, False),
    "SPAN 4x, no norm": _span(52, 4, False),
    "CUGAN 2x": _cugan(),
    "CUGAN 2x, pro": _cugan(pro=True),
    "CUGAN 2x, grey": _cugan(channels=1),
}

# What tools put weights into, and how they write them; in turn, with each of the cases.
Holder = Callable[[dict[str, Tensor]], Any]
HOLDERS: dict[str, Holder] = {
    "bare.pth": lambda state: state,
    "params_ema.pth": lambda state: {"params": _zeros(state), "params_ema": state},
    "state_dict.ckpt": lambda state: {"state_dict": state, "epoch": 3},
    "halves.pth": lambda state: {name: tensor.half() for name, tensor in state.items()},
    "g_ema.pt": lambda state: {"g_ema": state, "d": _zeros(state)},
    "told.safetensors": lambda state: state,
    "model.pth": lambda state: {"model": state},
    "prefixes.pth": lambda state: {"params": {f"module.{n}": t for n, t in state.items()}},
    "halves.safetensors": lambda state: {name: tensor.half() for name, tensor in state.items()},
    "g_ema in state_dict.pth": lambda state: {"state_dict": {"g_ema": state}},
    "old.pth": lambda state: {"params": state},
}
PAIRS = list(zip(CASES, itertools.cycle(HOLDERS), strict=False))


def _zeros(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


def _written(made: Made, holder: str, path: Path) -> Path:
    kind, _, suffix = holder.partition(".")
    path = path.with_name(f"{path.name}.{suffix}")
    held = HOLDERS[holder](made.state)
    if suffix == "safetensors":
        # As tools do that train from Lightning or kohya.
        held = {name: tensor.contiguous() for name, tensor in held.items()}
        save_file(held, path, {"format": "pt", "modelspec.title": "A name", "license": "MIT"})
    else:
        torch.save(held, path, _use_new_zipfile_serialization=kind != "old")
    return path


def _rounded(made: Made, holder: str) -> None:
    if holder.startswith("halves"):
        for name, tensor in made.state.items():
            made.state[name] = tensor.half().float()


def _right(made: Made, x: Tensor, channels: int) -> Tensor:
    """RGB by a network of RGB, or by a grey one on each colour."""
    if channels == 3:
        return made.exact(x)
    return torch.cat([made.exact(x[:, c : c + 1]) for c in range(3)], 1)


def _by_spandrel(state: dict[str, Tensor], x: Tensor, channels: int) -> Tensor:
    from spandrel import MAIN_REGISTRY, ImageModelDescriptor

    known = MAIN_REGISTRY.load({name: tensor.clone() for name, tensor in state.items()})
    assert isinstance(known, ImageModelDescriptor)
    network: Any = known.model.eval().double()
    if channels == 3:
        out: Tensor = network(x)
        return out
    return torch.cat([network(x[:, c : c + 1]) for c in range(3)], 1)


@pytest.mark.parametrize(("name", "holder"), PAIRS)
def test_a_file_alone_says_what_it_computes_whole_and_in_tiles(
    name: str, holder: str, tmp_path: Path
) -> None:
    case, made = CASES[name], CASES[name].make()
    path = _written(made, holder, tmp_path / case.name)
    _rounded(made, holder)
    options: Any = {"name": str(path), "activation": case.activation}
    model = store.load(ModelOptions(**options))
    network = model.network
    assert network is not None
    assert (network.family, model.scale, network.scale) == (case.family, made.scale, made.scale)

    # A frame in float64, of which every pixel says something.
    step, edge, scale = network.multiple, case.edge, made.scale
    x = torch.rand(1, 3, 2 * edge + 8 * step, 2 * edge + 12 * step, dtype=torch.float64)
    inside = (..., *2 * (slice(edge * scale, -edge * scale or None),))
    with torch.inference_mode():
        right = _right(made, x, case.channels)[inside]
        assert right.std() > 0.01
        assert (copy.deepcopy(network).double()(x)[inside] - right).abs().max() < 1e-5
        if case.spandrel and _has_spandrel():
            theirs = _by_spandrel(made.state, x, case.channels)[inside]
            assert (theirs - right).abs().max() < 1e-5

    # A strip of which tiles in the middle see a part.
    engine = build_engine(model, Fraction(scale), _CPU)
    radius = engine.receptive_radius
    x = torch.rand(1, 3, 8 * step, 2 * radius + 40 * step)
    with torch.inference_mode():
        whole = infer(engine, x, tile=0, overlap=0)
        tiled = infer(engine, x, tile=16 * step, overlap=radius)
    if not engine.sees_whole:
        assert (whole - tiled).abs().max() < 1 / 255
    assert tiled.shape == whole.shape == (1, 3, *(side * scale for side in x.shape[2:]))


def _has_spandrel() -> bool:
    try:
        community.spandrel_here()
    except pytest.skip.Exception:
        return False
    return True


def test_at_least_forty_in_every_layout_and_holder() -> None:
    assert len(CASES) >= 40
    assert {holder for _, holder in PAIRS} == set(HOLDERS)
