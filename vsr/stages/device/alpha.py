"""Alpha, upscaled by the network where it has edges, and by the resizer where it is soft.

As a grey picture; a network that is made for pictures is good at masks, too. `benchmarks/alpha.py`
compares both ways with masks that were sharp: the network wins where alpha leaps within two pixels,
the resizer where it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.events import Sink, WarningNote
from vsr.frame import Frame

_SOFT, _SHARP = (
    0.25,
    0.5,
)  # differences between neighbours of which none, and all, count as an edge
_AROUND = 2  # pixels on each side of an edge that belong to it


def upscaled_alpha(
    alpha: Tensor, upscale: Callable[[Tensor], Tensor] | None, resize: Callable[[Tensor], Tensor]
) -> Tensor:
    """Map (N, 1, h, w) -> (N, 1, H, W), both float in 0..1, the result a little beyond.

    `upscale`: maps (N, 3, h, w) RGB to as much more as the network makes of it; None: there is no
    network. `resize`: brings what was upscaled, and what was not, to the result's size.
    """
    plain = resize(alpha)
    share = edges(alpha)
    if upscale is None or not bool(share.any()):
        return plain
    upscaled = resize(upscale(alpha.expand(-1, 3, -1, -1)).mean(1, keepdim=True))
    share = F.interpolate(share, size=plain.shape[2:], mode="bilinear", align_corners=False)
    mixed = torch.lerp(plain, upscaled, share)
    return torch.where(torch.isfinite(mixed), mixed, plain)  # where 16 bits overflow


def edges(alpha: Tensor) -> Tensor:
    """Return (N, 1, h, w) in 0..1: how far a pixel belongs to an edge."""
    wide = F.pad(alpha, (1, 1, 1, 1), mode="replicate")
    leap = F.max_pool2d(wide, 3, 1) + F.max_pool2d(-wide, 3, 1)
    share = ((leap - _SOFT) / (_SHARP - _SOFT)).clamp_(0, 1)
    return F.max_pool2d(share, 2 * _AROUND + 1, 1, _AROUND)


def warn_of_transparency(frames: Iterator[Frame], name: str, sink: Sink) -> Iterator[Frame]:
    """Yield the same frames; say so if one is seen through, for a result that cannot be."""
    warned = False
    for frame in frames:
        if not warned and frame.layout.alpha:
            solid = (1 << frame.layout.bits) - 1
            if warned := bool((frame.planes[-1].int() < solid).any()):
                sink(WarningNote(text=f"{name}: becomes transparent later on, which is lost"))
        yield frame
