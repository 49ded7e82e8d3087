"""A compact network's numbers in the order in which `compact.cu` reads them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network

FEATURES = 64


@dataclass(frozen=True, kw_only=True)
class PackedLayer:
    """One convolution and what follows it."""

    weights: Tensor  # fp16, pieces of 16 x 16 as 32 lanes hold them
    bias: Tensor  # (channels,) fp32
    slope: Tensor  # (channels,) fp32, of the activation below zero; (0,): there is none


@dataclass(frozen=True, kw_only=True)
class PackedNetwork:
    """A whole network, on one device."""

    scale: int
    first: PackedLayer
    middle: tuple[PackedLayer, ...]
    last: PackedLayer


def fits_compact(network: Network) -> bool:
    """Return whether the kernels can run it: 64 features, RGB in and out, three layers at least."""
    if not isinstance(network, SRVGGNetCompact) or network.num_feat != FEATURES:
        return False
    layers = [layer for layer in network.body if isinstance(layer, nn.Conv2d)]
    ends = (layers[0].in_channels, layers[-1].out_channels)
    return len(layers) > 2 and network.scale in (1, 2, 3, 4) and ends == (3, 3 * network.scale**2)


def pack(network: SRVGGNetCompact, device: torch.device) -> PackedNetwork:
    """Pack a network, which stays as it is: weights in fp16, biases and slopes in fp32."""
    convolutions = [layer for layer in network.body if isinstance(layer, nn.Conv2d)]
    slopes = [_slope(layer) for layer in network.body if not isinstance(layer, nn.Conv2d)]
    first, *middle, last = convolutions
    return PackedNetwork(
        scale=network.scale,
        first=on(device, first_weights(first.weight), first.bias, slopes[0]),
        middle=tuple(
            on(device, features(layer.weight), layer.bias, slope)
            for layer, slope in zip(middle, slopes[1:], strict=True)
        ),
        last=on(device, *last_weights(last), torch.empty(0)),
    )


def on(device: torch.device, weights: Tensor, bias: Tensor | None, slope: Tensor) -> PackedLayer:
    """Put a layer's numbers on `device`: weights in fp16, bias and slopes in fp32."""
    assert bias is not None
    weights, bias, slope = (t.detach().cpu() for t in (weights, bias, slope))
    return PackedLayer(
        weights=weights.half().contiguous().to(device),
        bias=bias.float().contiguous().to(device),
        slope=slope.float().contiguous().to(device),
    )


def _slope(activation: nn.Module) -> Tensor:
    if isinstance(activation, nn.PReLU):
        return activation.weight.expand(FEATURES)
    below = activation.negative_slope if isinstance(activation, nn.LeakyReLU) else 0.0
    return torch.full((FEATURES,), below)


# A piece is the A operand of mma.m16n8k16: lane 4 * g + t holds rows g and g + 8, columns 2 * t,
# 2 * t + 1, 2 * t + 8 and 2 * t + 9, in the order (row g, first columns), (row g + 8, first
# columns), (row g, second), (row g + 8, second). Below, a row is (half, g) and a column of 16 is
# (side, t, pair).


def _pieces(rows: Tensor, chunk: int) -> Tensor:
    """Map (m, half, g, channels, ky, kx) -> (chunk, kx, its 16s, ky, m, g, t, side, half, pair)."""
    m, channels = rows.shape[0], rows.shape[3]
    columns = rows.reshape(m, 2, 8, channels // chunk, chunk // 16, 2, 4, 2, 3, 3)
    return columns.permute(3, 9, 4, 8, 0, 2, 6, 5, 1, 7)


def features(weight: Tensor, chunk: int = FEATURES) -> Tensor:
    """Pack (16 * pieces, channels, 3, 3), of whose channels `chunk` are read at a time.

    Output channel 2 * pieces * g + 2 * m + half is row (half, g) of piece m.
    """
    rows = weight.reshape(8, -1, 2, *weight.shape[1:])
    return _pieces(rows.permute(1, 2, 0, 3, 4, 5), chunk)


def first_weights(weight: Tensor) -> Tensor:
    """Pack (64, 3, 3, 3). A column is 3 * tap + colour, of 27, then nothing up to 32."""
    columns = F.pad(weight.permute(0, 2, 3, 1).reshape(64, 27), (0, 5))
    pieces = columns.reshape(8, 4, 2, 2, 2, 4, 2)  # (g, m, half, 16 columns, side, t, pair)
    return pieces.permute(3, 1, 0, 5, 4, 2, 6)


def last_weights(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Pack the last layer: channel 16 * m + 2 * g + half is row (half, g) of piece m; zeros fill
    up.
    """
    assert layer.bias is not None
    missing = -layer.out_channels % 16
    weight = F.pad(layer.weight, (0, 0, 0, 0, 0, 0, 0, missing))
    rows = weight.reshape(-1, 8, 2, 64, 3, 3).permute(0, 2, 1, 3, 4, 5)
    return _pieces(rows, FEATURES), F.pad(layer.bias, (0, missing))
