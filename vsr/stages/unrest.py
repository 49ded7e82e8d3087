"""How much a drawn film flickers where its source stands still: what a filter would have to do."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from vsr.stages.motion import luma

_CELL = 4  # source pixels
_STILL = 0.3  # share of the cells that change least
_MOVES = (6 / 255) ** 2  # change of a cell's mean, squared, from which on something moves


@dataclass(frozen=True, kw_only=True)
class Unrest:
    """Mean change from one frame to the next, in code values of 8 bit, where nothing moves."""

    source: Tensor  # () float
    drawn: Tensor  # () float
    still: Tensor  # () float: share of the picture that was looked at


def unrest(source: Tensor, source_before: Tensor, drawn: Tensor, drawn_before: Tensor) -> Unrest:
    """(1, 3, h, w) and (1, C, H, W) of two frames that follow each other, float, 0..1.

    Looked at are the cells of 4 x 4 source pixels whose mean changes least. Nothing is waited for;
    zero, of nothing, where everything moves.
    """
    change = luma(source) - luma(source_before)
    moved = F.avg_pool2d(change, _CELL, ceil_mode=True).square()
    limit = moved.flatten().kthvalue(max(round(_STILL * moved.numel()), 1)).values
    still = (moved <= limit.clamp(max=_MOVES)).float()
    count = still.sum().clamp(min=1)
    small, large = (
        F.adaptive_avg_pool2d(
            (now - before).abs().mean(1, keepdim=True), (still.shape[2], still.shape[3])
        )
        for now, before in ((source, source_before), (drawn, drawn_before))
    )
    return Unrest(
        source=(small * still).sum() / count * 255,
        drawn=(large * still).sum() / count * 255,
        still=still.mean(),
    )
