"""To the asked size, on the device, with the kernel widened where pixels are lost."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

_LOBES = 3  # of the Lanczos kernel


def resize(
    x: Tensor, *, width: int, height: int, scale: tuple[float, float], kernel: str
) -> Tensor:
    """Map (N, C, H, W) -> (N, C, height, width), float.

    `scale` is (horizontal, vertical) output pixels per input pixel and may be a
    little less than the sizes say: a picture whose exact size is odd gets one
    more column or row, which repeats the edge, and keeps its shape.
    `kernel`: nearest, bicubic (Keys, a = -0.5) or lanczos (3 lobes); edges repeat.
    """
    if x.shape[-2:] == (height, width) and scale == (1.0, 1.0):
        return x
    if kernel == "nearest":
        for dim, size, s in ((3, width, scale[0]), (2, height, scale[1])):
            centre = (torch.arange(size, device=x.device, dtype=torch.float64) + 0.5) / s
            x = x.index_select(dim, centre.long().clamp_(max=x.shape[dim] - 1))
        return x
    if kernel == "bicubic":
        return _bicubic(x, width, height, scale)
    # The axis that shrinks more goes first: fewer pixels for the other one.
    axes = [(3, width, scale[0]), (2, height, scale[1])]
    for dim, size, s in sorted(axes, key=lambda axis: axis[2]):
        x = _lanczos_axis(x, dim, size, s)
    return x


def _bicubic(x: Tensor, width: int, height: int, scale: tuple[float, float]) -> Tensor:
    # Two pixels more than the picture needs, so that the rounding down below loses none.
    right = max(math.ceil(width / scale[0]) - x.shape[3], 0)
    bottom = max(math.ceil(height / scale[1]) - x.shape[2], 0)
    if right or bottom:
        x = F.pad(x, (0, right + 2, 0, bottom + 2), mode="replicate")
        x = F.interpolate(
            x, scale_factor=[scale[1], scale[0]], mode="bicubic", antialias=True,
            align_corners=False, recompute_scale_factor=False,
        )  # fmt: skip
        return x[:, :, :height, :width]
    return F.interpolate(
        x, size=(height, width), mode="bicubic", antialias=True, align_corners=False
    )


def _lanczos(t: Tensor) -> Tensor:
    return torch.where(t.abs() < _LOBES, torch.sinc(t) * torch.sinc(t / _LOBES), 0.0)


def _lanczos_axis(x: Tensor, dim: int, size: int, scale: float) -> Tensor:
    """Return one axis: output i is the normalised sum of the inputs within the kernel's support.

    PyTorch has this kernel for the CPU only.
    """
    index, weight = _lanczos_taps(x.device, x.dtype, x.shape[dim], size, scale)
    shape = [1] * x.dim()
    shape[dim] = size
    total: Tensor | None = None
    for t in range(index.shape[1]):
        part = x.index_select(dim, index[:, t]).mul_(weight[:, t].view(shape))
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


@lru_cache(maxsize=16)
def _lanczos_taps(
    device: torch.device, dtype: torch.dtype, count: int, size: int, scale: float
) -> tuple[Tensor, Tensor]:
    """Return (size, taps) of inputs, of `count`, and their weights; a frame would wait for the
    copies.
    """
    shrink = min(scale, 1.0)
    taps = 2 * math.ceil(_LOBES / shrink) + 1
    centre = (torch.arange(size, dtype=torch.float64) + 0.5) / scale - 0.5
    first = (centre - _LOBES / shrink).ceil().long()
    index = first[:, None] + torch.arange(taps)
    weight = _lanczos((index - centre[:, None]) * shrink)
    weight = (weight / weight.sum(1, keepdim=True)).to(device, dtype)
    return index.clamp_(0, count - 1).to(device), weight
