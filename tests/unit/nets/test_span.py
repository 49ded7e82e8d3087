"""Promises: SPAN is read in the form in which it is trained, and computes what that says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from vsr.errors import BrokenWeights
from vsr.nets.detect import from_state
from vsr.nets.families.span import SPAN, _multiplied_out

_RADIUS = 21
State = dict[str, Tensor]


def trained(feat: int, scale: int, *, norm: bool = True) -> State:
    """Weights as training leaves them, random; the convolutions of evaluation are wrong."""
    torch.manual_seed(feat)
    state: State = {} if norm else {"no_norm": torch.zeros(1)}

    def conv(name: str, out: int, into: int, side: int) -> None:
        state[f"{name}.weight"] = (torch.rand(out, into, side, side) - 0.5) * 2 / into**0.5 / side
        state[f"{name}.bias"] = torch.rand(out) - 0.5

    def whole(name: str, into: int) -> None:
        conv(f"{name}.sk", feat, into, 1)
        conv(f"{name}.conv.0", 2 * into, into, 1)
        conv(f"{name}.conv.1", 2 * feat, 2 * into, 3)
        conv(f"{name}.conv.2", feat, 2 * feat, 1)
        conv(f"{name}.eval_conv", feat, into, 3)

    whole("conv_1", 3)
    for block in range(1, 7):
        for one in (1, 2, 3):
            whole(f"block_{block}.c{one}_r", feat)
    conv("conv_cat", feat, 4 * feat, 1)
    whole("conv_2", feat)
    conv("upsampler.0", 3 * scale**2, feat, 3)
    return state


def exact(state: State, x: Tensor, scale: int) -> Tensor:
    """SPAN as its training runs it, in float64: right but at edges, padded otherwise."""

    def conv(x: Tensor, name: str, padding: int = 0) -> Tensor:
        weight, bias = state[f"{name}.weight"].double(), state[f"{name}.bias"].double()
        return F.conv2d(x, weight, bias, padding=padding)

    def whole(x: Tensor, name: str) -> Tensor:
        wide = conv(F.pad(x, (1, 1, 1, 1)), f"{name}.conv.0")
        return conv(conv(wide, f"{name}.conv.1"), f"{name}.conv.2") + conv(x, f"{name}.sk")

    if "no_norm" not in state:
        x = (x - torch.tensor([0.4488, 0.4371, 0.4040]).double().view(1, 3, 1, 1)) * 255
    first = whole(x, "conv_1")
    found, kept = first, []
    for block in range(1, 7):
        inner = F.silu(whole(found, f"block_{block}.c1_r"))
        out = whole(F.silu(whole(inner, f"block_{block}.c2_r")), f"block_{block}.c3_r")
        found = (out + found) * (torch.sigmoid(out) - 0.5)
        kept.append(found)
    joined = torch.cat([first, whole(found, "conv_2"), kept[0], inner], 1)
    return F.pixel_shuffle(conv(conv(joined, "conv_cat"), "upsampler.0", 1), scale)


@pytest.mark.parametrize(("feat", "scale"), [(8, 4), (12, 2), (8, 1), (8, 3)])
@pytest.mark.parametrize("norm", [True, False])
def test_it_computes_what_its_training_says(feat: int, scale: int, norm: bool) -> None:
    state = trained(feat, scale, norm=norm)
    network = from_state({"params_ema": state}).double()
    assert isinstance(network, SPAN)
    assert network.scale == scale
    torch.manual_seed(0)
    x = torch.rand(1, 3, 2 * _RADIUS + 6, 2 * _RADIUS + 4, dtype=torch.float64)
    with torch.inference_mode():
        right = exact(state, x, scale)
        inside = (..., *2 * (slice(_RADIUS * scale, -_RADIUS * scale),))
        assert (network(x) - right)[inside].abs().max() < 1e-5 * right.abs().max()


class Largest(TorchDispatchMode):
    """Remembers how much the largest result has."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.numbers = max(self.numbers, out.numel())
        return out


@pytest.mark.parametrize(
    ("out", "middle", "inner", "into"), [(50, 1, 1000, 3), (3, 1000, 1, 50), (8, 16, 6, 3)]
)
def test_what_is_multiplied_out_takes_no_more_than_weights_have(
    out: int, middle: int, inner: int, into: int
) -> None:
    shapes = {
        "conv.0": (inner, into, 1, 1), "conv.1": (middle, inner, 3, 3),
        "conv.2": (out, middle, 1, 1), "sk": (out, into, 1, 1),
    }  # fmt: skip
    torch.manual_seed(0)
    state = {f"a.{name}.weight": torch.rand(shape) for name, shape in shapes.items()}
    state |= {f"a.{name}.bias": torch.rand(shape[0]) for name, shape in shapes.items()}
    with Largest() as largest:
        weight, bias = _multiplied_out(state, "a")
    assert largest.numbers <= sum(tensor.numel() for tensor in state.values())
    one = torch.zeros(1, into, 3, 3, dtype=torch.float64)
    one[0, 0, 0, 2] = 1
    x = one
    for name in ("conv.0", "conv.1", "conv.2"):
        x = F.conv2d(x, state[f"a.{name}.weight"].double(), state[f"a.{name}.bias"].double())
    right = x[0, :, 0, 0] + state["a.sk.bias"].double()
    assert torch.allclose(weight[:, 0, 0, 2] + bias, right, rtol=1e-12)


def test_in_half_precision_and_under_prefixes() -> None:
    state = trained(8, 2)
    halves = {f"module.{name}": tensor.half() for name, tensor in state.items()}
    x = torch.rand(1, 3, 12, 12)
    plain, half = from_state(state)(x), from_state(halves)(x)
    assert (plain - half).abs().max() < 0.05 * plain.abs().max()


@pytest.mark.parametrize(
    "missing", ["conv_2.sk.bias", "block_6.c3_r.conv.1.weight", "conv_cat.bias"]
)
def test_a_part_of_it_is_broken(missing: str) -> None:
    state = trained(8, 2)
    del state[missing]
    with pytest.raises(BrokenWeights):
        from_state(state)


def test_other_shapes_are_broken() -> None:
    for name, tensor in (
        ("conv_1.sk.weight", torch.zeros(8, 1, 1, 1)),
        ("conv_cat.weight", torch.zeros(8, 16, 1, 1)),
        ("block_2.c1_r.conv.1.weight", torch.zeros(16, 16, 5, 5)),
        ("upsampler.0.weight", torch.zeros(7, 8, 3, 3)),
        ("block_1.c1_r.sk.weight", torch.zeros(9, 8, 1, 1)),
    ):
        with pytest.raises(BrokenWeights):
            from_state(trained(8, 2) | {name: tensor})
