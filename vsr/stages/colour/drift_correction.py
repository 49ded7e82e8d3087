"""Keeps the source's colours: takes the slow drift that a network adds out again.

The official networks do not return a flat colour unchanged: measured on full-size
flat pictures, realesr-animevideov3 is off by up to 10/255 and x4plus-anime-6B by up
to 15/255, by colour. What a network changes over areas larger than its details is
such a drift; it is found in cells of 4 x 4 source pixels, where nothing was invented,
smoothed to about 17 x 17 of them, and subtracted. Details, which average out over such
an area, stay as the network made them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CELL = 4  # source pixels


@dataclass(frozen=True, kw_only=True)
class DriftCorrection:
    """What a network has changed over large areas."""

    cells: Tensor  # (N, 3, h, w), smoothed
    side: int  # of a cell, in upscaled pixels


def correct_drift(upscaled: Tensor, source: Tensor) -> Tensor:
    """Map (N, 3, s*H, s*W) and its (N, 3, H, W) source, both float -> enlarged, changed in
    place.
    """
    return subtract_drift(upscaled, find_drift(upscaled, source))


def find_drift(upscaled: Tensor, source: Tensor) -> DriftCorrection:
    """Compare (N, 3, s*H, s*W) with its (N, 3, H, W) source; not a number where either is none."""
    side = cell_side(upscaled, source)
    # The last cells may be smaller; they are means of what they hold.
    cells = F.avg_pool2d(upscaled, side, ceil_mode=True)
    cells = cells.sub_(F.avg_pool2d(source, CELL, ceil_mode=True)).contiguous()
    return DriftCorrection(cells=smooth(cells), side=side)


def cell_side(upscaled: Tensor, source: Tensor) -> int:
    """Return the side of a cell, in pixels of `upscaled`."""
    return CELL * (upscaled.shape[3] // source.shape[3])


def smooth(cells: Tensor) -> Tensor:
    """Map (N, 3, h, w) -> the same, 1 2 1 down and across."""
    cells = F.pad(cells, (1, 1, 1, 1), mode="replicate")
    for _ in range(2):
        cells = F.avg_pool2d(cells, 2, stride=1)
    return cells


def subtract_drift(upscaled: Tensor, drift: DriftCorrection) -> Tensor:
    """Take the drift, enlarged bilinearly, out of `upscaled`, which is changed in place.

    What lies between two rows of cells is a sum of the two, so only rows are interpolated
    and nothing of full size is made: a quarter of the time of `interpolate` on a CPU.
    """
    cell = drift.side
    rows = F.interpolate(drift.cells, scale_factor=(1.0, float(cell)), mode="bilinear")
    rows = rows[..., : upscaled.shape[3]]
    half, height = cell // 2, upscaled.shape[2]
    between = (height - half) // cell  # whole stretches from the middle of a cell to the next one
    share = ((torch.arange(cell, device=rows.device) + 0.5) / cell)[:, None]
    upscaled[:, :, :half].sub_(rows[:, :, :1])
    if between > 0:
        body = upscaled[:, :, half : half + between * cell]
        body = body.view(*body.shape[:2], between, cell, body.shape[3])
        body.addcmul_(rows[:, :, :between, None], 1 - share, value=-1)
        body.addcmul_(rows[:, :, 1 : between + 1, None], share, value=-1)
    if (begin := half + max(between, 0) * cell) < height:
        above, below = rows[:, :, between : between + 1], rows[:, :, -1:]
        upscaled[:, :, begin:].sub_(torch.lerp(above, below, share[: height - begin]))
    return upscaled
