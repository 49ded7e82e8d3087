"""Keeps the source's colours: takes the slow drift that a network adds out again.

The official networks do not return a flat colour unchanged: measured on full-size
flat pictures, realesr-animevideov3 is off by up to 10/255 and x4plus-anime-6B by up
to 15/255, by colour. What a network changes over areas larger than its details is
such a drift; it is found in cells of 4 x 4 source pixels, where nothing was invented,
smoothed to about 17 x 17 of them, and subtracted. Details, which average out over such
an area, stay as the network drew them.
"""

from __future__ import annotations

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
    slow = F.interpolate(drift, scale_factor=cell, mode="bilinear", align_corners=False)
    return enlarged.sub_(slow[:, :, : enlarged.shape[2], : enlarged.shape[3]])
