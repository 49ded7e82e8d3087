"""Where the content of one source picture is in another.

Found on the source's luma, in which nothing was invented, for cells of 4 x 4 source pixels by the
windows around them: a full search at an eighth of the size; from there, with the vectors of the
cells beside it and standing still as further candidates, at a quarter, half and full size; and the
part of a pixel by a step of Lucas and Kanade (1981), held back where there is less gradient than
noise. A cell keeps a vector of its own only where that is clearly better than none and than the
motion of the camera, which all cells are asked for; so noise moves nothing. Everything is tensor
arithmetic on the device, without a loop over cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.stages.colour.convert import luma
from vsr.stages.temporal.subpel import QUARTERS, fetch_cells, lines_at, phases, unmoved

CELL = 4  # source pixels
REACH = 4  # of the full search, in pixels of an eighth of the size: 32 of the source
_WINDOW = 4  # samples across a window, at half size each pixel, at full size each other
_BETTER = 0.5  # share of the usual mismatch by which another vector must be better
_FAR = 0.3  # of that, for each pixel away from what was guessed
_USUAL = 0.5  # of the cells match as well as noise lets them, at least
_FIRM = 0.5  # of the usual mismatch: gradient, both squared, up to which a step is held back
_LEAST = (0.5 / 255) ** 2
_CODED = 0.6 / 255  # by which a vector must match better where there is no noise: codecs do that


@dataclass(frozen=True, kw_only=True)
class LumaPyramid:
    """A source picture, prepared for search. Sizes are rounded up to whole cells."""

    quarters: Tensor  # (1, 4, 4, h, w) float, 0..1: luma at all quarters of a pixel
    grid: tuple[int, int]  # rows and columns of cells
    eighth: Tensor  # (1, 1, h / 8, w / 8), rounded up
    quarter: Tensor  # (h / 4 * w / 4, 16): the window that belongs to each pixel, which is a cell
    half: Tensor  # (h / 2 * w / 2, 16): the same
    full: Tensor  # (h * w, 16): the same

    @property
    def luma(self) -> Tensor:
        """(1, 1, h, w)."""
        return unmoved(self.quarters)[None]


def box(x: Tensor) -> Tensor:
    """Map (..., h + 2, w + 2) -> (..., h, w): mean of 3 x 3; a tenth of a pooling's time on a
    CPU.
    """
    x = x[..., :-2] + x[..., 1:-1] + x[..., 2:]
    return (x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]).mul_(1 / 9)


def around(x: Tensor) -> Tensor:
    """Map (K, h, w) or (1, K, h, w) -> the same: mean of 3 x 3; beyond the edge, the edge goes
    on.
    """
    return box(F.pad(x, (1, 1, 1, 1), mode="replicate"))


def celled(x: Tensor) -> Tensor:
    """Map (..., h, w) -> (..., h / 4, w / 4): the mean of each cell; a third of a pooling's
    time.
    """
    x = x[..., ::4, :] + x[..., 1::4, :] + x[..., 2::4, :] + x[..., 3::4, :]
    return (x[..., ::4] + x[..., 1::4] + x[..., 2::4] + x[..., 3::4]) * (1 / CELL**2)


def luma_pyramid(rgb: Tensor) -> LumaPyramid:
    """Return (1, 3, h, w) RGB, nominally 0..1."""
    y = F.pad(luma(rgb), (0, -rgb.shape[3] % CELL, 0, -rgb.shape[2] % CELL), mode="replicate")
    half = F.avg_pool2d(y, 2)
    quarter = F.avg_pool2d(half, 2)
    return LumaPyramid(
        quarters=phases(y[0], QUARTERS),
        grid=(quarter.shape[2], quarter.shape[3]),
        eighth=F.avg_pool2d(quarter, 2, ceil_mode=True),
        quarter=_windows(quarter, 1),
        half=_windows(half, 1),
        full=_windows(y, 2),
    )


def _windows(plane: Tensor, apart: int) -> Tensor:
    """Map (1, 1, h, w) -> (h * w, 16): 4 x 4 samples around the cell whose first pixel it is.

    At full size a window of 8 x 8 around the cell of 4 x 4, every other pixel of it; at half
    size 4 x 4 around 2 x 2.
    """
    height, width = plane.shape[2:]
    before, after = apart, apart * (_WINDOW - 2)
    padded = F.pad(plane, (before, after, before, after), mode="replicate")[0, 0]
    # Row by row, then the rows below one another: half the time of all at once.
    columns_beside = [padded[:, apart * n : apart * n + width] for n in range(_WINDOW)]
    lines = torch.stack(columns_beside, 2)
    below = [lines[apart * n : apart * n + height] for n in range(_WINDOW)]
    return torch.stack(below, 2).view(height * width, _WINDOW**2)


def motion(current: LumaPyramid, other: LumaPyramid, guess: Tensor | None = None) -> Tensor:
    """Return (1, 2, rows, columns) float: the content of cell c of `here` is at c + (x, y) in
    `there`.

    In source pixels. Every cell is moved to a place inside the picture. `guess`: the same, known
    to about a pixel; without one everything within REACH is searched.
    """
    rows, columns = current.grid
    if guess is None:
        vectors = _search(current.eighth, other.eighth)
        vectors = vectors.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :rows, :columns] * 2
        vectors = _refine(current.quarter, other.quarter, vectors, current.grid, 1) * 2
        vectors = _refine(current.half, other.half, vectors, current.grid, 2) * 2
    else:
        vectors = guess[0].round().long()
    vectors = _refine(current.full, other.full, vectors, current.grid, 4)
    own, measured, sure = _fine(current, other, vectors.float()[None])
    return _choose(current, other, _camera(measured, sure), own)


def chain(first: Tensor, second: Tensor) -> Tensor:
    """Chain motion from a to b and from b to c: (1, 2, rows, columns) -> from a to c, about."""
    _, _, rows, columns = first.shape
    x = (first[0, 0] / CELL).round().long() + torch.arange(columns, device=first.device)
    y = (first[0, 1] / CELL).round().long() + torch.arange(rows, device=first.device)[:, None]
    at = y.clamp_(0, rows - 1) * columns + x.clamp_(0, columns - 1)
    return first + second.flatten(2)[:, :, at]


def _search(current: Tensor, other: Tensor) -> Tensor:
    """Return (2, rows, columns) long: the best of all vectors up to REACH, in its pixels."""
    rows, columns = current.shape[2:]
    side = 2 * REACH + 1
    padded = F.pad(other, (REACH, REACH, REACH, REACH), mode="replicate")
    wide = padded.shape[3]
    shifted = padded.as_strided((side, side, rows, columns), (wide, 1, wide, 1))
    cost = (shifted - current).abs_().reshape(1, side * side, rows, columns)
    cost = around(cost)
    steps = torch.arange(-REACH, REACH + 1, device=current.device)
    y, x = (axis.reshape(-1) for axis in torch.meshgrid(steps, steps, indexing="ij"))
    far = (x.abs() + y.abs()) * _FAR + (x.abs() + y.abs() > 0)
    best = (cost[0] + far[:, None, None] * _margin(cost[0].amin(0))).min(0).indices
    return torch.stack([x[best], y[best]])


def _refine(
    current: Tensor, other: Tensor, guess: Tensor, grid: tuple[int, int], cell: int
) -> Tensor:
    """Return (2, rows, columns) long: the best of what is near `guess`, next to it, or no
    motion.
    """
    rows, columns = grid
    height, width = rows * cell, columns * cell
    steps = torch.arange(-1, 2, device=guess.device)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    near = guess + torch.stack([x.reshape(-1), y.reshape(-1)], 1)[:, :, None, None]
    edged = F.pad(guess.float()[None], (1, 1, 1, 1), mode="replicate")[0].long()
    candidates = torch.stack([
        edged[:, 1:-1, 2:], edged[:, 1:-1, :-2], edged[:, 2:, 1:-1], edged[:, :-2, 1:-1],
        torch.zeros_like(guess),
    ])  # fmt: skip
    tried = torch.cat([near, candidates])  # (14, 2, rows, columns)
    left = torch.arange(columns, device=guess.device) * cell
    top = torch.arange(rows, device=guess.device)[:, None] * cell
    at_x = (tried[:, 0] + left).clamp_(0, width - cell)
    at_y = (tried[:, 1] + top).clamp_(0, height - cell)
    windows = other.index_select(0, (at_y * width + at_x).reshape(-1))
    own = current.index_select(0, (top * width + left).reshape(-1))
    cost = (windows.view(len(tried), -1, own.shape[1]) - own).abs_().mean(2)
    cost = cost.view(len(tried), rows, columns)
    x, y = at_x - left, at_y - top
    away = ((x - guess[0]).abs_() + (y - guess[1]).abs_()).clamp_(max=3)
    cost += (away * _FAR + ((x | y) != 0)) * _margin(cost.amin(0))
    best = cost.min(0).indices[None]
    return torch.cat([x.gather(0, best), y.gather(0, best)])


def _margin(cost: Tensor) -> Tensor:
    """Return () float: by how much one vector must match better than another to be preferred.

    `cost`: of the best vectors; what noise leaves of it is found in the better half of the cells.
    """
    cost = cost.flatten()
    return _BETTER * cost.kthvalue(max(round(_USUAL * len(cost)), 1)).values


def _fine(current: LumaPyramid, other: LumaPyramid, move: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (1, 2, rows, columns) float: `move` with its part of a pixel, as far as noise lets it
    be
    seen; the same as it is measured; (1, rows, columns): how sure that is.

    One step of Lucas and Kanade: more than one gained nothing (measured).
    """
    moved = fetch_cells(other.quarters, lines_at(move, CELL, other.quarters)[0], CELL)[None]
    # The gradient of both, so that the step is right for the middle between them.
    both = F.pad((current.luma + moved) / 2, (1, 1, 1, 1), mode="replicate")
    gx = (both[:, :, 1:-1, 2:] - both[:, :, 1:-1, :-2]) / 2
    gy = (both[:, :, 2:, 1:-1] - both[:, :, :-2, 1:-1]) / 2
    rest = current.luma - moved
    products = torch.cat([gx * gx, gy * gy, gx * gy, gx * rest, gy * rest, rest * rest], 1)
    # Of windows of two cells, that overlap by one.
    half = celled(F.pad(products, (2, 2, 2, 2), mode="replicate"))
    half = half[..., 1:] + half[..., :-1]
    xx, yy, xy, xt, yt, tt = ((half[..., 1:, :] + half[..., :-1, :]) / 4).unbind(1)
    usual = tt.flatten().kthvalue(max(round(_USUAL * tt.numel()), 1)).values
    firm = _FIRM * usual + _LEAST
    own = _step(xx + firm, yy + firm, xy, xt, yt)
    # For the camera less, since the noise of many cells averages out.
    free = _step(xx + firm / 4, yy + firm / 4, xy, xt, yt)
    least = torch.minimum(xx, yy)
    return move + own, move + free, least / (least + firm)


