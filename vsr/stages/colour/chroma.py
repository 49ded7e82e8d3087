"""Chroma subsampling undone and redone, at the true siting, without loss in between.

`upsample` interpolates with Keys' cubic (a = -0.6) at the quarter or half phase
that the siting asks for. `downsample` filters with the dual of that kernel: the
low-pass of 12 or 13 taps that is closest to an ideal half-band filter among all
that satisfy `downsample(upsample(c)) == c`. So a picture that no stage touched
comes back with the very chroma samples it had, borders included, and a new
picture is band-limited before its chroma is thinned out.

The borders are mirrored about the edge of the luma samples (centred siting) or
about the outermost luma sample (co-sited), under which that equation is exact.
tests/unit/stages/colour/test_chroma.py derives the duals anew by least squares.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from vsr.frame import Siting

# Keys' cubic, a = -0.6, a quarter and half a chroma sample off.
_QUARTER = (-0.028125, 0.240625, 0.871875, -0.084375)  # of chroma k-2 ... k+1, for luma 2k
_HALF = (-0.075, 0.575, 0.575, -0.075)
# The duals, one side each: centred for luma 1, 2, ... 6 (and 0, -1, ... -5), co-sited for 0 ... 6.
_DUAL_CENTRED = (
    0.5409961527955578,
    0.06391974470600913,
    -0.16241941177483946,
    0.027230121138209516,
    0.045410089702597294,
    -0.015136696567531218,
)
_DUAL_COSITED = (
    0.6183253947494265,
    0.3191109082581236,
    -0.1032167212397592,
    -0.09798040502487461,
    0.0802720510086624,
    0.0,
    -0.007348530376864944,
)


def upsample(
    plane: Tensor, *, width: int, height: int, sub: tuple[int, int], siting: Siting
) -> Tensor:
    """Map (N, h, w) chroma -> (N, height, width), float.

    `sub`: log2 of the (horizontal, vertical) subsampling.
    """
    for dim, size, times, phase in (
        (2, width, sub[0], siting.value[0]),
        (1, height, sub[1], siting.value[1]),
    ):
        for step in reversed(range(times)):
            plane = _double(plane, dim, -(-size >> step), phase)
    return plane


def downsample(plane: Tensor, *, sub: tuple[int, int], siting: Siting) -> Tensor:
    """Map (N, height, width) -> (N, h, w) chroma, rounded up to whole samples; float."""
    for dim, times, phase in ((2, sub[0], siting.value[0]), (1, sub[1], siting.value[1])):
        for _ in range(times):
            plane = _halve(plane, dim, phase)
    return plane


def halving(phase: float) -> tuple[int, tuple[float, ...]]:
    """Return (luma index of the first tap, relative to 2k; the taps) of the filter for chroma k."""
    if phase == 0.5:
        return -5, (*reversed(_DUAL_CENTRED), *_DUAL_CENTRED)
    return -6 + int(phase), (*reversed(_DUAL_COSITED[1:]), *_DUAL_COSITED)


def _weighted(plane: Tensor, dim: int, count: int, stride: int, taps: tuple[float, ...]) -> Tensor:
    """Return the sum of taps[t] * plane[t + stride * i], for i < count."""
    # Every stride-th sample, once: reading them apart for each tap takes four times as long.
    phases = [_every(plane, dim, first, stride) for first in range(stride)]
    total: Tensor | None = None
    for t, weight in enumerate(taps):
        if weight == 0.0:
            continue
        view = phases[t % stride].narrow(dim, t // stride, count)
        total = view * weight if total is None else total.add_(view, alpha=weight)
    assert total is not None
    return total


def _every(plane: Tensor, dim: int, first: int, stride: int) -> Tensor:
    if stride == 1:
        return plane
    return plane[:, :, first::stride].contiguous() if dim == 2 else plane[:, first::stride]


def _double(plane: Tensor, dim: int, size: int, phase: float) -> Tensor:
    count = plane.shape[dim]
    # Chroma k lies at luma position 2k + phase. Extended by two samples to each side:
    wide = _extended(plane, dim, (-2, count + 2), (2, phase), phase, size)
    if phase == 0.5:
        even = _weighted(wide, dim, count, 1, _QUARTER)
        odd = _weighted(wide.narrow(dim, 1, count + 3), dim, count, 1, _QUARTER[::-1])
    elif phase == 0.0:
        even, odd = plane, _weighted(wide.narrow(dim, 1, count + 3), dim, count, 1, _HALF)
    else:
        even, odd = _weighted(wide, dim, count, 1, _HALF), plane
    both = torch.stack((even, odd), dim + 1).flatten(dim, dim + 1)
    return both.narrow(dim, 0, size)


def _halve(plane: Tensor, dim: int, phase: float) -> Tensor:
    size = plane.shape[dim]
    count = -(-size // 2)
    first, taps = halving(phase)
    last = 2 * (count - 1) + first + len(taps)
    wide = _extended(plane, dim, (first, last), (1, 0.0), phase, size)
    return _weighted(wide, dim, count, 2, taps)


def _extended(  # noqa: PLR0917 (as `_mirror`)
    plane: Tensor,
    dim: int,
    reach: tuple[int, int],
    grid: tuple[int, float],
    phase: float,
    size: int,
) -> Tensor:
    """Return the samples `reach[0]` ... `reach[1] - 1`, of which the plane has 0 ... count - 1."""
    count = plane.shape[dim]
    # Borders alone are looked up: a whole plane would take longer than all the filters do.
    before, after = (
        plane.index_select(dim, _mirror(plane.device, *ends, *grid, phase, size))
        for ends in ((reach[0], 0), (count, reach[1]))
    )
    return torch.cat((before, plane, after), dim)


@lru_cache(maxsize=256)
def _mirror(  # noqa: PLR0917 (cached by position)
    device: torch.device, start: int, stop: int, step: int, offset: float, phase: float, size: int
) -> Tensor:
    """Return indices of the samples at step * k + offset, k in start..stop, mirrored into the
    picture.
    """
    low, high = (-0.5, size - 0.5) if phase == 0.5 else (0.0, size - 1.0)
    span = max(high - low, 0.5)
    position = torch.arange(start, stop, dtype=torch.float64) * step + offset
    folded = torch.remainder(position - low, 2 * span)
    position = low + torch.where(folded > span, 2 * span - folded, folded)
    index = torch.round((position - offset) / step).long()
    return index.clamp_(0, max(-(-size // step) - 1, 0)).to(device)
