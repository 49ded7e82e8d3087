"""How much goes through the network at once: by the memory that is free."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from vsr.engine.base import Engine
from vsr.engine.device import free_memory
from vsr.errors import OutOfMemory
from vsr.events import Note, Sink
from vsr.options import DeviceOptions
from vsr.stages.device.size import TargetSize
from vsr.stages.device.tiles import EDGE
from vsr.stages.temporal.grain import bytes_for
from vsr.stages.temporal.mctf import TemporalFilter

SMALLEST_TILE = 32
_SHARE = 0.7  # of the free memory that is planned with; the rest is for what is not foreseen
_LARGEST_BATCH = 8  # measured elsewhere: beyond it nothing is gained


@dataclass
class BatchPlan:
    """How much goes through the network at once."""

    batch: int  # frames
    tile: int  # side in source pixels; 0: whole frames


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What is made or kept of a frame beside what goes through the network."""

    reuses: bool = False  # a frame is kept for the next one
    grain: bool = False
    corrections: int = 0  # upscaled frames, to make each consistent or weaker


class MemoryPlanner:
    """The memory of one run's frames on their device."""

    def __init__(
        self,
        engine: Engine,
        target: TargetSize,
        options: DeviceOptions,
        *,
        overlap: int,
        beside: Beside,
        temporal_filter: TemporalFilter[Any] | None = None,
        sink: Sink,
    ) -> None:
        """Plan for tiles with `overlap`."""
        self._engine, self._target, self._options = engine, target, options
        self._overlap, self._beside, self._filter = overlap, beside, temporal_filter
        self._sink = sink

    def bytes_for(self, width: int, height: int) -> int:
        """Estimate the working memory, in bytes, for one whole frame of that size."""
        pixels = (width + 2 * EDGE) * (height + 2 * EDGE)
        whole = self.frame_bytes(width, height) + self._filter_bytes(width, height)
        return self._engine.bytes_for(pixels) + whole

    def plan(self, width: int, height: int) -> BatchPlan:
        """Return what memory allows. Raises OutOfMemory where a frame alone is too much for it."""
        engine = self._engine
        around, window = self.frame_bytes(width, height), self._filter_bytes(width, height)
        free = free_memory(engine.device)
        if engine.device.type == "cpu" and around + window > free:
            # Linux promises memory that it does not have, and later ends who believed it.
            target = self._target
            weaker = " or a weaker <temporal.filter>" if window > around else ""
            raise OutOfMemory(
                f"{width}x{height} made {target.width}x{target.height} takes about "
                f"{(around + window) / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
                f"ask for a smaller result{weaker}"
            )
        spare = int(free * _SHARE)
        pixels = (width + 2 * EDGE) * (height + 2 * EDGE)

        def fits(pixels: int, frames: int) -> bool:
            memory = engine.bytes_for(pixels * frames) + around * frames + window
            return memory <= spare and pixels * frames <= engine.max_pixels

        tile = self._options.tile or 0
        if self._options.tile is None and engine.receptive_radius and not fits(pixels, 1):
            tile = max(width, height)
            while tile // 2 >= SMALLEST_TILE and not fits(
                self._tile_pixels(tile, width, height), 1
            ):
                tile //= 2
            self._sink(Note(text=f"memory: frames are cut into tiles of {tile} pixels"))
        batch = self._options.batch or 1
        if self._options.batch is None and engine.device.type == "cuda" and tile == 0:
            # On a CPU a frame keeps all cores busy by itself.
            while batch < _LARGEST_BATCH and fits(pixels, batch + 1):
                batch += 1
        return BatchPlan(batch=batch, tile=tile)

    def _filter_bytes(self, width: int, height: int) -> int:
        """Return bytes that the temporal filter keeps, however many frames are in a batch."""
        if self._filter is None:
            return 0
        return self._filter.bytes_for(width, height, self._scale(width, height))

    def _scale(self, width: int, height: int) -> float:
        """Return the scale of a side; the mean of both, where they are not scaled alike."""
        return math.sqrt(self._target.width * self._target.height / width / height)

    def _tile_pixels(self, tile: int, width: int, height: int) -> int:
        """Return pixels of a tile with its surroundings, which end at the picture's edge."""
        across, down = (min(tile + 2 * self._overlap, side + 2 * EDGE) for side in (width, height))
        return across * down

    def frame_bytes(self, width: int, height: int) -> int:
        """Return memory of a whole frame around the network, however small the tiles: fp32 RGB.

        The source and its padded copy; the network's result twice, and the drift that is
        taken from it; the resized picture, its planes and what they are made from. What
        is kept to be used again.
        """
        rgb = 3 * torch.float32.itemsize
        target = self._target.width * self._target.height
        upscaled = width * height * self._engine.scale**2 if self._engine.receptive_radius else 0
        made = 3 + self._beside.corrections
        # Twice while it is moved.
        reused = 2 * (upscaled + width * height) if self._beside.reuses else 0
        grain = bytes_for(width * height, target) if self._beside.grain else 0
        # What has left the filter's window stays while one might have to go back to it.
        filtered = 0
        if self._filter is not None:
            filtered = self._filter.bytes_each(width, height, self._scale(width, height))
        return rgb * (2 * width * height + made * upscaled + 3 * target + reused) + grain + filtered
