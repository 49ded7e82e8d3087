"""SPAN, the Swift Parameter-free Attention Network.

Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution" (CVPR 2024
workshops; NTIRE 2024). Six blocks of three convolutions at the source's size; each block's result
is weighed by itself, through a sigmoid that is odd around zero. What training has of several
convolutions in place of one is multiplied out when it is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.errors import BrokenWeights
from vsr.nets.families.srvgg import mean_of_cells
from vsr.nets.network import Hints, Network, State, shuffled_scale

if TYPE_CHECKING:
    from vsr.nets.ncnn_export import NcnnGraph

_BLOCKS = 6
# What pictures are brought to before anything else, unless the weights say that they are not.
_MEAN, _RANGE = (0.4488, 0.4371, 0.4040), 255.0
_NOT_BROUGHT = "no_norm"


class SpanBlock(nn.Module):
    """Three convolutions, and an attention that has no weights."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv2 = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv3 = nn.Conv2d(num_feat, num_feat, 3, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, F, H, W) -> the same shape, and what the first convolution has found."""
        first = F.silu(self.conv1(x))
        found = self.conv3(F.silu(self.conv2(first)))
        return (found + x) * (torch.sigmoid(found) - 0.5), first

    def to_ncnn(self, graph: NcnnGraph, x: str) -> tuple[str, str]:
        """Add its layers behind `x`; return the names of both results."""
        first = graph.layer("Swish", graph.convolution(x, self.conv1))
        found = graph.layer("Swish", graph.convolution(first, self.conv2))
        found = graph.convolution(found, self.conv3)
        share = graph.plus(graph.layer("Sigmoid", found), -0.5)
        return graph.multiply(graph.add(found, x), share), first


class SPAN(Network):
    """(N, 3, H, W) -> (N, 3, scale * H, scale * W), RGB in 0..1, gamma-encoded."""

    def __init__(self, *, num_feat: int = 48, scale: int = 4, norm: bool = True) -> None:
        """`norm`: whether the mean of pictures is taken off first, and they are of 0..255."""
        super().__init__()
        self.scale, self.num_feat, self.norm = scale, num_feat, norm
        self.conv_1 = nn.Conv2d(3, num_feat, 3, 1, 1)
        self.blocks = nn.ModuleList(SpanBlock(num_feat) for _ in range(_BLOCKS))
        self.conv_2 = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_cat = nn.Conv2d(4 * num_feat, num_feat, 1)
        self.last = nn.Conv2d(num_feat, 3 * scale**2, 3, 1, 1)

    @classmethod
    def claims(cls, state: State) -> bool:
        """See `Network`."""
        needed = {"conv_1.sk.weight", "block_1.c1_r.sk.weight", "upsampler.0.weight"}
        return needed <= state.keys() and "conv_cat.weight" in state

    @classmethod
    def from_state(cls, state: State, hints: Hints) -> Network:
        """See `Network`: the convolutions of training become the one that they come to."""
        num_feat, channels = state["conv_1.sk.weight"].shape[:2]
        if channels != 3:
            raise BrokenWeights(f"a SPAN of {channels} channels instead of RGB")
        if state["block_1.c1_r.sk.weight"].shape[:2] != (num_feat, num_feat):
            raise BrokenWeights("a SPAN whose blocks are not as wide as it is")
        places = {"conv_1": "conv_1", "conv_2": "conv_2"}
        for block in range(_BLOCKS):
            for conv in (1, 2, 3):
                places[f"blocks.{block}.conv{conv}"] = f"block_{block + 1}.c{conv}_r"
        own: State = {}
        for name, place in places.items():
            own[f"{name}.weight"], own[f"{name}.bias"] = _multiplied_out(state, place)
        for part in ("weight", "bias"):
            own[f"conv_cat.{part}"] = state[f"conv_cat.{part}"]
            own[f"last.{part}"] = state[f"upsampler.0.{part}"]
        return cls.holding(
            own,
            num_feat=num_feat,
            scale=shuffled_scale(state["upsampler.0.weight"].shape[0], channels),
            norm=_NOT_BROUGHT not in state,
        )

    @property
    def receptive_radius(self) -> int:
        """Source pixels that an output pixel can see to each side: one a convolution of 3x3."""
        return 3 * _BLOCKS + 3

    @property
    def widest(self) -> int:
        """See `Network`: four maps are joined at the end."""
        return 2 * self.num_feat

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) -> (N, 3, scale * H, scale * W)."""
        if self.norm:
            x = (x - x.new_tensor(_MEAN).view(1, 3, 1, 1)) * _RANGE
        first = x = self.conv_1(x)
        opening = inner = first
        for number, block in enumerate(self.blocks):
            x, inner = block(x)
            if number == 0:
                opening = x
        x = self.conv_cat(torch.cat((first, self.conv_2(x), opening, inner), 1))
        return F.pixel_shuffle(self.last(x), self.scale)

    def fold(self, factor: int) -> None:
        """See `Network`: the means are of neighbours among the last convolution's channels."""
        small = self.scale // factor
        self.last = mean_of_cells(self.last, small, factor)
        self.scale = small

    def to_ncnn(self, graph: NcnnGraph, x: str) -> str:
        """See `Network`."""
        if self.norm:
            mean = torch.tensor(_MEAN)
            x = graph.scaled(x, torch.full_like(mean, _RANGE), -mean * _RANGE)
        first = x = graph.convolution(x, self.conv_1)
        opening = inner = first
        for number, block in enumerate(self.blocks):
            assert isinstance(block, SpanBlock)
            x, inner = block.to_ncnn(graph, x)
            if number == 0:
                opening = x
        joined = graph.layer(
            "Concat", first, graph.convolution(x, self.conv_2), opening, inner, rest="0=0"
        )
        last = graph.convolution(graph.convolution(joined, self.conv_cat), self.last)
        return graph.layer("PixelShuffle", last, rest=f"0={self.scale}")


def _multiplied_out(state: State, place: str) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the one 3x3 convolution that those of training come to.

    They are 1x1, 3x3 and 1x1, one after the other, and beside them 1x1.
    """
    (narrow, wide, back, beside), biases = (
        [state[f"{place}.{name}.{part}"].double() for name in ("conv.0", "conv.1", "conv.2", "sk")]
        for part in ("weight", "bias")
    )
    out, into = beside.shape[:2]
    sides = (narrow.shape[1:], wide.shape[1:], back.shape[:2], beside.shape[2:])
    if sides != ((into, 1, 1), (len(narrow), 3, 3), (out, len(wide)), (1, 1)):
        raise BrokenWeights(f"{place}: convolutions that do not follow each other")
    after, before = back[:, :, 0, 0], narrow[:, :, 0, 0]
    # The smaller product first: it is no larger than the weights, however they are shaped.
    if out * wide.shape[1] <= len(wide) * into:
        weight = torch.einsum("onyx,ni->oiyx", torch.einsum("om,mnyx->onyx", after, wide), before)
    else:
        weight = torch.einsum("om,miyx->oiyx", after, torch.einsum("mnyx,ni->miyx", wide, before))
    weight[:, :, 1, 1] += beside[:, :, 0, 0]
    inner = torch.einsum("mnyx,n->m", wide, biases[0]) + biases[1]
    return weight, after @ inner + biases[2] + biases[3]
