"""RRDBNet: its numbers as `dense.cu` reads them, and which kernels run for a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vsr.engine.cuda.compact_plan import FIRST, first, last
from vsr.engine.cuda.launch import SIGNATURES, DeviceBatch
from vsr.engine.cuda.tile_tables import SubImage, TileTables, sources_of, tiles_of, together
from vsr.engine.cuda.tiling import CompactTiling, DenseTiling
from vsr.engine.cuda.weight_packing import (
    FEATURES,
    PackedLayer,
    features,
    first_weights,
    last_weights,
    on,
)
from vsr.engine.kernel_launch import Launch, addresses
from vsr.nets.families.rrdbnet import RESIDUAL, RRDB, SLOPE, DenseBlock, RRDBNet
from vsr.nets.network import Network

_GROWTH = 32
_CHUNK = 32  # channels that the kernels read at a time
_WIDTH = FEATURES + 4 * _GROWTH  # channels of a dense block's buffer
_TIMES = 4  # the tail is at four times the source's size


def fits_dense(network: Network) -> bool:
    """Return whether the kernels can run it: scale 4, not folded, 64 and 32 channels, RGB."""
    if not isinstance(network, RRDBNet) or (network.scale, network.unshuffle) != (_TIMES, 1):
        return False
    block = network.body[0] if len(network.body) else None
    return (
        isinstance(block, RRDB)
        and block.rdb1.conv2.weight.shape[:2] == (_GROWTH, FEATURES + _GROWTH)
        and block.rdb1.conv1x1 is None
        and len(network.enlarging) == 2
        and network.conv_first.in_channels == 3
        and network.conv_last.weight.shape == (3, FEATURES, 3, 3)
    )


@dataclass(frozen=True, kw_only=True)
class _Buffer:
    """Where a feature map lies, and how far apart its pixels are."""

    at: int
    channels: int

    @property
    def units(self) -> int:
        """Of 16 bytes, from one pixel to the next."""
        return self.channels // 8

    def behind(self, channels: int) -> _Buffer:
        """Return the same pixels' later channels."""
        return replace(self, at=self.at + 2 * channels)


@dataclass(frozen=True, kw_only=True)
class _Convolution:
    """One convolution: of the first `channels` of its source, repeated 1 << shift times."""

    layer: PackedLayer
    source: _Buffer
    target: _Buffer
    channels: int = FEATURES
    tiles: str = "tiles"  # which table of them
    shift: int = 0


