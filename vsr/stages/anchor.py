"""Keeps the source's colours: takes the slow drift that a network adds out again.

The official networks do not return a flat colour unchanged: measured on full-size
flat pictures, realesr-animevideov3 is off by up to 10/255 and x4plus-anime-6B by up
to 15/255, by colour. What a network changes over areas larger than its details is
such a drift; it is found at the source's size, where nothing was invented, smoothed
to about 17 x 17 source pixels, and subtracted. Details, which average out over such
an area, stay as the network drew them.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

_SIDE = 9  # of the box that is applied twice
_MARGIN = _SIDE // 2


def anchor(enlarged: Tensor, source: Tensor) -> Tensor:
    """(N, 3, s*H, s*W) and its (N, 3, H, W) source, both float -> enlarged, changed in place."""
    scale = enlarged.shape[3] // source.shape[3]
    # Rows and columns by themselves, plane by plane: five times as fast as the box at once in
    # channels-last, on a CPU.
    drift = F.avg_pool2d(enlarged, scale).sub_(source).contiguous()
    for _ in range(2):
        padded = F.pad(drift, (_MARGIN,) * 4, mode="replicate")
        rows = F.avg_pool2d(padded, (1, _SIDE), stride=1)
        drift = F.avg_pool2d(rows, (_SIDE, 1), stride=1)
    return enlarged.sub_(
        F.interpolate(drift, scale_factor=scale, mode="bilinear", align_corners=False)
    )
