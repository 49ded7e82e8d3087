"""SRVGGNetCompact: which kernels run for a batch, one after the other, with which arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from vsr.engine.cuda.launch import SIGNATURES, DeviceBatch
from vsr.engine.cuda.tile_tables import SubImage, TileTables, sources_of, tiles_of, together
from vsr.engine.cuda.tiling import CompactTiling
from vsr.engine.cuda.weight_packing import FEATURES, PackedLayer, pack
from vsr.engine.kernel_launch import Launch, addresses
from vsr.nets.families.srvgg import SRVGGNetCompact

FIRST = (8, 32)  # pixels of a block of the first layer


class CompactPlan:
    """A kernel a layer; between them two feature maps, from one into the other."""

    sources: tuple[str, ...] = ("common.cu", "compact.cu")
    kernels: tuple[str, ...] = ("first", "middle", "last")
    scratch = 2 * FEATURES
    max_pixels = (2**31 - 1) // FEATURES

    def __init__(
        self, network: SRVGGNetCompact, device: torch.device, tiling: CompactTiling
    ) -> None:
        """Take `network` in fp32; it stays as it is."""
        self.scale = network.scale
        self.options = tiling.options(network.scale)
        self.short_sums = tiling.short > 0
        self.packed = pack(network, device)
        self.tiling = tiling

    def tables(self, pieces: Sequence[SubImage], processors: int) -> TileTables:
        """Put first what most kernels read, so that its address never changes."""
        blocks = processors * self.tiling.blocks
        height, width = self.tiling.height, self.tiling.width
        return together({
            "tiles": tiles_of(pieces, height, width, blocks=blocks),
            "first": tiles_of(pieces, *FIRST),
            "sources": sources_of(pieces),
        })  # fmt: skip

    def launches(self, batch: DeviceBatch, processors: int) -> Iterator[Launch]:
        """Return the launches `first`, each `middle`, `last`."""
        map_bytes = batch.pixels * FEATURES * 2
        tiles = batch.tables["tiles"].at
        source, target = batch.scratch, batch.scratch + map_bytes
        yield first(self.packed.first, batch, source, FEATURES)
        for layer in self.packed.middle:
            numbers = addresses(layer.weights, layer.bias, layer.slope)
            arguments = (source, target, *numbers, tiles)
            yield tiled("middle", self.tiling, arguments, processors, FEATURES)
            source, target = target, source
        yield last(self.packed.last, self.tiling, batch, processors, source)


def first(layer: PackedLayer, batch: DeviceBatch, target: int, channels: int) -> Launch:
    """Return the launch that puts the picture into the first 64 channels of a feature map."""
    tiles = batch.tables["first"]
    return Launch(
        kernel="first",
        signature=SIGNATURES["first"],
        grid=tiles.count,
        threads=256,
        shared=0,
        arguments=(
            batch.picture, batch.tables["sources"].at, tiles.at, target, channels // 8,
            *addresses(layer.weights, layer.bias, layer.slope),
        ),
    )  # fmt: skip


def last(
    layer: PackedLayer,
    tiling: CompactTiling,
    batch: DeviceBatch,
    processors: int,
    source: int,
    *,
    sources: str = "sources",
    tiles: str = "tiles",
) -> Launch:
    """Return the launch that adds a feature map, as planes, onto the picture."""
    numbers = addresses(layer.weights, layer.bias)
    tables = (batch.tables[name].at for name in (sources, tiles))
    arguments = (source, batch.picture, *tables, batch.planes, *numbers)
    return tiled("last", tiling, arguments, processors, layer.bias.numel())


def tiled(
    kernel: str, tiling: CompactTiling, arguments: tuple[int, ...], processors: int, channels: int
) -> Launch:
    """Return the launch of blocks that stay and go from tile to tile. `channels` of the output."""
    return Launch(
        kernel=kernel,
        signature=SIGNATURES[kernel],
        grid=processors * tiling.blocks,
        threads=tiling.threads,
        shared=tiling.shared(channels // 16),
        arguments=arguments,
    )
