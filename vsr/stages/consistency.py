"""Consistency: an upscaled picture that, made smaller again, is the source again.

What a network changes in the band that the source shows is an error, and back-projection takes it
out: the result made smaller (antialiased bicubic), compared with the source, and what is missing
enlarged (bicubic) and added. M. Irani, S. Peleg, *Improving resolution by image registration*,
CVGIP 1991; why it cannot hurt where the source is clean: Y. Bahat, T. Michaeli, *Explorable super
resolution*, CVPR 2020.

Where the source is not clean, a network has also removed noise and the traces of compression, and
plain steps bring all of that back. A guarded step brings back what varies slowly, and of the rest
only as much as stands out of the noise around it: the quietest place nearby tells how strong what
was removed is everywhere, and a gain as of Wiener's filter keeps that out. Traces of compression
are not quiet anywhere, so no guard tells them from detail.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.stages.resize import resize

Scale = tuple[float, float]  # (across, down)

CLASSICAL_STEPS = 2  # an error of 1/7 is left of what plain bicubic has
_SLOW = 9  # source pixels a side, averaged twice: what varies slower is always brought back
_NEAR = 5  # source pixels a side, over which energy is summed
_BLOCK = 8  # source pixels a side of a place that may be quiet
_AROUND = 16  # such places on each side, half a block apart: among them the quietest counts
_ROUNDING = 0.5 / 255  # standard deviation that is no noise
_KEPT_OUT = 3.0  # times the quietest energy; measured with benchmarks/consistent.py


@dataclass(frozen=True, kw_only=True)
class BackProjection:
    """How a result is made consistent."""

    steps: int
    guarded: bool = False  # noise that the network removed stays out


def enlarged(picture: Tensor, size: tuple[int, int], scale: Scale) -> Tensor:
    """Map (N, C, h, w) -> (N, C, H, W) by bicubic. `size`: (W, H)."""
    return resize(picture, width=size[0], height=size[1], scale=scale, kernel="bicubic")


def reduced(picture: Tensor, size: tuple[int, int], scale: Scale) -> Tensor:
    """Map (N, C, H, W) -> (N, C, h, w) by antialiased bicubic. `size`: (w, h); `scale`: of
    `enlarged`, which it undoes.
    """
    back = (1 / scale[0], 1 / scale[1])
    return resize(picture, width=size[0], height=size[1], scale=back, kernel="bicubic")


def classical_enlargement(source: Tensor, size: tuple[int, int], scale: Scale) -> Tensor:
    """Return the classical enlargement that, made smaller, is the source again; as `enlarged`."""
    picture = enlarged(source, size, scale)
    return back_projected(picture, source, BackProjection(steps=CLASSICAL_STEPS), scale)


def back_projected(
    upscaled: Tensor, source: Tensor, asked: BackProjection, scale: Scale | None = None
) -> Tensor:
    """Map (N, C, H, W) and its (N, C, h, w) source, both float -> consistent, changed in place.

    `scale`: as `enlarged`; None: as the sizes say. What is not a number stays so. A pixel depends
    on some 4 source pixels around it for each step, with a guard on some 90.
    """
    size, small, scale = _sizes(upscaled, source, scale)
    for _ in range(asked.steps):
        missing = source - reduced(upscaled, small, scale)
        if asked.guarded:
            slow = _mean(_mean(missing, _SLOW), _SLOW)
            fast = missing.sub_(slow)
            missing = slow.addcmul_(fast, _gain(fast, source))
        upscaled.add_(enlarged(missing, size, scale))
    return upscaled


def high_band(difference: Tensor, small: tuple[int, int], scale: Scale) -> Tensor:
    """Return what of (N, C, H, W) a picture of `small`, (w, h), cannot show; changed in place."""
    size = (difference.shape[3], difference.shape[2])
    return difference.sub_(enlarged(reduced(difference, small, scale), size, scale))


def weakened(upscaled: Tensor, source: Tensor, strength: float) -> Tensor:
    """Return `upscaled` with `strength`, 0..1, of what it has beyond the classical enlargement in
    the high band; changed in place. The low band stays as it is.
    """
    size, small, scale = _sizes(upscaled, source, None)
    beyond = upscaled - classical_enlargement(source, size, scale)
    return upscaled.sub_(high_band(beyond, small, scale), alpha=1 - strength)


def _sizes(
    upscaled: Tensor, source: Tensor, scale: Scale | None
) -> tuple[tuple[int, int], tuple[int, int], Scale]:
    """Return both sizes as (width, height), and the scale between them."""
    size, small = ((x.shape[3], x.shape[2]) for x in (upscaled, source))
    return size, small, scale or (size[0] / small[0], size[1] / small[1])


# --- the guard ---


def _gain(fast: Tensor, source: Tensor) -> Tensor:
    """Return (N, 1, h, w) in 0..1: how much of the missing detail is more than removed noise."""
    # No more than the flattest places of the source have: lost texture is no noise.
    noise = torch.minimum(_quietest(fast), _quietest(source - _mean(source, 3)))
    noise = (noise - _ROUNDING**2).clamp_(min=0)
    power = _mean(_energy(fast), _NEAR).clamp_(min=1e-9)
    return _mean((1 - _KEPT_OUT * noise / power).clamp_(0, 1), 3)


def _energy(x: Tensor) -> Tensor:
    return x.square().mean(1, keepdim=True)


def _quietest(x: Tensor) -> Tensor:
    """Return (N, 1, h, w): the energy of the quietest place around each pixel."""
    height, width = x.shape[2:]
    energy = F.pad(
        _energy(x), (0, max(_BLOCK - width, 0), 0, max(_BLOCK - height, 0)), mode="replicate"
    )
    places = F.avg_pool2d(energy, _BLOCK, _BLOCK // 2, ceil_mode=True).neg_()
    places = F.pad(places, (_AROUND,) * 4, value=-torch.inf)
    quiet = places
    for kernel in ((1, 2 * _AROUND + 1), (2 * _AROUND + 1, 1)):  # a fraction of both at once
        quiet = F.max_pool2d(quiet, kernel, 1)
    quiet = quiet.neg_()
    return F.interpolate(quiet, size=(height, width), mode="bilinear", align_corners=False)


def _mean(x: Tensor, side: int) -> Tensor:
    """Return the mean of each pixel's surroundings, `side` pixels square; edges repeat."""
    half = side // 2
    x = F.pad(x, (half, half, half, half), mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(x, (1, side), 1), (side, 1), 1)
