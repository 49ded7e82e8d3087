"""SRVGGNetCompact: which kernels run for a batch, one after the other, with which arguments."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from vsr.engine.cuda.launch import Batch, Launch, addresses
from vsr.engine.cuda.pack import FEATURES, Layer, pack
from vsr.engine.cuda.tiling import Tiling
from vsr.nets.srvgg import SRVGGNetCompact


class CompactPlan:
    """A kernel a layer; between them two feature maps, from one into the other."""

    sources: tuple[str, ...] = ("common.cu", "compact.cu")
    kernels: tuple[str, ...] = ("first", "middle", "last")
    scratch = 2 * FEATURES
    most_pixels = (2**31 - 1) // FEATURES

    def __init__(self, network: SRVGGNetCompact, device: torch.device, tiling: Tiling) -> None:
        """`network` in fp32; it stays as it is."""
        self.scale = network.scale
        self.options = tiling.options(network.scale)
        self.packed = pack(network, device)
        self.tiling = tiling

    def launches(self, batch: Batch, processors: int) -> Iterator[Launch]:
        """`first`, each `middle`, `last`."""
        map_bytes = batch.count * batch.height * batch.width * FEATURES * 2
        source, target = batch.scratch, batch.scratch + map_bytes
        yield first(self.packed.first, batch, source)
        for layer in self.packed.middle:
            numbers = addresses(layer.weights, layer.bias, layer.slope)
            yield tiled(
                "middle", self.tiling, (source, target, *numbers, *batch.size),
                grid=self.tiling.tiles(*batch.size), processors=processors, channels=FEATURES,
            )  # fmt: skip
            source, target = target, source
        yield last(self.packed.last, self.tiling, batch, processors, source)


def first(layer: Layer, batch: Batch, target: int, channels: int = FEATURES) -> Launch:
    """The picture into the first 64 channels of a feature map of so many."""
    return Launch(
        kernel="first",
        grid=batch.count * -(-batch.height // 8) * -(-batch.width // 32),
        threads=256,
        shared=0,
        arguments=(
            batch.picture, *batch.strides, target, channels // 8,
            *addresses(layer.weights, layer.bias, layer.slope), *batch.size,
        ),
    )  # fmt: skip


def last(layer: Layer, tiling: Tiling, batch: Batch, processors: int, source: int) -> Launch:
    """A feature map into planes, onto the picture."""
    numbers = addresses(layer.weights, layer.bias)
    return tiled(
        "last", tiling,
        (source, batch.picture, *batch.strides, batch.planes, *numbers, *batch.size),
        grid=tiling.tiles(*batch.size), processors=processors, channels=layer.bias.numel(),
    )  # fmt: skip


def tiled(
    kernel: str,
    tiling: Tiling,
    arguments: tuple[int, ...],
    *,
    grid: int,
    processors: int,
    channels: int,
) -> Launch:
    """Blocks that stay and go from tile to tile: `grid` at most. `channels` of the output."""
    return Launch(
        kernel=kernel,
        grid=min(grid, processors * tiling.blocks),
        threads=tiling.threads,
        shared=tiling.shared(channels // 16),
        arguments=arguments,
    )