class RRDBNetPlan:
    """Each dense block in one buffer; three of them take turns.

    Scratch, in fp16 numbers of each source pixel: 64 of the first layer, then 3 x 192 of the
    blocks, which the tail overwrites: 4 x 64 at twice the size and 2 x 16 x 64 at four times.
    """

    scale = _TIMES
    sources: tuple[str, ...] = ("common.cu", "compact.cu", "dense.cu")
    kernels: tuple[str, ...] = ("first", "last", "grow", "wide", "mix")
    short_sums = False
    scratch = FEATURES * (1 + 2 * _TIMES**2)
    # 16-byte units of the largest map are counted with 32 bits.
    max_pixels = (2**31 - 1) // (FEATURES // 8 * _TIMES**2)

    def __init__(
        self, network: RRDBNet, device: torch.device, tiling: CompactTiling, dense: DenseTiling
    ) -> None:
        """Take `network` in fp32; it stays as it is."""
        self.options = (*tiling.options(1), *dense.options)
        self._tiling, self._dense = tiling, dense

        def layer(convolution: nn.Conv2d, slope: float = SLOPE) -> PackedLayer:
            weights = features(convolution.weight, _CHUNK)
            return on(device, weights, convolution.bias, torch.tensor([slope]))

        def block(dense_block: DenseBlock) -> tuple[PackedLayer, ...]:
            return tuple(layer(getattr(dense_block, f"conv{n}")) for n in range(1, 6))

        opening = network.conv_first
        linear = torch.ones(FEATURES)
        self._first = on(device, first_weights(opening.weight), opening.bias, linear)
        self._blocks = [
            tuple(block(one) for one in (group.rdb1, group.rdb2, group.rdb3))
            for group in network.body
            if isinstance(group, RRDB)
        ]
        self._body = layer(network.conv_body)
        self._tail = [layer(c) for c in (*network.enlarging, network.conv_hr)]
        self._last = on(device, *last_weights(network.conv_last), torch.empty(0))
        # Of convolution, block's input and skip: within a group, at its end, behind all groups.
        self._inner, self._outer, self._whole = (
            torch.tensor(shares, device=device)
            for shares in ([RESIDUAL, 1.0, 0.0], [RESIDUAL**2, RESIDUAL, 1.0], [1.0, 0.0, 1.0])
        )
        # That the last layer adds to. Copied from the host, which waits for it, like all the rest.
        self._nothing = torch.zeros(1).to(device)

    def tables(self, pieces: Sequence[SubImage], processors: int) -> TileTables:
        """Return tiles at each of the three sizes; what most kernels read lies first, and stays
        there.
        """
        sides, tall, wide = self._dense, self._tiling.height, self._tiling.width
        tables_of = {
            name: tiles_of(pieces, sides.height, sides.width, times=times, blocks=processors)
            for name, times in (("tiles", 1), ("double", 2), ("whole", _TIMES))
        }
        blocks = processors * self._tiling.blocks
        return together({
            **tables_of,
            "last": tiles_of(pieces, tall, wide, times=_TIMES, blocks=blocks),
            "first": tiles_of(pieces, *FIRST),
            "sources": sources_of(pieces),
            "nothing": sources_of(pieces, times=_TIMES, empty=True),
        })  # fmt: skip

    def launches(self, batch: DeviceBatch, processors: int) -> Iterator[Launch]:
        """Yield the first layer, all blocks, the tail at two and four times the size."""
        pixels = batch.pixels
        begin = _Buffer(at=batch.scratch, channels=FEATURES)
        rest = batch.scratch + 2 * FEATURES * pixels
        turns = [_Buffer(at=rest + 2 * n * _WIDTH * pixels, channels=_WIDTH) for n in range(3)]

        # Twice: once to be kept until all blocks are done.
        yield first(self._first, batch, begin.at, begin.channels)
        yield first(self._first, batch, turns[0].at, turns[0].channels)
        for group in self._blocks:
            for n, layers in enumerate(group):
                current, target = turns[n], turns[(n + 1) % 3]
                for k, layer in enumerate(layers[:4]):
                    channels = FEATURES + k * _GROWTH
                    step = _Convolution(
                        layer=layer,
                        source=current,
                        target=current.behind(channels),
                        channels=channels,
                    )
                    yield self._grown("grow", step, batch, processors)
                step = _Convolution(layer=layers[4], source=current, target=target, channels=_WIDTH)
                # The last one writes over the group's own input, which it adds.
                skip, shares = (target, self._outer) if n == 2 else (current, self._inner)
                yield self._mixed(step, skip, shares, batch, processors)
        step = _Convolution(layer=self._body, source=turns[0], target=begin)
        yield self._mixed(step, begin, self._whole, batch, processors)
        yield from self._enlarged(batch, processors, begin, rest)

    def _enlarged(
        self, batch: DeviceBatch, processors: int, begin: _Buffer, rest: int
    ) -> Iterator[Launch]:
        """Yield the tail, in what the blocks have worked in and behind it."""
        pixels = batch.pixels
        large = 2 * FEATURES * _TIMES**2 * pixels  # bytes
        twice = _Buffer(at=rest, channels=FEATURES)
        fourfold = _Buffer(at=rest + large, channels=FEATURES)
        final = _Buffer(at=rest, channels=FEATURES)  # where nothing is needed any more
        up1, up2, hr = self._tail
        for step in (
            _Convolution(layer=up1, source=begin, target=twice, tiles="double", shift=1),
            _Convolution(layer=up2, source=twice, target=fourfold, tiles="whole", shift=1),
            _Convolution(layer=hr, source=fourfold, target=final, tiles="whole"),
        ):
            yield self._grown("wide", step, batch, processors)
        batch = replace(batch, picture=self._nothing.data_ptr())
        yield last(
            self._last, self._tiling, batch, processors, final.at, sources="nothing", tiles="last"
        )

    def _grown(
        self, kernel: str, step: _Convolution, batch: DeviceBatch, processors: int
    ) -> Launch:
        source, target, layer = step.source, step.target, step.layer
        arguments = (
            source.at, source.units, step.shift, step.channels // _CHUNK, target.at, target.units,
            *addresses(layer.weights, layer.bias, layer.slope), batch.tables[step.tiles].at,
        )  # fmt: skip
        return self._tiled(kernel, step, processors, arguments)

    def _mixed(
        self, step: _Convolution, skip: _Buffer, shares: Tensor, batch: DeviceBatch, processors: int
    ) -> Launch:
        """Return the launch that sums the convolution, its input and `skip` by their shares."""
        source, target, layer = step.source, step.target, step.layer
        arguments = (
            source.at, source.units, step.channels // _CHUNK, target.at, target.units,
            *addresses(layer.weights, layer.bias),
            source.at, source.units, skip.at, skip.units, *addresses(shares),
            batch.tables[step.tiles].at,
        )  # fmt: skip
        return self._tiled("mix", step, processors, arguments)

    def _tiled(
        self, kernel: str, step: _Convolution, processors: int, arguments: tuple[int, ...]
    ) -> Launch:
        return Launch(
            kernel=kernel,
            signature=SIGNATURES[kernel],
            grid=processors,
            threads=self._dense.threads,
            shared=self._dense.shared(step.layer.bias.numel() // 16),
            arguments=arguments,
        )
