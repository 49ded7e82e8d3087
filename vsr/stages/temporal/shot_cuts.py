"""Which frames belong together, from thumbnails of luma: the one place that knows a cut.

Two frames differ when neither a small shift of any part nor another brightness explains one by
the other, or when their brightness jumps. A flash differs from what is before and after it;
a fade is the same picture throughout, lit otherwise. Pairs of frames are all that is looked at, so
that a part of a film sees what the whole film sees.

Parts of a job need none of it: they begin at keyframes, which encoders put at cuts. Nor does reuse:
a cut changes every block.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_SMALLER = 8  # a thumbnail is the picture's luma, made smaller by that at most
_SIDE = 16  # pixels of its shorter side, at least
_SHIFT = 1  # thumbnail pixel: 8 of the source
_UNLIKE = 0.36  # share of the contrast that no shift explains
_FLAT = 2 / 255  # contrast below which there is nothing to compare but brightness
_DARK = 20 / 255  # black, coded, and its noise
_JUMP = 10 / 255  # of the mean


def thumbnail(luma: Tensor) -> Tensor:
    """Map (1, 1, h, w) -> (1, 1, h / 8, w / 8), each pixel the mean of what it stands for.

    Small pictures are made less small.
    """
    by = min(max(min(luma.shape[2:]) // _SIDE, 1), _SMALLER)
    return F.avg_pool2d(luma, by, ceil_mode=True)


def unlike(one: Tensor, other: Tensor) -> Tensor:
    """Return () float: the share of two thumbnails' contrast that no small shift and gain explains.

    Measured on films: up to 0.31 within a shot, from 0.40 on across a cut.
    """
    # Bars are the same in all shots, and would pass for something that they have in common.
    lit = (torch.maximum(one, other) > _DARK).float()
    count = lit.sum().clamp(min=1)
    a, b = ((x - (x * lit).sum() / count) * lit for x in (one, other))
    ca, cb = a.abs().sum() / count, b.abs().sum() / count
    # The same contrast for both, so that a fade is no difference; noise is not blown up.
    contrast = torch.maximum(ca, cb).clamp(min=_FLAT)
    a, b = (x * (contrast / torch.maximum(c, contrast / 4)) for x, c in ((a, ca), (b, cb)))
    return (_unexplained(a, b) + _unexplained(b, a)) * (a.numel() / count) / (2 * contrast)


def _unexplained(a: Tensor, b: Tensor) -> Tensor:
    """Return () float: mean distance of `a` to the nearest value that `b` takes close by."""
    side = 2 * _SHIFT + 1
    padded = F.pad(b, (_SHIFT,) * 4, mode="replicate")
    high = F.max_pool2d(padded, side, stride=1)
    low = -F.max_pool2d(-padded, side, stride=1)
    return (torch.relu(a - high) + torch.relu(low - a)).mean()


def same_picture(one: Tensor, other: Tensor) -> bool:
    """Return whether two thumbnails are of one shot, however it is lit."""
    return bool(unlike(one, other) <= _UNLIKE)


def differ(one: Tensor, other: Tensor) -> Tensor:
    """Return () bool: whether two thumbnails are of different shots, or lit differently."""
    return (unlike(one, other) > _UNLIKE) | ((one.mean() - other.mean()).abs() > _JUMP)
