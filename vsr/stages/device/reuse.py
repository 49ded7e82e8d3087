"""Work not done: what stands still is not upscaled again.

Each frame is compared, block by block, with the source pixels that the last result was made
from: never with the frame before, so that small changes add up until they are seen. Blocks
that differ are upscaled anew, in as few rectangles as pays, with the network's receptive field
around them; everything else is the previous result, bit for bit. A cut changes every block
and upscales a whole frame.

Where a picture has moved as a whole by whole pixels, as in the pans of animated films, source and
result are moved with it first: the networks make the same of it wherever it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vsr.engine.base import Engine
from vsr.options import DeviceOptions, Reuse
from vsr.stages.colour.convert import luma
from vsr.stages.device.global_motion import global_motion, shifted
from vsr.stages.device.stage import DeviceStage
from vsr.stages.device.tiles import Area

_BLOCK = 16  # source pixels
_WHOLE = 0.85  # of a frame's work, from which the frame is upscaled as a whole
_PANS = 0.3  # of a frame's work, from which on it is looked whether the picture has moved
_BETTER = 0.8  # of the work, that moving it has to leave at most
_NEAR = 4  # source pixels around a block that are looked at, too, after moving it


@dataclass(frozen=True, kw_only=True)
class _ReuseTolerance:
    """How far a picture may be from the one that was upscaled, in code values of 8 bit."""

    limit: float  # of any pixel, in luma
    rms: float  # of a block of them, in RGB
    whole: float  # of the whole frame, in RGB, squared; animevideov3 makes 1.6 times as much of it
    halo: float  # of the receptive radius, that is seen around a block upscaled anew
    pans: bool = True  # whether what moved as a whole is moved; rounding differs elsewhere


# Measured with benchmarks/reuse.py; docs/performance.md has the figures.
_LEVELS: dict[Reuse, _ReuseTolerance] = {
    "exact": _ReuseTolerance(limit=0.0, rms=0.0, whole=0.0, halo=1.0, pans=False),
    "safe": _ReuseTolerance(limit=6.0, rms=1.5, whole=0.25, halo=0.67),
    "fast": _ReuseTolerance(limit=12.0, rms=2.5, whole=0.6, halo=0.45),
}


def reuses(options: DeviceOptions, engine: Engine) -> bool:
    """Return whether what was upscaled before decides on what is upscaled now."""
    return options.reuse != "off" and engine.receptive_radius > 0 and not engine.sees_whole


class Reuser:
    """Draws frames one after the other, as far as they changed."""

    def __init__(self, stage: DeviceStage, reuse: Reuse) -> None:
        self._stage, engine = stage, stage.engine
        self._level = _LEVELS[reuse]
        self._halo = round(stage.overlap * self._level.halo)
        # With "exact", a pixel also changes what is upscaled around it.
        self._ring = -(-engine.receptive_radius // _BLOCK) if reuse == "exact" else 0
        self._source: Tensor | None = None
        self._upscaled: Tensor | None = None
        self.work_asked = self.work_done = 0.0  # frames' worth of work

    def forget(self) -> None:
        """Begin anew: the next frame is upscaled as a whole."""
        self._source = self._upscaled = None

    def __call__(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Map (1, 3, H, W) -> the enlarged picture, and the source that it shows.

        Both belong to this object and are valid until the next call.
        """
        self.work_asked += 1
        source, upscaled = self._source, self._upscaled
        if source is None or upscaled is None or source.shape != rgb.shape:
            return self._whole(rgb)
        changed = self._changed(rgb, source)
        if not changed.any():
            return upscaled, source
        boxes, work = self._boxes(changed)
        try:
            if work > _PANS and self._level.pans:
                source, upscaled, boxes, work = self._panned(rgb, source, upscaled, boxes, work)
            if work > _WHOLE:
                return self._whole(rgb)
            self.work_done += work
            self._upscale_areas(rgb, boxes, source, upscaled)
        except BaseException:
            self.forget()  # half of it may be new
            raise
        return upscaled, source

    def _boxes(self, changed: NDArray[np.bool_]) -> tuple[list[Area], float]:
        """Return what to upscale, and how much of a frame's work that is."""
        boxes = cover(changed, self._halo / _BLOCK)
        return boxes, sum(_cost(box, self._halo / _BLOCK) for box in boxes) / changed.size

    def _panned(
        self, rgb: Tensor, source: Tensor, upscaled: Tensor, boxes: list[Area], work: float
    ) -> tuple[Tensor, Tensor, list[Area], float]:
        """Return source and result, moved as the picture has, if less is to be upscaled then."""
        right, down = global_motion(rgb, source)
        step = self._stage.engine.multiple
        if (right == down == 0) or right % step or down % step:
            return source, upscaled, boxes, work
        shifted_source = shifted(source, right, down)
        # What did not move with the rest, a title or a bar, had its edge elsewhere.
        changed = self._changed(rgb, shifted_source, _NEAR) | self._entered(rgb, right, down)
        fewer, less = self._boxes(changed)
        if less > _BETTER * work:
            return source, upscaled, boxes, work
        scale = self._stage.engine.scale
        self._source, self._upscaled = (
            shifted_source,
            shifted(upscaled, right * scale, down * scale),
        )
        return self._source, self._upscaled, fewer, less

    def _entered(self, rgb: Tensor, right: int, down: int) -> NDArray[np.bool_]:
        """Return blocks that hold what came in at an edge, or was upscaled so close to it that it
        shows.
        """
        height, width = rgb.shape[2:]
        entered = np.zeros((-(-height // _BLOCK), -(-width // _BLOCK)), bool)
        for axis, (by, size) in enumerate(((down, height), (right, width))):
            if not by:
                continue
            blocks = entered.swapaxes(0, axis)
            edge = abs(by) + self._halo
            if by > 0:
                blocks[: -(-edge // _BLOCK)] = True
            else:
                blocks[max(size - edge, 0) // _BLOCK :] = True
        return entered

    def _whole(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        self.forget()  # before memory is asked for
        self.work_done += 1
        upscaled = self._stage.infer(rgb)
        # Planes, in which rectangles are written quickest; what came in may be another's.
        self._source, self._upscaled = rgb.clone(), upscaled.contiguous()
        return self._upscaled, self._source

    def _changed(self, rgb: Tensor, source: Tensor, near: int = 0) -> NDArray[np.bool_]:
        """Return (rows, columns) of blocks; `near`: pixels around each that count, too."""
        difference = (rgb - source).mul_(255)
        light = luma(difference)[:, 0]
        measures = (
            F.max_pool2d(light.abs_(), _BLOCK + 2 * near, _BLOCK, padding=near, ceil_mode=True),
            F.avg_pool2d(difference.square_().mean(1), _BLOCK, ceil_mode=True),
        )
        largest, square = torch.cat(measures).cpu().numpy()  # at once: a device is waited for here
        level = self._level
        changed: NDArray[np.bool_] = (largest > level.limit) | (square > level.rms**2)
        changed |= _too_much(np.where(changed, 0.0, square), level.whole)
        return _ringed(changed, self._ring)

    def _upscale_areas(
        self, rgb: Tensor, boxes: list[Area], source: Tensor, upscaled: Tensor
    ) -> None:
        scale = self._stage.engine.scale
        height, width = rgb.shape[2:]
        areas = [
            (top * _BLOCK, min(bottom * _BLOCK, height), left * _BLOCK, min(right * _BLOCK, width))
            for top, bottom, left, right in boxes
        ]
        pieces = self._stage.infer_areas(rgb, areas, self._halo)
        for (top, bottom, left, right), piece in zip(areas, pieces, strict=True):
            upscaled[:, :, top * scale : bottom * scale, left * scale : right * scale] = piece
            source[:, :, top:bottom, left:right] = rgb[:, :, top:bottom, left:right]


def _too_much(square: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    """Return the worst of the blocks, without which the mean of the frame is within `limit`."""
    ordered = np.sort(square, axis=None)
    within = int(np.searchsorted(np.cumsum(ordered) / square.size, limit, side="right"))
    return square >= ordered[within] if within < square.size else np.zeros_like(square, bool)


def _ringed(changed: NDArray[np.bool_], ring: int) -> NDArray[np.bool_]:
    """Return the blocks with those up to `ring` blocks away."""
    for axis in (0, 1):
        for _ in range(ring):
            after, before = np.roll(changed, 1, axis), np.roll(changed, -1, axis)
            after.swapaxes(0, axis)[0] = before.swapaxes(0, axis)[-1] = False
            changed = changed | after | before
    return changed


def cover(changed: NDArray[np.bool_], halo: float) -> list[Area]:
    """Return rectangles, in blocks, that hold every changed one and cost little with `halo` around.

    A box is cut in two, where that is cheapest, as long as the halves cost less than it.
    """
    box = _bounds(changed, (0, changed.shape[0], 0, changed.shape[1]))
    return _split(changed, box, halo) if box is not None else []


def _split(changed: NDArray[np.bool_], box: Area, halo: float) -> list[Area]:
    top, bottom, left, right = box
    halves = [((top, y, left, right), (y, bottom, left, right)) for y in range(top + 1, bottom)]
    halves += [((top, bottom, left, x), (top, bottom, x, right)) for x in range(left + 1, right)]
    best, least = None, _cost(box, halo)
    for pair in halves:
        tighter = [b for half in pair if (b := _bounds(changed, half)) is not None]
        cost = sum(_cost(b, halo) for b in tighter)
        if cost < least:
            best, least = tighter, cost
    if best is None:
        return [box]
    return [piece for half in best for piece in _split(changed, half, halo)]


def _cost(box: Area, halo: float) -> float:
    return (box[1] - box[0] + 2 * halo) * (box[3] - box[2] + 2 * halo)


def _bounds(changed: NDArray[np.bool_], box: Area) -> Area | None:
    """Return the part of `box` that holds what changed in it; None if nothing did."""
    top, bottom, left, right = box
    inside = changed[top:bottom, left:right]
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return None
    return (top + int(rows[0]), top + int(rows[-1]) + 1,
            left + int(columns[0]), left + int(columns[-1]) + 1)  # fmt: skip