def _step(xx: Tensor, yy: Tensor, xy: Tensor, xt: Tensor, yt: Tensor) -> Tensor:
    """Return (1, 2, rows, columns): the step that explains the rest best, a pixel at most."""
    below = (xx * yy - xy * xy).clamp(min=_LEAST**2)
    return torch.stack([(yy * xt - xy * yt) / below, (xx * yt - xy * xt) / below], 1).clamp_(-1, 1)


def _camera(move: Tensor, sure: Tensor) -> Tensor:
    """Return (1, 2, rows, columns): the affine motion that most cells agree with; `sure`: their
    weight.

    Least squares, again and again with less weight on those that disagree (Holland and Welsch
    1977), in closed form, so that a device need not be waited for.
    """
    _, _, rows, columns = move.shape
    x = (torch.arange(columns, device=move.device) - (columns - 1) / 2) / columns
    y = ((torch.arange(rows, device=move.device) - (rows - 1) / 2) / rows)[:, None]
    ones = torch.ones(rows, columns, device=move.device)
    basis = torch.stack([ones, ones * x, ones * y])  # (3, rows, columns)
    fit = move.flatten(2).median(2).values[:, :, None, None].expand_as(move)
    for wide in (2.0, 1.0, 0.5, 0.25):
        apart = (move - fit).square().sum(1)
        trust = sure / (1 + apart / wide**2).square() + 1e-6
        left = torch.einsum("ahw,bhw->ab", basis * trust, basis)
        left += 1e-4 * left[0, 0] * torch.eye(3, device=move.device)
        right = torch.einsum("ahw,chw->ac", basis * trust, move[0])
        fit = torch.einsum("ahw,ac->chw", basis, _inverse(left) @ right)[None]
    return fit


