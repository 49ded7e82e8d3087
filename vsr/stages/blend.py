"""How far a neighbouring frame is believed, and the mean of what is believed.

A weight for each source pixel: how well the neighbour's source matches here, after both have been
brought together, against what noise and a vector that is slightly wrong explain. The drawn
frames follow in whole output pixels, so nothing is resampled: a shift by a quarter of a source
pixel is one pixel of a frame that is four times as large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.stages.motion import CELL, box, inside

_LEAST = (0.7 / 255) ** 2  # variance of the noise; rounding to 8 bits and a little
_MOST = (12 / 255) ** 2  # beyond which a mismatch is believed to be one
_OFF = 0.12  # source pixels by which a vector may be wrong
_MEAN = 16  # by how much less noise there is in the mean of 144 pixels; white: 144, grain: 20
_QUIET = 0.5  # of the cells with little texture show noise and nothing else
_STRIP = 48  # output rows that are blended at once on a CPU, so that they stay in its cache
_STRIPE = 512  # elsewhere


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


def weights(
    here: Tensor,
    beside: Sequence[Tensor],
    same: Sequence[Tensor],
    slope: Tensor,
    belief: Belief,
) -> list[Tensor]:
    """(1, 3, h, w) sources, brought to where they are in `here` -> (1, 1, h, w) each, 0..1.

    `same`: () bool, whether they are of one shot; `slope`: of `here`. The noise is that of the
    neighbour that matches best: it is the same in all of them, and whatever else is different
    grows with the distance.
    """
    changes = [here - there for there in beside]
    offs = [change.square().mean(1, keepdim=True) for change in changes]
    calm = _calm(slope)
    noises = [
        torch.where(one, _usual(change.mean(1, keepdim=True), off, calm), torch.inf)
        for change, off, one in zip(changes, offs, same, strict=True)
    ]
    usual = torch.stack(noises).amin().clamp(2 * _LEAST, 2 * _MOST)
    texture = _OFF**2 * slope
    # Brightness: noise leaves little of it in the mean of a cell and those around it, so that a
    # fade is seen long before it is as large as noise.
    steady = usual / _MEAN + _LEAST / 4 + _OFF**2 / 4 * _around(slope)
    found = []
    for change, off, one in zip(changes, offs, same, strict=True):
        beyond = box(F.pad(off, (1, 1, 1, 1), mode="replicate")) / (usual + texture)
        lit = _around(change.mean(1, keepdim=True)).square_() / steady
        lit = lit.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)
        beyond = torch.maximum(beyond, lit)
        believed = ((belief.none - beyond) / (belief.none - belief.full)).clamp_(0, 1)
        found.append(believed * one)
    return found


def _around(x: Tensor) -> Tensor:
    """(1, 1, h, w) -> (1, 1, h / 4, w / 4): the mean of each cell and the eight around it."""
    return box(F.pad(F.avg_pool2d(x, CELL), (1, 1, 1, 1), mode="replicate"))


def _calm(slope: Tensor) -> Tensor:
    """(n,) long: the cells with little texture, in which a wrong vector makes little difference.

    The flattest are left out, which may be bars and clipped.
    """
    order = F.avg_pool2d(slope, CELL).flatten().argsort()
    return order[len(order) // 10 : len(order) // 2 + 1]


def _usual(change: Tensor, off: Tensor, calm: Tensor) -> Tensor:
    """() float: what noise makes of `off`, (1, 1, h, w), squared, in the cells `calm`.

    What a whole cell has in common, as in a fade or where a blurred picture moves, is no noise.
    """
    cells, common = (F.avg_pool2d(x, CELL).flatten()[calm] for x in (off, change))
    cells = (cells - common.square()).clamp_(min=0)
    return cells.kthvalue(max(round(_QUIET * len(cells)), 1)).values


def slope(luma: Tensor) -> Tensor:
    """(1, 1, h, w) -> the square of its gradient, mean of 3 x 3."""
    edged = F.pad(luma, (2, 2, 2, 2), mode="replicate")
    x = (edged[:, :, 1:-1, 2:] - edged[:, :, 1:-1, :-2]).square_()
    y = (edged[:, :, 2:, 1:-1] - edged[:, :, :-2, 1:-1]).square_()
    return box((x + y) / 4)


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
    weights = F.interpolate(weights, size=(weights.shape[2], wide), mode="bilinear")[0]
    out = drawn.new_empty(1, drawn.shape[1], tall, wide)
    strip = _STRIP if drawn.device.type == "cpu" else _STRIPE
    for top in range(0, tall, strip):
        rows = slice(top, min(top + strip, tall))
        own, into = drawn[0, :, rows], out[0, :, rows]
        so_far = own[..., :wide]
        for n, share in zip(beside, _taller(weights, rows, tall), strict=True):
            change = (_brought(n, rows) - own).clamp_(-most, most)
            so_far = torch.addcmul(so_far, change[..., :wide], share, out=into)
    return out


def _taller(x: Tensor, rows: slice, height: int) -> Tensor:
    """(K, h, W) -> (K, rows, W): those of (K, height, W), between the ones there are bilinearly.

    As a product with the few rows around, which is the quickest way on a CPU.
    """
    at = torch.arange(rows.start, rows.stop, dtype=torch.float64)
    at = ((at + 0.5) * (x.shape[1] / height) - 0.5).clamp_(0, x.shape[1] - 1)
    first, last = math.floor(float(at[0])), math.ceil(float(at[-1]))
    near = torch.arange(first, last + 1, dtype=torch.float64)
    shares = (1 - (at[:, None] - near).abs()).clamp_(min=0).to(x)
    return shares @ x[:, first : last + 1]


def _brought(neighbour: Neighbour, rows: slice) -> Tensor:
    """(C, rows, W): those rows of the neighbour, every block from where its content is."""
    picture = neighbour.drawn[0]
    channels, height, width = picture.shape
    starts = neighbour.starts[rows]
    across = width // starts.shape[1]
    if picture.device.type == "cpu":  # elsewhere it would have to be waited for
        still = torch.arange(rows.start, rows.stop)[:, None] * width
        if torch.equal(starts, still + torch.arange(0, width, across)):
            return picture[:, rows]
    planes = torch.arange(channels, device=picture.device) * (height * width)
    lines = picture.as_strided(
        (picture.numel() - across + 1, across), (1, 1), picture.storage_offset()
    )
    at = (planes[:, None] + starts.reshape(-1)).view(-1)
    return lines.index_select(0, at).view(channels, -1, width)
