"""Which kernels run for a batch, one after the other, with which arguments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from vsr.engine.cuda.pack import FEATURES, Packed
from vsr.engine.cuda.tiling import Tiling

# Of each kernel's parameters: p a pointer, i an int.
SIGNATURES = {
    "first": "piiiippppiii",
    "middle": "pppppiii",
    "last": "ppiiiipppiii",
}


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One kernel over a whole batch."""

    kernel: str
    grid: int
    threads: int
    shared: int  # bytes of dynamic shared memory
    arguments: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Pictures of one size: where they come from and go to. Addresses are of the device."""

    count: int
    height: int
    width: int
    picture: int  # (count, 3, height, width) fp32
    strides: tuple[int, ...]  # of it, in numbers
    planes: int  # (count, 3, scale * height, scale * width) fp32
    features: tuple[int, int]  # two places for (count, height, width, 64) fp16


def feature_bytes(pixels: int) -> int:
    """Of one of the two places, for so many pixels."""
    return pixels * FEATURES * 2


def launches(network: Packed, tiling: Tiling, batch: Batch, processors: int) -> Iterator[Launch]:
    """The launches of a batch, on a GPU of so many multiprocessors."""
    size = (batch.count, batch.height, batch.width)
    source, target = batch.features
    tiles = tiling.tiles(*size)
    first, last = network.first, network.last
    yield Launch(
        kernel="first",
        grid=batch.count * -(-batch.height // 8) * -(-batch.width // 32),
        threads=256,
        shared=0,
        arguments=(
            batch.picture, *batch.strides, source,
            *_addresses(first.weights, first.bias, first.slope), *size,
        ),
    )  # fmt: skip
    for layer in network.middle:
        numbers = _addresses(layer.weights, layer.bias, layer.slope)
        yield Launch(
            kernel="middle",
            grid=min(tiles, processors * tiling.blocks),
            threads=tiling.threads,
            shared=tiling.shared(FEATURES // 16),
            arguments=(source, target, *numbers, *size),
        )
        source, target = target, source
    yield Launch(
        kernel="last",
        grid=min(tiles, processors * tiling.blocks),
        threads=tiling.threads,
        shared=tiling.shared(last.bias.numel() // 16),
        arguments=(
            source, batch.picture, *batch.strides, batch.planes,
            *_addresses(last.weights, last.bias), *size,
        ),
    )  # fmt: skip


def _addresses(*tensors: Tensor) -> Iterator[int]:
    return (tensor.data_ptr() for tensor in tensors)
