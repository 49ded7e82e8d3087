"""To the asked size, on the device, with the kernel widened where pixels are lost."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

_LOBES = 3  # of the Lanczos kernel


def resize(
    x: Tensor, *, width: int, height: int, scale: tuple[float, float], kernel: str
) -> Tensor:
    """(N, C, H, W) -> (N, C, height, width), float.

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
    if kernel == "bicubic" and (width, height) == (
        round(x.shape[3] * scale[0]),
        round(x.shape[2] * scale[1]),
    ):
        return F.interpolate(
            x, size=(height, width), mode="bicubic", antialias=True, align_corners=False
        )
    function = _cubic if kernel == "bicubic" else _lanczos
    support = 2.0 if kernel == "bicubic" else float(_LOBES)
    # The axis that shrinks more goes first: fewer pixels for the other one.
    axes = [(3, width, scale[0]), (2, height, scale[1])]
    for dim, size, s in sorted(axes, key=lambda axis: axis[2]):
        x = _resample(x, dim, size, s, function=function, support=support)
    return x


def _cubic(t: Tensor) -> Tensor:
    t = t.abs()
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return torch.where(t < 1, near, torch.where(t < 2, far, 0.0))


def _lanczos(t: Tensor) -> Tensor:
    return torch.where(t.abs() < _LOBES, torch.sinc(t) * torch.sinc(t / _LOBES), 0.0)


def _resample(
    x: Tensor,
    dim: int,
    size: int,
    scale: float,
    *,
    function: Callable[[Tensor], Tensor],
    support: float,
) -> Tensor:
    """One axis: output i is the normalised sum of the inputs within the kernel's support."""
    shrink = min(scale, 1.0)
    taps = 2 * math.ceil(support / shrink) + 1
    centre = (torch.arange(size, dtype=torch.float64) + 0.5) / scale - 0.5
    first = (centre - support / shrink).ceil().long()
    index = first[:, None] + torch.arange(taps)  # (size, taps)
    weight = function((index - centre[:, None]) * shrink)
    weight = (weight / weight.sum(1, keepdim=True)).to(x.device, x.dtype)
    index = index.clamp_(0, x.shape[dim] - 1).to(x.device)
    shape = [1] * x.dim()
    shape[dim] = size
    total: Tensor | None = None
    for t in range(taps):
        part = x.index_select(dim, index[:, t]).mul_(weight[:, t].view(shape))
        total = part if total is None else total.add_(part)
    assert total is not None
    return total
