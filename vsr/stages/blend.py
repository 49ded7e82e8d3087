"""How far a neighbouring frame is believed, and the mean of what is believed.

A weight for each source pixel: how well the neighbour's source matches here, after both have been
brought together, against what noise and a vector that is slightly wrong explain. The drawn
frames follow in whole output pixels, so nothing is resampled: a shift by a quarter of a source
pixel is one pixel of a frame that is four times as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.stages.motion import CELL, inside

_LEAST = (0.7 / 255) ** 2  # variance of the noise; rounding to 8 bits and a little
_MOST = (12 / 255) ** 2  # beyond which a mismatch is believed to be one
_OFF = 0.15  # source pixels by which a vector may be wrong
BOX = 1
_STRIP = 48  # output rows that are blended at once on a CPU, so that they stay in its cache


@dataclass(frozen=True, kw_only=True)
class Belief:
    """How strict the comparison is."""

    full: float  # mismatch, squared, in units of what is explained, up to which all is believed
    none: float  # from which nothing is
    most: float  # that a neighbour may change a pixel by, of 1


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A frame beside, as the blend needs it."""

    drawn: Tensor  # (1, C, H, W)
    starts: Tensor  # (H, columns) long: where each row of each block begins, in a flat picture
    weight: Tensor  # (1, 1, h, w), 0..1, at the source's size


def weight(here: Tensor, there: Tensor, slope: Tensor, belief: Belief) -> Tensor:
    """(1, 3, h, w) sources, brought together -> (1, 1, h, w), 0..1. `slope`: of `here`."""
    off = (here - there).square_().mean(1, keepdim=True)
    usual = _usual(off, slope).clamp(2 * _LEAST, _MOST)
    off = F.avg_pool2d(F.pad(off, (BOX,) * 4, mode="replicate"), 2 * BOX + 1, stride=1)
    beyond = off / (usual + _OFF**2 * slope)
    return ((belief.none - beyond) / (belief.none - belief.full)).clamp_(0, 1)


def _usual(off: Tensor, slope: Tensor) -> Tensor:
    """() float: what noise makes of `off`, (1, 1, h, w), squared.

    The median of cells with little texture, where a wrong vector makes little difference; the
    flattest are left out, which may be bars and clipped.
    """
    cells, texture = (F.avg_pool2d(x, 2 * CELL, ceil_mode=True).flatten() for x in (off, slope))
    order = texture.argsort()
    count = len(order)
    return cells[order[count // 10 : count // 2 + 1]].median()


def slope(luma: Tensor) -> Tensor:
    """(1, 1, h, w) -> the square of its gradient, mean of 3 x 3."""
    edged = F.pad(luma, (2, 2, 2, 2), mode="replicate")
    x = (edged[:, :, 1:-1, 2:] - edged[:, :, 1:-1, :-2]).square_()
    y = (edged[:, :, 2:, 1:-1] - edged[:, :, :-2, 1:-1]).square_()
    return F.avg_pool2d((x + y) / 4, 3, stride=1)


def whole_steps(move: Tensor, scale: tuple[float, float]) -> Tensor:
    """(1, 2, rows, columns) in source pixels, rounded to whole output pixels; still in source."""
    sizes = torch.tensor(scale, device=move.device)[:, None, None]
    return inside((move * sizes).round_() / sizes)


def starts_of(
    move: Tensor, scale: tuple[float, float], block: tuple[int, int], drawn: Tensor
) -> Tensor:
    """(H, columns) long: where, in a flat picture, each row of each block of it comes from.

    `move`: of the source's cells, (1, 2, rows, columns); `scale`: (horizontal, vertical);
    `block`: (down, across) in `drawn`, (1, C, H, W), which is made of whole ones.
    """
    (down, across), (height, width) = block, drawn.shape[2:]
    rows, columns = height // down, width // across
    device = move.device
    # The cell that the middle of a block lies in; with whole scales, the one of the same number.
    y = ((torch.arange(rows, device=device) + 0.5) * (down / scale[1] / CELL)).long()
    x = ((torch.arange(columns, device=device) + 0.5) * (across / scale[0] / CELL)).long()
    move = move[0].index_select(1, y.clamp_(max=move.shape[2] - 1))
    move = move.index_select(2, x.clamp_(max=move.shape[2] - 1))
    left = torch.arange(columns, device=device) * across + (move[0] * scale[0]).round().long()
    top = torch.arange(rows, device=device)[:, None] * down + (move[1] * scale[1]).round().long()
    left, top = left.clamp_(0, width - across), top.clamp_(0, height - down)
    inner = torch.arange(down, device=device)[None, :, None]
    return ((top[:, None] + inner) * width + left[:, None]).view(height, columns)


def blended(
    drawn: Tensor, beside: Sequence[Neighbour], size: tuple[int, int], most: float
) -> Tensor:
    """(1, C, H, W) -> (1, C, *size): its first rows and columns, each a weighed mean."""
    tall, wide = size
    weights = torch.cat([n.weight for n in beside], 1)
    weights = weights / (1 + weights.sum(1, keepdim=True))
    shares = F.interpolate(weights, size=size, mode="bilinear")[0]
    out = drawn[:, :, :tall, :wide].clone()
    strip = tall if drawn.is_cuda else _STRIP
    for top in range(0, tall, strip):
        rows = slice(top, min(top + strip, tall))
        own, into = drawn[0, :, rows], out[0, :, rows]
        for n, share in zip(beside, shares, strict=True):
            change = _brought(n, rows).sub_(own).clamp_(-most, most)
            into.addcmul_(change[..., :wide], share[rows])
    return out


def _brought(neighbour: Neighbour, rows: slice) -> Tensor:
    """(C, rows, W): those rows of the neighbour, every block from where its content is."""
    picture = neighbour.drawn[0]
    channels, height, width = picture.shape
    starts = neighbour.starts[rows]
    across = width // starts.shape[1]
    planes = torch.arange(channels, device=picture.device) * (height * width)
    lines = picture.as_strided(
        (picture.numel() - across + 1, across), (1, 1), picture.storage_offset()
    )
    at = (planes[:, None] + starts.reshape(-1)).view(-1)
    return lines.index_select(0, at).view(channels, -1, width)
