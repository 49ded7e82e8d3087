"""Planes at quarters of a pixel, and cells of them from where vectors point.

Vectors are compared often, and each time the content that they point to is needed. A plane that
is laid out once at all quarters of a pixel answers by copying whole lines of a cell, in a tenth of
the time that sampling anew takes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PARTS = 4  # of a pixel, in each direction
# Cubic convolution as in Keys 1981, with a = -3/4 as torch's bicubic mode has it: shares of the
# pixel before, the pixel itself and the two behind it, at each quarter.
_TAPS = (
    (0.0, 1.0, 0.0, 0.0),
    (-0.10546875, 0.87890625, 0.26171875, -0.03515625),
    (-0.09375, 0.59375, 0.59375, -0.09375),
    (-0.03515625, 0.26171875, 0.87890625, -0.10546875),
)


def quartered(planes: Tensor) -> Tensor:
    """(C, h, w) -> (C, 4, 4, h, w): [c, i, j] is plane c moved by i / 4 rows and j / 4 columns.

    Beyond the edge, the edge goes on.
    """
    channels, height, width = planes.shape
    taps = torch.tensor(_TAPS, device=planes.device)
    padded = F.pad(planes[None], (1, 2, 1, 2), mode="replicate")[0]
    beside = torch.stack([padded[..., n : n + width] for n in range(len(_TAPS))], 1)
    across = (taps @ beside.flatten(2)).view(channels, PARTS, -1, width)
    below = torch.stack([across[:, :, n : n + height] for n in range(len(_TAPS))], 1)
    return (taps @ below.flatten(2)).view(channels, PARTS, PARTS, height, width)


def whole(laid_out: Tensor) -> Tensor:
    """(C, 4, 4, h, w) -> (C, h, w): the planes as they were."""
    return laid_out[:, 0, 0]


def lines_at(moves: Tensor, cell: int, laid_out: Tensor) -> Tensor:
    """(K, n) long: where in (C, 4, 4, h, w) each line of each cell begins that K vectors point to.

    `moves`: (K, 2, rows, columns) float, to the right and down, in pixels of the planes, rounded to
    quarters here; `cell`: pixels of its side, which rows and columns of them fill the planes with.
    """
    channels, _, _, height, width = laid_out.shape
    rows, columns = height // cell, width // cell
    device = moves.device
    x, y = (moves * PARTS).round_().long().unbind(1)
    x += torch.arange(columns, device=device) * (cell * PARTS)
    y += torch.arange(rows, device=device)[:, None] * (cell * PARTS)
    x.clamp_(0, (width - cell) * PARTS)
    y.clamp_(0, (height - cell) * PARTS)
    layer = (y % PARTS) * PARTS + x % PARTS
    first = (layer * height + y // PARTS) * width + x // PARTS
    inner = torch.arange(cell, device=device)[:, None] * width
    planes = torch.arange(channels, device=device) * (PARTS**2 * height * width)
    return (planes[:, None, None, None] + (first[:, :, None] + inner)[:, None]).flatten(1)


def fetched(laid_out: Tensor, lines: Tensor, cell: int, out: Tensor | None = None) -> Tensor:
    """(C, h, w), of (C, 4, 4, h, w): at each cell what `lines`, (n,) of `lines_at`, point to."""
    channels, _, _, height, width = laid_out.shape
    every = laid_out.as_strided(
        (laid_out.numel() - cell + 1, cell), (1, 1), laid_out.storage_offset()
    )
    if out is None:
        out = laid_out.new_empty(channels, height, width)
    torch.index_select(every, 0, lines, out=out.view(-1, cell))
    return out
