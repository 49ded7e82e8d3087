"""The mean of upscaled frames that show the same, weighed by the confidence that they do.

They are shifted by whole upscaled pixels, so nothing is resampled: a quarter of a source pixel
is one pixel of a frame that is four times as large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vsr.stages.temporal.motion import CELL, inside

_STRIP = 48  # upscaled rows that are blended at once on a CPU, so that they stay in its cache
_STRIPE = 512  # elsewhere


@dataclass(frozen=True, kw_only=True)
class NeighbourFrames:
    """K frames beside one, as the blend needs them."""

    upscaled: Sequence[Tensor]  # (1, C, H, W) each
    starts: Tensor  # (K, H, columns) long: where in a flat picture each row of each block begins
    weights: Tensor  # (K, h, w) against 1 for what is here, at the source's size


def to_whole_pixels(moves: Tensor, scale: tuple[float, float]) -> Tensor:
    """Return (K, 2, rows, columns) in source pixels, rounded to whole upscaled pixels; still in
    source.
    """
    sizes = torch.tensor(scale, device=moves.device)[:, None, None]
    return inside((moves * sizes).round_() / sizes)


def starts_of(
    moves: Tensor, scale: tuple[float, float], block: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """Return (K, H, columns) long: where, in a flat picture, each row of each block of it comes
    from.

    `moves`: of the source's cells, (K, 2, rows, columns); `scale`: (horizontal, vertical);
    `block`: (down, across) in a picture of that size, (H, W), which is made of whole ones.
    """
    (down, across), (height, width) = block, size
    rows, columns = height // down, width // across
    device = moves.device
    # The cell that the middle of a block lies in; with whole scales, the one of the same number.
    y = ((torch.arange(rows, device=device) + 0.5) * (down / scale[1] / CELL)).long()
    x = ((torch.arange(columns, device=device) + 0.5) * (across / scale[0] / CELL)).long()
    moves = moves.index_select(2, y.clamp_(max=moves.shape[2] - 1))
    moves = moves.index_select(3, x.clamp_(max=moves.shape[3] - 1))
    left = (moves[:, 0] * scale[0]).round_().long()
    left += torch.arange(columns, device=device) * across
    top = (moves[:, 1] * scale[1]).round_().long()
    top += torch.arange(rows, device=device)[:, None] * down
    first = top.clamp_(0, height - down) * width + left.clamp_(0, width - across)
    inner = torch.arange(down, device=device)[:, None] * width
    return (first[:, :, None] + inner).flatten(1, 2)


def blend_neighbours(
    upscaled: Tensor, neighbours: NeighbourFrames, size: tuple[int, int], limit: float
) -> Tensor:
    """Map (1, C, H, W) -> (1, C, *size): its first rows and columns, the weighed mean of all
    frames.

    Nothing changes by more than `most`.
    """
    tall, wide = size
    starts = neighbours.starts
    shares = neighbours.weights / (1 + _total(neighbours.weights))
    shares = F.interpolate(shares.flatten(0, 1)[None], size=wide, mode="linear")
    shares = shares.view(len(starts), -1, wide)
    channels, height, width = upscaled.shape[1:]
    moved, across = _moved(starts, width), width // starts.shape[2]
    planes = torch.arange(channels, device=upscaled.device)[:, None] * (height * width)
    out = upscaled.new_empty(1, channels, tall, wide)
    strip = _STRIP if upscaled.device.type == "cpu" else _STRIPE
    for top in range(0, tall, strip):
        rows = slice(top, min(top + strip, tall))
        unmoved, into = upscaled[0, :, rows, :wide], out[0, :, rows]
        taller_shares = _taller(shares, rows, tall)
        # What comes from elsewhere, less as much of what is here: what changes.
        torch.mul(unmoved, -_total(taller_shares), out=into)
        lines = (starts[:, None, rows].flatten(2) + planes).flatten(1)
        for n, other in enumerate(neighbours.upscaled):
            still = moved is not None and not moved[n, rows].any()
            fetched = other[0, :, rows] if still else _fetch_lines(other[0], lines[n], across)
            into.addcmul_(fetched[..., :wide], taller_shares[n])
        into.clamp_(-limit, limit).add_(unmoved)
    return out


def _total(planes: Tensor) -> Tensor:
    """Map (K, ...) -> (...), one after the other: a frame that has no weight must not change how
    the
    others are rounded, and sum() puts them together in groups.
    """
    total = planes[0].clone()
    for plane in planes[1:]:
        total += plane
    return total


def _moved(starts: Tensor, width: int) -> NDArray[np.bool_] | None:
    """Return (K, H): whether anything in a row comes from elsewhere; not on a device, which would
    have
    to be waited for.
    """
    if starts.device.type != "cpu":
        return None
    _, height, columns = starts.shape
    still = torch.arange(height)[:, None] * width + torch.arange(0, width, width // columns)
    return (starts != still).any(2).numpy()


def _taller(x: Tensor, rows: slice, height: int) -> Tensor:
    """Map (K, h, W) -> (K, rows, W): those of (K, height, W), between the ones there are
    bilinearly.

    As a product with the few rows around, which is the quickest way on a CPU.
    """
    at = torch.arange(rows.start, rows.stop, dtype=torch.float64)
    at = ((at + 0.5) * (x.shape[1] / height) - 0.5).clamp_(0, x.shape[1] - 1)
    first, last = math.floor(float(at[0])), math.ceil(float(at[-1]))
    near = torch.arange(first, last + 1, dtype=torch.float64)
    shares = (1 - (at[:, None] - near).abs()).clamp_(min=0).to(x)
    return shares @ x[:, first : last + 1]


def _fetch_lines(picture: Tensor, starts: Tensor, across: int) -> Tensor:
    """Return (C, rows, W), of (C, H, W): one line of a block after the other, from where each
    starts.
    """
    channels, _, width = picture.shape
    every = picture.as_strided(
        (picture.numel() - across + 1, across), (1, 1), picture.storage_offset()
    )
    return every.index_select(0, starts).view(channels, -1, width)
