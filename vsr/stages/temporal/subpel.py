"""Planes at fractions of a pixel, and cells of them from where vectors point.

Vectors are compared often, and each time the content that they point to is needed. A plane that
is laid out once at all fractions answers by copying whole lines of a cell, in a tenth of the time
that sampling anew takes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

QUARTERS = 4  # parts of a pixel
_A = -0.75  # of the cubic, as in torch's bicubic mode


def phases(planes: Tensor, parts: int) -> Tensor:
    """Map (C, h, w) -> (C, parts, parts, h, w): [c, i, j] is plane c, moved by i / parts rows and
    j / parts columns. Beyond the edge, the edge goes on.
    """
    channels, height, width = planes.shape
    if parts == 1:
        return planes[:, None, None]
    taps = torch.tensor([_taps(n / parts) for n in range(parts)], device=planes.device)
    padded = F.pad(planes[None], (1, 2, 1, 2), mode="replicate")[0]
    columns_beside = torch.stack([padded[..., n : n + width] for n in range(4)], 1)
    across = (taps @ columns_beside.flatten(2)).view(channels, parts, -1, width)
    below = torch.stack([across[:, :, n : n + height] for n in range(4)], 1)
    return (taps @ below.flatten(2)).view(channels, parts, parts, height, width)


def _taps(t: float) -> tuple[float, ...]:
    """Return shares of four pixels, `t` of the way from the second to the third: Keys 1981."""

    def near(x: float) -> float:
        return ((_A + 2) * x - (_A + 3)) * x * x + 1

    def far(x: float) -> float:
        return ((x - 5) * x + 8) * x * _A - 4 * _A

    return far(1 + t), near(t), near(1 - t), far(2 - t)


def unmoved(laid_out: Tensor) -> Tensor:
    """Map (C, parts, parts, h, w) -> (C, h, w): the planes as they were."""
    return laid_out[:, 0, 0]


def lines_at(moves: Tensor, cell: int, laid_out: Tensor) -> Tensor:
    """Return (K, n) long: where each line of each cell begins that K vectors point to, in
    `laid_out`,
    (C, parts, parts, h, w).

    `moves`: (K, 2, rows, columns) float, to the right and down, in pixels of the planes, rounded to
    its parts here; `cell`: pixels of its side, which rows and columns of them fill the planes with.
    """
    channels, parts, _, height, width = laid_out.shape
    rows, columns = height // cell, width // cell
    device = moves.device
    x, y = (moves * parts).round_().long().unbind(1)
    x += torch.arange(columns, device=device) * (cell * parts)
    y += torch.arange(rows, device=device)[:, None] * (cell * parts)
    x.clamp_(0, (width - cell) * parts)
    y.clamp_(0, (height - cell) * parts)
    layer = (y % parts) * parts + x % parts
    first = (layer * height + y // parts) * width + x // parts
    inner = torch.arange(cell, device=device)[:, None] * width
    planes = torch.arange(channels, device=device) * (parts**2 * height * width)
    return (planes[:, None, None, None] + (first[:, :, None] + inner)[:, None]).flatten(1)


def fetch_cells(laid_out: Tensor, lines: Tensor, cell: int, out: Tensor | None = None) -> Tensor:
    """Return (C, h, w), of (C, parts, parts, h, w): at each cell what `lines`, (n,) of `lines_at`,
    say.
    """
    channels, _, _, height, width = laid_out.shape
    every = laid_out.as_strided(
        (laid_out.numel() - cell + 1, cell), (1, 1), laid_out.storage_offset()
    )
    if out is None:
        out = laid_out.new_empty(channels, height, width)
    torch.index_select(every, 0, lines, out=out.view(-1, cell))
    return out
