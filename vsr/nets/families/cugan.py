"""Real-CUGAN of scale 2: two small U-Nets, the second of which mends what the first has enlarged.

https://github.com/bilibili/ailab (Real-CUGAN, MIT). Names follow the official files. Convolutions
have no padding of their own: the picture gets 18 pixels around it, which they use up. Channels are
weighed by their means over the whole picture, so that it sees all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.nets.grey import for_rgb
from vsr.nets.network import Hints, Network, State

if TYPE_CHECKING:
    from vsr.nets.ncnn_export import NcnnGraph

_LEAK = 0.1
_AROUND = 18  # source pixels
_PRO = (0.7, 0.15)  # what a "pro" network's pictures are multiplied by, and what is added


class _Weighed(nn.Module):
    """Weighs channels by what their means say (squeeze and excitation)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // 8, 1)
        self.conv2 = nn.Conv2d(channels // 8, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) -> the same shape."""
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.conv2(F.relu(self.conv1(mean))))

    def to_ncnn(self, graph: NcnnGraph, x: str) -> str:
        """Add its layers behind `x`; return the name of the result."""
        mean = graph.layer("Pooling", x, rest="0=1 4=1")
        inner = graph.layer("ReLU", graph.dense(mean, self.conv1))
        return graph.multiply(x, graph.layer("Sigmoid", graph.dense(inner, self.conv2)))


