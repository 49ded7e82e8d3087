"""Gives transparent pixels the colour of what is beside them, so that edges get no fringe.

What lies under full transparency is arbitrary, black mostly. A network or a resizer would
mix it into the edge. By push and pull: the picture is reduced, weighted by alpha, until
every pixel has a colour, and what is missing is filled from the next coarser picture.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_SOLID = 1 / 255


def bleed(rgb: Tensor, alpha: Tensor) -> Tensor:
    """Map (N, 3, H, W) and (N, 1, H, W), both float in 0..1 -> rgb, unchanged where it is seen."""
    if min(rgb.shape[2:]) <= 1:
        return rgb
    weight = F.avg_pool2d(alpha, 2, ceil_mode=True)
    coarse = F.avg_pool2d(rgb * alpha, 2, ceil_mode=True) / weight.clamp_min(1e-6)
    if bool((weight < _SOLID).any()):
        coarse = bleed(coarse, (weight >= _SOLID).to(weight.dtype))
    filled = F.interpolate(coarse, size=rgb.shape[2:], mode="nearest")
    return torch.where(alpha < _SOLID, filled, rgb)
