"""Random weights in the layouts that people have, and what they compute, in float64.

Written from the papers and from the names in such files; nothing of vsr's networks is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]
Layout = Literal["real-esrgan", "bsrgan", "old-esrgan"]


@dataclass(frozen=True)
class Made:
    """Weights, by the names of a layout."""

    state: State
    scale: int
    exact: Callable[[Tensor], Tensor]  # (N, C, H, W) in float64 -> (N, C, scale * H, scale * W)


class _Weights:
    """Convolutions by their names, each made where it is first asked for by its shape."""

    def __init__(self, seed: int) -> None:
        self.state: State = {}
        self._chance = torch.Generator().manual_seed(seed)

    def random(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._chance) * 2 - 1

    def add(self, name: str, out: int, into: int, side: int = 3, *, bias: bool = True) -> None:
        self.state[f"{name}.weight"] = self.random(out, into, side, side) / into**0.5 / side
        if bias:
            self.state[f"{name}.bias"] = self.random(out) / 4

    def __call__(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.state[f"{name}.weight"].double(), self.state.get(f"{name}.bias")
        return F.conv2d(x, weight, None if bias is None else bias.double(), padding="same")


def rrdb(
    layout: Layout = "real-esrgan", *, scale: int = 4, unshuffle: int = 1, feat: int = 32,
    grow: int = 32, blocks: int = 1, channels: int = 3, plus: bool = False,
) -> Made:  # fmt: skip
    """Return an ESRGAN, whose stages double (or, the only one, triple) what was unshuffled."""
    inner = scale * unshuffle
    times = 3 if inner == 3 else 2
    stages = 1 if inner == 3 else inner.bit_length() - 1
    names: dict[Layout, Callable[..., str]] = {
        "real-esrgan": _real_esrgan, "bsrgan": _bsrgan,
        "old-esrgan": lambda part, at=0: _old_esrgan(part, at, blocks, stages),
    }  # fmt: skip
    name = names[layout]
    w = _Weights(scale + 100 * unshuffle + feat)
    w.add(name("first"), feat, channels * unshuffle**2)
    for dense in range(3 * blocks):
        for conv in range(5):
            out = grow if conv < 4 else feat
            w.add(name(f"conv{conv + 1}", dense), out, feat + conv * grow)
        if plus:
            w.add(name("conv1x1", dense), grow, feat, 1, bias=False)
    for part in ("body", *(f"up{n + 1}" for n in range(stages)), "hr"):
        w.add(name(part), feat, feat)
    w.add(name("last"), channels, feat)

    def bent(part: str, x: Tensor, at: int = 0) -> Tensor:
        return F.leaky_relu(w(name(part, at), x), 0.2)

    def dense_block(x: Tensor, at: int) -> Tensor:
        seen = [x]
        for conv in range(1, 5):
            found = bent(f"conv{conv}", torch.cat(seen, 1), at)
            if plus and conv == 2:
                found = found + w(name("conv1x1", at), x)
            if plus and conv == 4:
                found = found + seen[2]
            seen.append(found)
        return x + 0.2 * w(name("conv5", at), torch.cat(seen, 1))

    def exact(x: Tensor) -> Tensor:
        first = found = w(name("first"), F.pixel_unshuffle(x, unshuffle))
        for block in range(blocks):
            inside = found
            for dense in range(3):
                inside = dense_block(inside, 3 * block + dense)
            found = found + 0.2 * inside
        found = first + w(name("body"), found)
        for stage in range(stages):
            larger = found.repeat_interleave(times, 2).repeat_interleave(times, 3)
            found = bent(f"up{stage + 1}", larger)
        return w(name("last"), bent("hr", found))

    return Made(w.state, scale, exact)


def _real_esrgan(part: str, at: int = 0) -> str:
    if part.startswith("conv"):
        return f"body.{at // 3}.rdb{at % 3 + 1}.{part}"
    return f"conv_{part}"


def _bsrgan(part: str, at: int = 0) -> str:
    if part.startswith("conv"):
        return f"RRDB_trunk.{at // 3}.RDB{at % 3 + 1}.{part}"
    if part.startswith("up"):
        return f"upconv{part[2:]}"
    return {"body": "trunk_conv", "hr": "HRconv"}.get(part, f"conv_{part}")


def _old_esrgan(part: str, at: int, blocks: int, stages: int) -> str:
    if part.startswith("conv"):
        inside = part if part == "conv1x1" else f"{part}.0"
        return f"model.1.sub.{at // 3}.RDB{at % 3 + 1}.{inside}"
    if part.startswith("up"):
        return f"model.{3 * int(part[2:])}"
    if part == "body":
        return f"model.1.sub.{blocks}"
    return f"model.{ {'first': 0, 'hr': 3 * stages + 2, 'last': 3 * stages + 4}[part] }"


def compact(
    *, scale: int = 4, feat: int = 64, convs: int = 2, channels: int = 3,
    activation: Literal["prelu", "one-slope", "relu", "leakyrelu"] = "prelu",
) -> Made:  # fmt: skip
    """Return an SRVGGNetCompact."""
    w = _Weights(scale + feat + convs)
    places = range(0, 2 * convs + 3, 2)
    for place in places:
        out = channels * scale**2 if place == places[-1] else feat
        w.add(f"body.{place}", out, feat if place else channels)
        if place != places[-1] and activation in ("prelu", "one-slope"):
            slopes = feat if activation == "prelu" else 1
            w.state[f"body.{place + 1}.weight"] = w.random(slopes)

    def exact(x: Tensor) -> Tensor:
        found = x
        for place in places:
            found = w(f"body.{place}", found)
            if place == places[-1]:
                break
            slope = w.state.get(f"body.{place + 1}.weight", torch.zeros(1)).double()
            if activation == "leakyrelu":
                slope = torch.full((1,), 0.1, dtype=torch.float64)
            found = found.clamp(min=0) + slope.view(1, -1, 1, 1) * found.clamp(max=0)
        larger = x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        return F.pixel_shuffle(found, scale) + larger

    return Made(w.state, scale, exact)