def _inverse(m: Tensor) -> Tensor:
    """Invert a symmetric (3, 3) matrix, by cofactors."""
    rows = torch.stack([torch.linalg.cross(m[(n + 1) % 3], m[(n + 2) % 3]) for n in range(3)])
    return rows / (m[0] * rows[0]).sum()


def _choose(current: LumaPyramid, other: LumaPyramid, camera: Tensor, own: Tensor) -> Tensor:
    """Return (1, 2, rows, columns): for each cell none, or the camera's, or its own motion.

    Its own has been fitted to the noise, too, or to what a codec changed, so it has to be better
    by more.
    """
    camera, own = inside(camera), inside(own)
    moves = torch.stack([torch.zeros_like(own), camera, own], 1)
    lines = lines_at(torch.cat([camera, own]), CELL, other.quarters)
    moved = [fetch_cells(other.quarters, line, CELL) for line in lines]
    mismatch = torch.cat([other.luma[0], *moved])[None].sub_(current.luma).abs_()
    # Of the cell and the eight around it.
    cost = around(celled(mismatch))[0]
    cost[2] += _margin(cost.amin(0)).clamp_(min=_CODED)
    best = cost.min(0).indices[None, None, None].expand(1, 1, 2, -1, -1)
    return moves.gather(1, best)[:, 0]


def inside(move: Tensor) -> Tensor:
    """Return (K, 2, rows, columns): shortened so that every cell stays inside the picture."""
    rows, columns = move.shape[2:]
    left = torch.arange(columns, device=move.device) * CELL
    top = torch.arange(rows, device=move.device)[:, None] * CELL
    x = torch.minimum(torch.maximum(move[:, 0], -left), (columns - 1) * CELL - left)
    y = torch.minimum(torch.maximum(move[:, 1], -top), (rows - 1) * CELL - top)
    return torch.stack([x, y], 1)
