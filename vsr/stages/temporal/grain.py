"""Puts grain back: what a network scrubs away, made anew with the same statistics.

This is no restoration. What is put on is noise that never was in the film; it is as strong, for
each brightness, as coarse and as coloured as what the source has more of than the upscaled picture,
so that the result, made as small as the source, has the source's noise again.

It is measured in every frame, in pieces of the picture in which the network made nothing, as the
difference between the power spectra of the source and of the upscaled picture, made as small: what
the network kept counts for neither. Faint texture that it lost would pass for grain, but is not
everywhere: pieces that miss much more than others of their brightness do not count. A frame's noise
depends on nothing but the frame and its pts, so parts of a film get the grain that they have in
the whole of it.

The model (Gaussian noise, filtered, scaled by brightness) is that of A. Norkin, N. Birkbeck, *Film
grain synthesis for AV1 video codec*, DCC 2018, with a spectrum in place of autoregression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.frame import Frame
from vsr.stages.colour.convert import LUMA, alpha_to_float, luma
from vsr.stages.resize import resize

_CELL = 16  # source pixels, a side
_STEP = 8  # from one cell to the next
_FLAT = 0.35  # share of the cells that is looked at, in which the network made least
_LOW_TEXTURE = 8 / 255  # standard deviation of an upscaled cell, at most
_FEW = 16  # cells, without which nothing is known
_LEAST = 0.25  # quantile of the cells' missing power that is certainly grain
_ABOVE = 2.5  # times that, from which on it is something else
_KNOTS = (0.0, 0.12, 0.27, 0.45, 0.7, 1.0)  # of luma, between which strength goes straight
_PRIOR = 10.0  # cells' worth of the whole picture's strength, for each knot
_CLIPPED = 1.5 / 255  # of black and of white, where no grain can be seen in the source
_NONE = 0.7 / 255  # standard deviation that is no grain: rounding, and texture after all
_LIMIT = 24 / 255  # standard deviation
_WEAKEST = 0.2  # of a frequency's power, that enlarging and making smaller again may leave
_REACH = 3  # of the filter, in source pixels


@dataclass(frozen=True, kw_only=True)
class Grain:
    """What noise is missing in an upscaled picture."""

    strength: Tensor  # (knots,) standard deviation of luma, as seen at the source's size
    spectrum: Tensor  # (16, 16) power, of mean 1
    colour: Tensor  # (3, 3): turns independent noise into RGB, for a luma of variance 1


def add_grain_to(frames: Sequence[Frame], upscaled: Tensor, source: Tensor, share: float) -> Tensor:
    """Add grain as `add_grain` to (N, 3, H, W) RGB, upscaled from (N, 3, h, w) of `frames`."""
    grained = []
    for n, frame in enumerate(frames):
        alpha = frame.planes[-1][None].to(source.device) if frame.layout.alpha else None
        seen = None if alpha is None else alpha_to_float(alpha, frame.layout.bits)
        one = slice(n, n + 1)
        grained.append(
            add_grain(upscaled[one], source[one], share=share, seed=frame.pts, alpha=seen)
        )
    return torch.cat(grained) if len(grained) > 1 else grained[0]


def add_grain(
    upscaled: Tensor, source: Tensor, *, share: float, seed: int, alpha: Tensor | None = None
) -> Tensor:
    """Return `upscaled`, (1, 3, H, W) RGB in 0..1 made from (1, 3, h, w), with grain; a new tensor.

    `share`: of the missing grain's standard deviation. The same seed gives the same noise, of
    the same picture on the same kind of device. `alpha`: (1, 1, h, w), 0..1, of the source; what
    is not opaque was filled in, and is not looked at.
    """
    if alpha is not None:
        source = source.masked_fill(alpha < 1, torch.nan)
    source, small = _at_one_size(source, upscaled)
    grain = measure_grain(source, small)
    if grain is None:
        return upscaled
    made = synthesise(grain, small, upscaled.shape[3] / small.shape[3], seed).mul_(share)
    return _resized(made, upscaled.shape[3], upscaled.shape[2]).add(upscaled)


def bytes_for(source: int, target: int) -> int:
    """Return memory, in bytes, for pictures of so many pixels; an estimate.

    The result, and either the enlarged noise or the cells, which overlap, of both pictures.
    """
    small = min(source, target)
    return 4 * 3 * (target + max(target + 6 * small, 13 * small))


def _at_one_size(source: Tensor, upscaled: Tensor) -> tuple[Tensor, Tensor]:
    """Return both at the smaller of their sizes, by the mean of what a pixel covers."""
    height, width = (min(a, b) for a, b in zip(source.shape[2:], upscaled.shape[2:], strict=True))

    def sized(x: Tensor) -> Tensor:
        return x if x.shape[2:] == (height, width) else F.adaptive_avg_pool2d(x, (height, width))

    return sized(source), sized(upscaled)


def measure_grain(source: Tensor, small: Tensor) -> Grain | None:
    """Measure two (1, 3, h, w); None: the source has no more noise than the upscaled picture."""
    cells, upscaled = _cells(source), _cells(small)
    light = luma(upscaled).mean((1, 2, 3))
    upscaled = upscaled - upscaled.mean((2, 3), keepdim=True)
    cells = cells - cells.mean((2, 3), keepdim=True)
    low_texture = luma(upscaled).square().mean((1, 2, 3))
    usable = (light > _CLIPPED) & (light < 1 - _CLIPPED) & (low_texture < _LOW_TEXTURE**2)
    usable &= torch.isfinite(cells.sum((1, 2, 3)))
    count = min(int(_FLAT * len(light)), int(usable.sum()))
    if count < _FEW:
        return None
    flat = torch.where(usable, low_texture, torch.inf).argsort(stable=True)[:count]
    cells, upscaled, light = cells[flat], upscaled[flat], light[flat]
    window = torch.hann_window(_CELL, periodic=False, device=source.device)
    window = window[:, None] * window
    window = window / window.square().mean().sqrt()
    spectra = [torch.fft.fft2(luma(x)[:, 0] * window).abs().square() for x in (cells, upscaled)]
    missing = spectra[0] - spectra[1]  # (cells, 16, 16)
    power = missing.mean((1, 2)) / _CELL**2  # of each cell: a variance
    grainy = power <= _ABOVE * _least(power, light)
    if int(grainy.sum()) < _FEW // 2 or power[grainy].mean() <= _NONE**2:
        return None
    spectrum = missing[grainy].mean(0).clamp(min=0)
    return Grain(
        strength=_strength(power[grainy], light[grainy]),
        spectrum=spectrum / spectrum.mean(),
        colour=_colour(cells[grainy], upscaled[grainy]),
    )


def _cells(x: Tensor) -> Tensor:
    """Map (1, 3, h, w) -> (n, 3, 16, 16); what is left over at the edges is not looked at."""
    if min(x.shape[2:]) < _CELL:
        return x.new_empty(0, 3, _CELL, _CELL)
    cells = x[0].float().unfold(1, _CELL, _STEP).unfold(2, _CELL, _STEP)
    return cells.permute(1, 2, 0, 3, 4).reshape(-1, 3, _CELL, _CELL)


def _least(power: Tensor, light: Tensor) -> Tensor:
    """Return for each cell what cells of its brightness, if there are enough, miss at least."""
    least = power.quantile(_LEAST).expand_as(power).clone()
    knots = torch.tensor(_KNOTS[1:-1], device=light.device)
    place = torch.bucketize(light, knots)
    for n in range(len(_KNOTS) - 1):
        alike = place == n
        if int(alike.sum()) >= _FEW:
            least[alike] = power[alike].quantile(_LEAST)
    return least.clamp(min=_NONE**2)


def _strength(power: Tensor, light: Tensor) -> Tensor:
    """Return the strength at the knots; where few cells are as bright, it leans on all of them."""
    knots = torch.tensor(_KNOTS, device=light.device)
    place = (torch.bucketize(light, knots) - 1).clamp(0, len(_KNOTS) - 2)
    up = (light - knots[place]) / (knots[place + 1] - knots[place])
    weight = F.one_hot(place, len(_KNOTS)) * (1 - up)[:, None]
    weight = weight + F.one_hot(place + 1, len(_KNOTS)) * up[:, None]
    power_at_knots = (weight * power[:, None]).sum(0) + _PRIOR * power.mean()
    power_at_knots = power_at_knots / (weight.sum(0) + _PRIOR)
    return (power_at_knots - _NONE**2).clamp(min=0, max=_LIMIT**2).sqrt()


def _colour(cells: Tensor, upscaled: Tensor) -> Tensor:
    """Return the root of the missing covariance of R, G and B, as far as that is positive."""
    covariance = _covariance(cells) - _covariance(upscaled)
    values, vectors = torch.linalg.eigh(covariance.double().cpu())
    values = values.clamp(min=0)
    weights = torch.tensor(LUMA, dtype=torch.float64)
    light = ((weights @ vectors).square() * values).sum().clamp(min=1e-12)
    root: Tensor = vectors * (values / light).sqrt()
    return root.to(cells.device, torch.float32)


def _covariance(cells: Tensor) -> Tensor:
    flat = cells.permute(1, 0, 2, 3).flatten(1)
    return flat @ flat.T / flat.shape[1]


def synthesise(grain: Grain, small: Tensor, scale: float, seed: int) -> Tensor:
    """Return (1, 3, h, w) for a picture of that light, to be enlarged by `scale`."""
    height, width = small.shape[2:]
    device = small.device
    generator = torch.Generator(device).manual_seed(seed)
    across, down = width + 2 * _REACH, height + 2 * _REACH
    white = torch.randn(3, 1, down, across, generator=generator, device=device)
    shaped = F.conv2d(white, _filter(grain.spectrum, scale)[None, None])[:, 0]
    coloured = (grain.colour @ shaped.flatten(1)).view(1, 3, height, width)
    light = luma(small).clamp(0, 1)
    return coloured * _between(grain.strength, light) * _visible(light)


def _between(strength: Tensor, light: Tensor) -> Tensor:
    """Interpolate `strength`, told at the knots, where luma is `light`."""
    interpolated = strength[0].expand_as(light)
    for n in range(len(_KNOTS) - 1):
        step = (strength[n + 1] - strength[n]) / (_KNOTS[n + 1] - _KNOTS[n])
        interpolated = interpolated + step * (light - _KNOTS[n]).clamp(0, _KNOTS[n + 1] - _KNOTS[n])
    return interpolated


def _visible(light: Tensor) -> Tensor:
    """Return 0 for black and for white, 1 for nearly all else."""
    return torch.clamp(torch.minimum(light, 1 - light) / (2 * _CLIPPED), 0, 1)


def _filter(spectrum: Tensor, scale: float) -> Tensor:
    """Return (7, 7): gives white noise that spectrum, and variance 1, once enlarged and made
    small.
    """
    surviving = _surviving_power(scale).to(spectrum.device)
    gain = (spectrum / surviving.clamp(min=_WEAKEST)).sqrt()
    kernel = torch.fft.fftshift(torch.fft.ifft2(gain).real)
    middle = _CELL // 2
    kernel = kernel[middle - _REACH : middle + _REACH + 1, middle - _REACH : middle + _REACH + 1]
    left = torch.fft.fft2(kernel, s=(_CELL, _CELL)).abs().square() * surviving
    return torch.div(kernel, left.mean().sqrt())


@cache
def _surviving_power(scale: float) -> Tensor:
    """Return (16, 16): the share of each frequency's power that survives enlarging and making
    smaller.
    """
    side = 3 * _CELL
    dot = torch.zeros(1, 1, side, side)
    dot[0, 0, side // 2, side // 2] = 1
    large = max(round(side * scale), side)
    back = F.adaptive_avg_pool2d(_resized(dot, large, large), (side, side))
    power: Tensor = torch.fft.fft2(back[0, 0, _CELL:-_CELL, _CELL:-_CELL]).abs().square()
    return power


def _resized(x: Tensor, width: int, height: int) -> Tensor:
    scale = (width / x.shape[3], height / x.shape[2])
    return resize(x, width=width, height=height, scale=scale, kernel="bicubic")
