"""Promises: a plane at fractions of a pixel is what bicubic sampling says, cell by cell."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vsr.stages.temporal.subpel import fetch_cells, lines_at, phases, unmoved


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(8, 12), (4, 4), (1, 1), (5, 9)])
def test_every_fraction_is_what_torch_samples_there(size: tuple[int, int], parts: int) -> None:
    height, width = size
    planes = torch.rand(2, height, width, generator=torch.Generator().manual_seed(1))
    made = phases(planes, parts)
    assert torch.equal(unmoved(made), planes)
    # Far enough out that sampling sees the edge go on, too.
    wide = F.pad(planes[None], (4, 4, 4, 4), mode="replicate")
    for i in range(parts):
        for j in range(parts):
            x = torch.arange(width) + 4 + j / parts
            y = (torch.arange(height) + 4 + i / parts)[:, None]
            at = torch.stack([
                ((x * 2 + 1) / (width + 8) - 1).expand(height, width),
                ((y * 2 + 1) / (height + 8) - 1).expand(height, width),
            ], 2)[None]  # fmt: skip
            expected = F.grid_sample(wide, at, mode="bicubic", align_corners=False)[0]
            assert torch.allclose(made[:, i, j], expected, atol=1e-5), (i, j)


@pytest.mark.parametrize("parts", [1, 3, 4])
@pytest.mark.parametrize("cell", [2, 4])
def test_each_cell_comes_from_where_its_vector_points(cell: int, parts: int) -> None:
    """To the nearest fraction, and from inside the picture however far the vector goes."""
    chance = torch.Generator().manual_seed(2)
    rows, columns = 5, 7
    planes = torch.rand(2, rows * cell, columns * cell, generator=chance)
    made = phases(planes, parts)
    moves = torch.rand(3, 2, rows, columns, generator=chance) * 20 - 10
    move, lines = moves[1], lines_at(moves, cell, made)[1]
    out = torch.empty_like(planes)
    assert fetch_cells(made, lines, cell, out) is out
    assert torch.equal(out, fetch_cells(made, lines, cell))
    for row in range(rows):
        for column in range(columns):
            x, y = (move[:, row, column] * parts).round().int().tolist()
            x = min(max(column * cell * parts + x, 0), (columns - 1) * cell * parts)
            y = min(max(row * cell * parts + y, 0), (rows - 1) * cell * parts)
            (down, i), (right, j) = divmod(y, parts), divmod(x, parts)
            expected = made[:, i, j, down : down + cell, right : right + cell]
            got = out[:, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
            assert torch.equal(got, expected), (row, column)
