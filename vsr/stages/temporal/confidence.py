"""Confidence in a neighbouring frame, for each source pixel.

How well the neighbour's source matches here, after both have been brought together, against what
noise and a vector that is slightly wrong explain. Nothing that a network drew is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.stages.colour.convert import LUMA
from vsr.stages.temporal.motion import CELL, LumaPyramid, around, box, celled
from vsr.stages.temporal.subpel import QUARTERS, fetch_cells, lines_at, phases, unmoved

_LEAST = (0.7 / 255) ** 2  # variance of the noise; rounding to 8 bits and a little
_LIMIT = (12 / 255) ** 2  # beyond which a mismatch is believed to be one
_OFF = 0.12  # source pixels by which a vector may be wrong
_MEAN = 16  # by how much less noise there is in the mean of 144 pixels; white: 144, grain: 20
_QUIET = 0.5  # of the cells with little texture show noise and nothing else


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """How strict the comparison is."""

    full: float  # mismatch, squared, in units of what is explained, up to which all is believed
    none: float  # from which nothing is


@dataclass(frozen=True, kw_only=True)
class MatchFeatures:
    """What a source picture is compared by. Sizes are those of whole cells."""

    luma: Tensor  # (1, parts, parts, h, w): at all fractions of a pixel that are blended
    colour: Tensor  # (2, 4, 4, h / 2, w / 2): red and blue less luma, as fine as in 4:2:0
    slope: Tensor  # (h, w): the square of luma's gradient, mean of 3 x 3

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return sum(x.numel() * x.element_size() for x in (self.luma, self.colour, self.slope))


def match_features(rgb: Tensor, pyramid: LumaPyramid, parts: int) -> MatchFeatures:
    """Return (1, 3, h, w) RGB, nominally 0..1, in whole cells; `seen`: of the same."""
    red_blue = F.avg_pool2d(rgb[:, ::2].float(), 2) - F.avg_pool2d(pyramid.luma, 2)
    return MatchFeatures(
        luma=pyramid.quarters if parts == QUARTERS else phases(pyramid.luma[0], parts),
        colour=phases(red_blue[0], QUARTERS),
        slope=_slope(pyramid.luma),
    )


def neighbour_weights(
    current: MatchFeatures,
    neighbours: Sequence[MatchFeatures],
    moves: Tensor,
    same_shot: Tensor,
    bounds: Confidence,
) -> Tensor:
    """Return (K, h, w), 0..1, of K neighbours.

    `moves`: (K, 2, rows, columns), where what is here is in each of them; `same`: (K,) bool,
    whether they are of one shot. The noise is that of the neighbour that matches best: it is the
    same in all of them, and whatever else is different grows with the distance.
    """
    count, (height, width) = len(neighbours), current.slope.shape
    change = current.luma.new_empty(count, height, width)
    tint = current.colour.new_empty(count, 2, height // 2, width // 2)
    lines = lines_at(moves, CELL, current.luma), lines_at(moves / 2, CELL // 2, current.colour)
    for n, other in enumerate(neighbours):
        fetch_cells(other.luma, lines[0][n], CELL, out=change[n : n + 1])
        fetch_cells(other.colour, lines[1][n], CELL // 2, out=tint[n])
    change -= unmoved(current.luma)
    tint -= unmoved(current.colour)
    mismatch = change.square()
    mismatch.view(count, -1, 2, width).add_(_wider(_square(tint), 2))
    cells, common = celled(mismatch), celled(change)
    noise = torch.where(same_shot, _noise_of(cells, common, _low_texture(current.slope)), torch.inf)
    noise_level = noise.amin().clamp(2 * _LEAST, 2 * _LIMIT)
    excess = around(mismatch)
    excess /= noise_level + _OFF**2 * current.slope
    # Light: noise leaves little of it in the mean of a cell and those around it, so that a fade is
    # seen long before it is as large as noise.
    cell_noise = (
        noise_level / _MEAN + _LEAST / 4 + _OFF**2 / 4 * around(celled(current.slope)[None])
    )
    light_change = around(common).square_() + _square(around(F.avg_pool2d(tint, 2)))
    light_change = _wider(light_change / cell_noise, CELL)
    excess = torch.maximum(excess.view(count, -1, CELL, width), light_change).flatten(1, 2)
    excess = excess.neg_().add_(bounds.none).mul_(1 / (bounds.none - bounds.full)).clamp_(0, 1)
    return excess.mul_(same_shot[:, None, None])


def _square(tint: Tensor) -> Tensor:
    """Map (K, 2, h, w) red and blue less luma -> (K, h, w): mean square of that of R, G and B."""
    red, blue = tint.unbind(1)
    green = (red * LUMA[0]).add_(blue, alpha=LUMA[2]).div_(LUMA[1])
    return red.square().addcmul_(green, green).addcmul_(blue, blue).div_(3)


def _wider(x: Tensor, by: int) -> Tensor:
    """Map (K, h, w) -> (K, h, 1, w * by), to be used for `by` rows each."""
    return x[..., None].expand(*x.shape, by).flatten(2)[:, :, None]


def _low_texture(slope: Tensor) -> Tensor:
    """Return (n,) long: the cells with little texture, in which a wrong vector makes little
    difference.

    The flattest are left out, which may be bars and clipped.
    """
    order = celled(slope).flatten().argsort()
    return order[len(order) // 10 : len(order) // 2 + 1]


def _noise_of(cells: Tensor, common: Tensor, low_texture: Tensor) -> Tensor:
    """Return (K,): what noise makes of the squared mismatch, of (K, rows, columns).

    `low_texture`: the cells that are looked at.

    What a whole cell has in common, as in a fade or where a blurred picture moves, is no noise.
    """
    cells = (cells - common.square()).flatten(1)[:, low_texture].clamp_(min=0)
    return cells.kthvalue(max(round(_QUIET * cells.shape[1]), 1), dim=1).values


def _slope(luma: Tensor) -> Tensor:
    """Map (1, 1, h, w) -> (h, w)."""
    edged = F.pad(luma, (2, 2, 2, 2), mode="replicate")[0, 0]
    x = (edged[1:-1, 2:] - edged[1:-1, :-2]).square_()
    y = (edged[2:, 1:-1] - edged[:-2, 1:-1]).square_()
    return box((x + y) / 4)
