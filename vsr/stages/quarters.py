"""Planes at quarter pixels, and cells of them from where vectors point.

Vectors are compared often, and each time the content that they point to is needed. A plane that
is laid out once at all quarters of a pixel answers by copying whole lines of a cell, in a tenth of
the time that sampling anew takes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PARTS = 4  # of a pixel, in each direction
# Cubic convolution as in Keys 1981, with a = -3/4 as torch's bicubic mode has it: at 1/4, 2/4, 3/4.
_TAPS = (
    (-0.10546875, 0.87890625, 0.26171875, -0.03515625),
    (-0.09375, 0.59375, 0.59375, -0.09375),
    (-0.03515625, 0.26171875, 0.87890625, -0.10546875),
)


def quartered(planes: Tensor) -> Tensor:
    """(C, h, w) -> (C, 4, 4, h, w): [c, i, j] is plane c moved by i / 4 rows and j / 4 columns.

    Beyond the edge, the edge goes on.
    """
    channels, height, width = planes.shape
    padded = F.pad(planes[None], (1, 2, 1, 2), mode="replicate")[0]
    out = planes.new_empty(channels, PARTS, PARTS, height, width)
    for j in range(PARTS):
        across = padded[..., 1:-2]
        if j:
            across = _between([padded[..., k : k + width] for k in range(4)], j)
        out[:, 0, j] = across[:, 1:-2]
        for i in range(1, PARTS):
            _between([across[:, k : k + height] for k in range(4)], i, out[:, i, j])
    return out


def _between(beside: list[Tensor], part: int, out: Tensor | None = None) -> Tensor:
    """`part` quarters of the way from the second to the third of four."""
    taps = _TAPS[part - 1]
    out = torch.mul(beside[1], taps[1], out=out)
    for n in (0, 2, 3):
        out.add_(beside[n], alpha=taps[n])
    return out


def whole(laid_out: Tensor) -> Tensor:
    """(C, 4, 4, h, w) -> (C, h, w): the planes as they were."""
    return laid_out[:, 0, 0]


def fetched(laid_out: Tensor, move: Tensor, cell: int, out: Tensor | None = None) -> Tensor:
    """(C, h, w), of (C, 4, 4, h, w): at each cell what is where its vector points.

    `move`: (2, rows, columns) float, to the right and down, in pixels of the planes, rounded to
    quarters here; `cell`: pixels of its side, which rows and columns of them fill the planes with.
    """
    channels, _, _, height, width = laid_out.shape
    rows, columns = height // cell, width // cell
    device = move.device
    x, y = (move * PARTS).round_().long()
    x = (x + torch.arange(columns, device=device) * (cell * PARTS)).clamp_(
        0, (width - cell) * PARTS
    )
    y = (y + torch.arange(rows, device=device)[:, None] * (cell * PARTS)).clamp_(
        0, (height - cell) * PARTS
    )
    layer = (y % PARTS) * PARTS + x % PARTS
    first = (layer * height + y // PARTS) * width + x // PARTS
    inner = torch.arange(cell, device=device)[:, None] * width
    at = (first[:, None] + inner).view(-1)
    if channels > 1:
        planes = torch.arange(channels, device=device) * (PARTS**2 * height * width)
        at = (planes[:, None] + at).view(-1)
    lines = laid_out.as_strided(
        (laid_out.numel() - cell + 1, cell), (1, 1), laid_out.storage_offset()
    )
    if out is None:
        return lines.index_select(0, at).view(channels, height, width)
    torch.index_select(lines, 0, at, out=out.view(-1, cell))
    return out
