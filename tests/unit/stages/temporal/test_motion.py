"""Promises: known motion is found to a fraction of a pixel, and noise does not move anything."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.shots import noisy, panned, texture
from vsr.stages.temporal.motion import CELL, chain, luma_pyramid, motion
from vsr.stages.temporal.subpel import QUARTERS, fetch_cells, lines_at, phases


def found(here: Tensor, there: Tensor) -> Tensor:
    """(2, rows, columns), without the cells at the sides, which may have gone out of sight."""
    return motion(luma_pyramid(here), luma_pyramid(there))[0, :, 4:-4, 4:-4]


@pytest.mark.parametrize(
    "step", [(0, 0), (4, 0), (-8, 4), (1, 3), (-6, -5), (30, -17), (2, 50), (80, 0)]
)
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_pan_is_found(step: tuple[int, int], noise: float) -> None:
    """In steps of a quarter pixel, as drawn pixels of four times the size; up to 20 pixels."""
    sources, _ = panned(2, (96, 128), step, 4, seed=1)
    here, there = noisy(sources, noise)
    # What the window moves by, its content moves back.
    expected = torch.tensor(step)[:, None, None] / -4
    off = (found(here, there) - expected).abs().amax(0)
    within = (off < 0.35).float().mean()
    print(f"{step}, noise {noise}: {off.median():.3f} off in the middle, {within:.0%} within 0.35")
    assert off.median() < 0.2
    assert within > 0.9


@pytest.mark.parametrize("noise", [1.0, 5.0, 12.0])
def test_noise_moves_nothing(noise: float) -> None:
    still = texture(96, 128)
    moves = found(*noisy([still, still], noise))
    assert (moves.abs().amax(0) < 0.1).float().mean() > 0.97


def test_what_a_codec_changes_moves_nothing() -> None:
    """Most blocks of a still picture are skipped, some are coded a little differently."""
    still = texture(96, 128, seed=7)
    chance = torch.Generator().manual_seed(8)
    changed = torch.rand(1, 1, 12, 16, generator=chance) < 0.2
    waves = torch.randn(1, 1, 24, 32, generator=chance).repeat_interleave(4, 2)
    change = waves.repeat_interleave(4, 3) * F.interpolate(changed.float(), scale_factor=8.0)
    moves = found(still, still + change * 1.5 / 255)
    assert (moves.abs().amax(0) < 0.1).float().mean() > 0.97


def test_a_zoom_is_found() -> None:
    """By 3 % about the middle: up to 2 pixels at the sides."""
    here = texture(96, 128, seed=2, rough=4)
    y, x = torch.meshgrid(torch.arange(96) - 47.5, torch.arange(128) - 63.5, indexing="ij")
    at = torch.stack([x / 1.03 / 64, y / 1.03 / 48], 2)[None]
    there = F.grid_sample(here, at, mode="bicubic", padding_mode="border", align_corners=False)
    centre_x = torch.arange(32) * CELL + 1.5 - 63.5
    centre_y = torch.arange(24)[:, None] * CELL + 1.5 - 47.5
    wanted = torch.stack([(centre_x * 0.03).expand(24, 32), (centre_y * 0.03).expand(24, 32)])
    off = (found(here, there) - wanted[:, 4:-4, 4:-4]).abs().amax(0)
    assert off.median() < 0.1
    assert (off < 0.3).float().mean() > 0.9


def test_an_object_has_its_own_motion() -> None:
    """32 pixels across, over a still picture."""
    back, front = texture(96, 128, seed=3), texture(32, 32, seed=4)
    here, there = back.clone(), back.clone()
    here[:, :, 32:64, 40:72], there[:, :, 36:68, 52:84] = front, front
    moves = motion(luma_pyramid(here), luma_pyramid(there))[0]
    inside = moves[:, 9:15, 11:17]  # the middle
    off = (inside - torch.tensor([12.0, 4.0])[:, None, None]).abs().amax(0)
    assert (off < 0.3).float().mean() > 0.4  # at its sides, windows see both
    outside = moves[:, :, 24:]
    assert (outside.abs().amax(0) < 0.1).float().mean() > 0.95


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 4), (9, 30), (45, 61)])
def test_any_size(size: tuple[int, int]) -> None:
    """A held picture, however small; cells at the side are filled up."""
    picture = texture(*size)
    moves = motion(luma_pyramid(picture), luma_pyramid(picture))
    assert moves.shape == (1, 2, -(-size[0] // CELL), -(-size[1] // CELL))
    assert moves.abs().max() == 0


def test_every_cell_stays_inside() -> None:
    sources, _ = panned(2, (37, 50), (40, -40), 4, seed=5)
    moves = motion(luma_pyramid(sources[0]), luma_pyramid(sources[1]))[0]
    rows, columns = moves.shape[1:]
    x = moves[0] + torch.arange(columns) * CELL
    y = moves[1] + torch.arange(rows)[:, None] * CELL
    assert x.min() >= 0
    assert x.max() <= (columns - 1) * CELL
    assert y.min() >= 0
    assert y.max() <= (rows - 1) * CELL


def test_what_is_fetched_is_content_and_chained_adds() -> None:
    sources, _ = panned(3, (64, 96), (-12, 8), 4, seed=6)
    first, second = (motion(luma_pyramid(sources[n]), luma_pyramid(sources[n + 1])) for n in (0, 1))
    inner = (..., slice(12, -12), slice(12, -12))
    for n, move, most in ((1, first, 0.5), (2, chain(first, second), 1.0)):
        laid_out = phases(sources[n][0], QUARTERS)
        brought = fetch_cells(laid_out, lines_at(move, CELL, laid_out)[0], CELL)
        assert (brought - sources[0][0])[inner].abs().mean() * 255 < most
