"""Keeps the source's colours: takes the slow drift that a network adds out again.

The official networks do not return a flat colour unchanged: measured on full-size
flat pictures, realesr-animevideov3 is off by up to 10/255 and x4plus-anime-6B by up
to 15/255, by colour. What a network changes over areas larger than its details is
such a drift; it is found in cells of 4 x 4 source pixels, where nothing was invented,
smoothed to about 17 x 17 of them, and subtracted. Details, which average out over such
an area, stay as the network drew them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_CELL = 4  # source pixels


def anchor(enlarged: Tensor, source: Tensor) -> Tensor:
    """(N, 3, s*H, s*W) and its (N, 3, H, W) source, both float -> enlarged, changed in place."""
    cell = _CELL * (enlarged.shape[3] // source.shape[3])
    # The last cells may be smaller; they are means of what they hold.
    drift = F.avg_pool2d(enlarged, cell, ceil_mode=True)
    drift = drift.sub_(F.avg_pool2d(source, _CELL, ceil_mode=True)).contiguous()
    drift = F.pad(drift, (1, 1, 1, 1), mode="replicate")
    for _ in range(2):  # 1 2 1, down and across
        drift = F.avg_pool2d(drift, 2, stride=1)
    _subtract(enlarged, drift, cell)
    return enlarged


def _subtract(enlarged: Tensor, drift: Tensor, cell: int) -> None:
    """Take `drift`, enlarged bilinearly by `cell`, out of `enlarged`.

    What lies between two rows of cells is a sum of the two, so only rows are interpolated
    and nothing of full size is made: a quarter of the time of `interpolate` on a CPU.
    """
    rows = F.interpolate(drift, scale_factor=(1.0, float(cell)), mode="bilinear")
    rows = rows[..., : enlarged.shape[3]]
    half, height = cell // 2, enlarged.shape[2]
    between = (height - half) // cell  # whole stretches from the middle of a cell to the next one
    share = ((torch.arange(cell, device=drift.device) + 0.5) / cell)[:, None]
    enlarged[:, :, :half].sub_(rows[:, :, :1])
    if between > 0:
        body = enlarged[:, :, half : half + between * cell]
        body = body.view(*body.shape[:2], between, cell, body.shape[3])
        body.addcmul_(rows[:, :, :between, None], 1 - share, value=-1)
        body.addcmul_(rows[:, :, 1 : between + 1, None], share, value=-1)
    if (begin := half + max(between, 0) * cell) < height:
        above, below = rows[:, :, between : between + 1], rows[:, :, -1:]
        enlarged[:, :, begin:].sub_(torch.lerp(above, below, share[: height - begin]))
