"""Which frames belong together: cuts, flashes and fades, from thumbnails of luma.

Two frames differ when neither a small shift of any part nor another brightness explains one by
the other, or when their brightness jumps. A flash is one or two frames that differ from what is
before and after them, which do not differ from each other. Everything is a pure function of at
most three frames on either side, so a part of a film sees what the whole film sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLER = 8  # a thumbnail is the picture's luma, made smaller by that
_SHIFT = 2  # thumbnail pixels: 16 of the source
_UNLIKE = 0.45  # share of the contrast that no shift explains
_FLAT = 2 / 255  # contrast below which there is nothing to compare but brightness
_JUMP = 10 / 255  # of the mean
_LONG = 4  # frames of a fade, at least
_FADES = 1.5 / 255  # change of the mean from frame to frame, in a fade


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What was found; each list has an entry for each frame."""

    cut: list[bool]  # a shot begins here
    flash: list[bool]  # this frame is lit otherwise than those around it
    fade: list[bool]  # brightness is on its way, steadily


def thumbnail(luma: Tensor) -> Tensor:
    """(1, 1, h, w) -> (1, 1, h / 8, w / 8), each pixel the mean of what it stands for."""
    return F.avg_pool2d(luma, SMALLER, ceil_mode=True)


def unlike(one: Tensor, other: Tensor) -> Tensor:
    """() float: the share of two thumbnails' contrast that no small shift and gain explains.

    About 0.1 within a shot, from 0.5 on for two pictures that have nothing in common.
    """
    a, b = (x - x.mean() for x in (one, other))
    ca, cb = a.abs().mean(), b.abs().mean()
    # The same contrast for both, so that a fade is no difference; noise is not blown up.
    most = torch.maximum(ca, cb).clamp(min=_FLAT)
    a, b = (x * (most / torch.maximum(c, most / 4)) for x, c in ((a, ca), (b, cb)))
    return (_unexplained(a, b) + _unexplained(b, a)) / (2 * most)


def _unexplained(a: Tensor, b: Tensor) -> Tensor:
    """() float: mean distance of `a` to the nearest value that `b` takes close by."""
    side = 2 * _SHIFT + 1
    padded = F.pad(b, (_SHIFT,) * 4, mode="replicate")
    high = F.max_pool2d(padded, side, stride=1)
    low = -F.max_pool2d(-padded, side, stride=1)
    return (torch.relu(a - high) + torch.relu(low - a)).mean()


def differ(one: Tensor, other: Tensor) -> Tensor:
    """() bool: whether two thumbnails are of different shots, or lit differently."""
    return (unlike(one, other) > _UNLIKE) | ((one.mean() - other.mean()).abs() > _JUMP)


def mark(thumbnails: list[Tensor]) -> Marks:
    """What is to be seen in a row of thumbnails; three more on either side make it certain."""
    count = len(thumbnails)

    def apart(n: int, m: int) -> bool:
        return m < count and bool(differ(thumbnails[n], thumbnails[m]))

    new = [n > 0 and apart(n - 1, n) for n in range(count)]
    flash = [False] * count
    for n in range(1, count):
        if not new[n] or flash[n - 1]:
            continue
        for long in (1, 2):
            back = n + long
            if back < count and new[back] and not apart(n - 1, back):
                flash[n:back] = [True] * long
                break
    cut = [new[n] and not flash[n] and not flash[n - 1] for n in range(count)]
    return Marks(cut=cut, flash=flash, fade=_fades(thumbnails, new))


def _fades(thumbnails: list[Tensor], new: list[bool]) -> list[bool]:
    """Frames within a run of at least `_LONG` steps of brightness in one direction."""
    means = [float(x.mean()) for x in thumbnails]
    fade = [False] * len(means)
    for sign in (1, -1):
        begin = 0
        for n in range(1, len(means) + 1):
            if n < len(means) and not new[n] and sign * (means[n] - means[n - 1]) > _FADES:
                continue
            if n - begin > _LONG:
                fade[begin:n] = [True] * (n - begin)
            begin = n
    return fade