class _Convolutions(nn.Module):
    """Two convolutions of 3x3, which take two pixels off each side."""

    def __init__(self, into: int, inner: int, out: int, *, weighed: bool) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(into, inner, 3), nn.LeakyReLU(_LEAK), nn.Conv2d(inner, out, 3),
            nn.LeakyReLU(_LEAK),
        )  # fmt: skip
        self.seblock = _Weighed(out) if weighed else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) -> (N, out, H - 4, W - 4)."""
        out: Tensor = self.conv(x)
        return out if self.seblock is None else self.seblock(out)

    def to_ncnn(self, graph: NcnnGraph, x: str) -> str:
        """Add its layers behind `x`; return the name of the result."""
        for layer in (self.conv[0], self.conv[2]):
            assert isinstance(layer, nn.Conv2d)
            x = graph.convolution(x, layer, leak=_LEAK)
        return x if self.seblock is None else self.seblock.to_ncnn(graph, x)


def _bent(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _LEAK)


def _less(x: Tensor, rim: int) -> Tensor:
    return x[..., rim:-rim, rim:-rim]


class _Enlarging(nn.Module):
    """The first: one level deep; its last layer doubles."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _Convolutions(channels, 32, 64, weighed=False)
        self.conv1_down = nn.Conv2d(64, 64, 2, 2)
        self.conv2 = _Convolutions(64, 128, 64, weighed=True)
        self.conv2_up = nn.ConvTranspose2d(64, 64, 2, 2)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.conv_bottom = nn.ConvTranspose2d(64, channels, 4, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) -> (N, C, 2 * H - 32, 2 * W - 32)."""
        x = self.conv1(x)
        inner = _bent(self.conv2_up(self.conv2(_bent(self.conv1_down(x)))))
        out: Tensor = self.conv_bottom(_bent(self.conv3(_less(x, 4) + inner)))
        return out

    def to_ncnn(self, graph: NcnnGraph, x: str) -> str:
        """Add its layers behind `x`; return the name of the result."""
        x = self.conv1.to_ncnn(graph, x)
        inner = self.conv2.to_ncnn(graph, graph.convolution(x, self.conv1_down, leak=_LEAK))
        inner = graph.deconvolution(inner, self.conv2_up, leak=_LEAK)
        both = graph.add(graph.cropped(x, 4), inner)
        return graph.deconvolution(
            graph.convolution(both, self.conv3, leak=_LEAK), self.conv_bottom
        )


class _Mending(nn.Module):
    """The second: two levels deep."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _Convolutions(channels, 32, 64, weighed=False)
        self.conv1_down = nn.Conv2d(64, 64, 2, 2)
        self.conv2 = _Convolutions(64, 64, 128, weighed=True)
        self.conv2_down = nn.Conv2d(128, 128, 2, 2)
        self.conv3 = _Convolutions(128, 256, 128, weighed=True)
        self.conv3_up = nn.ConvTranspose2d(128, 128, 2, 2)
        self.conv4 = _Convolutions(128, 64, 64, weighed=True)
        self.conv4_up = nn.ConvTranspose2d(64, 64, 2, 2)
        self.conv5 = nn.Conv2d(64, 64, 3)
        self.conv_bottom = nn.Conv2d(64, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) -> (N, C, H - 40, W - 40)."""
        x = self.conv1(x)
        second = self.conv2(_bent(self.conv1_down(x)))
        third = _bent(self.conv3_up(self.conv3(_bent(self.conv2_down(second)))))
        inner = _bent(self.conv4_up(self.conv4(_less(second, 4) + third)))
        out: Tensor = self.conv_bottom(_bent(self.conv5(_less(x, 16) + inner)))
        return out

    def to_ncnn(self, graph: NcnnGraph, x: str) -> str:
        """Add its layers behind `x`; return the name of the result."""
        x = self.conv1.to_ncnn(graph, x)
        second = self.conv2.to_ncnn(graph, graph.convolution(x, self.conv1_down, leak=_LEAK))
        third = graph.convolution(second, self.conv2_down, leak=_LEAK)
        third = graph.deconvolution(self.conv3.to_ncnn(graph, third), self.conv3_up, leak=_LEAK)
        inner = self.conv4.to_ncnn(graph, graph.add(graph.cropped(second, 4), third))
        inner = graph.deconvolution(inner, self.conv4_up, leak=_LEAK)
        both = graph.add(graph.cropped(x, 16), inner)
        return graph.convolution(graph.convolution(both, self.conv5, leak=_LEAK), self.conv_bottom)


class RealCUGAN(Network):
    """(N, 3, H, W) -> (N, 3, 2 * H, 2 * W), RGB in 0..1, gamma-encoded; H and W even."""

    sees_whole = True
    folds = False

    def __init__(self, *, channels: int = 3, pro: bool = False) -> None:
        """`pro`: the networks called so take pictures of less contrast."""
        super().__init__()
        self.scale, self.num_feat, self.pro = 2, 64, pro
        self.unet1 = _Enlarging(channels)
        self.unet2 = _Mending(channels)

    @classmethod
    def claims(cls, state: State) -> bool:
        """See `Network`: of the scales, 2 alone."""
        last = state.get("unet1.conv_bottom.weight")
        fits = last is not None and last.dim() == 4 and last.shape[2] == 4
        return fits and "unet2.conv5.weight" in state and "conv_final.weight" not in state

    @classmethod
    def from_state(cls, state: State, hints: Hints) -> Network:
        """See `Network`."""
        channels = state["unet2.conv_bottom.weight"].shape[0]
        own = {name: tensor for name, tensor in state.items() if name != "pro"}
        return for_rgb(cls.holding(own, channels=channels, pro="pro" in state), channels)

    @classmethod
    def ncnn_names(cls, kinds: Sequence[str]) -> list[str] | None:
        """See `Network`."""
        names = [
            name.removesuffix(".weight")
            for name, _ in cls._in_their_order()
            if name.endswith(".weight")
        ]
        is_it = "Deconvolution" in kinds and len(kinds) == len(names)
        return names if is_it else None

    @classmethod
    def _in_their_order(cls) -> list[tuple[str, nn.Parameter]]:
        with torch.device("meta"):
            return list(cls().named_parameters())

    @property
    def receptive_radius(self) -> int:
        """See `Network`: of convolutions, and as much again for tiles to go over in."""
        return 2 * _AROUND

    @property
    def multiple(self) -> int:
        """See `Network`."""
        return 2

    @property
    def widest(self) -> int:
        """See `Network`: the second is at twice the size."""
        return 4 * self.num_feat

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) -> (N, C, 2 * H, 2 * W)."""
        return self.inner(F.pad(x, (_AROUND,) * 4, mode="replicate"))

    def inner(self, x: Tensor) -> Tensor:
        """Map (N, C, H + 36, W + 36) -> (N, C, 2 * H, 2 * W)."""
        if self.pro:
            x = x * _PRO[0] + _PRO[1]
        first = self.unet1(x)
        out = torch.add(self.unet2(first), _less(first, 20))
        return (out - _PRO[1]) / _PRO[0] if self.pro else out

    def to_ncnn(self, graph: NcnnGraph, x: str) -> str:
        """See `Network`."""
        x = graph.layer("Padding", x, rest=" ".join(f"{n}={_AROUND}" for n in range(4)) + " 4=1")
        if self.pro:
            x = graph.plus(graph.times(x, _PRO[0]), _PRO[1])
        first = self.unet1.to_ncnn(graph, x)
        out = graph.add(self.unet2.to_ncnn(graph, first), graph.cropped(first, 20))
        return graph.times(graph.plus(out, -_PRO[1]), 1 / _PRO[0]) if self.pro else out
