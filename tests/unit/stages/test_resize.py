"""Promise: resizing is the textbook's, widened where it shrinks, and keeps the geometry."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vsr.stages.resize import resize


def _keys(t: float) -> float:
    t = abs(t)
    if t < 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def _lanczos(t: float) -> float:
    return float(np.sinc(t) * np.sinc(t / 3)) if abs(t) < 3 else 0.0


def _reference(
    x: NDArray[np.float64], size: int, scale: float, kernel: Callable[[float], float]
) -> NDArray[np.float64]:
    """One line, one output sample at a time, in float64; the edge repeats."""
    shrink, count = min(scale, 1.0), len(x)
    out = np.empty(size)
    for i in range(size):
        centre = (i + 0.5) / scale - 0.5
        reach = range(math.floor(centre - 3 / shrink) - 1, math.ceil(centre + 3 / shrink) + 2)
        weights = np.array([kernel((j - centre) * shrink) for j in reach])
        samples = np.array([x[min(max(j, 0), count - 1)] for j in reach])
        out[i] = (weights * samples).sum() / weights.sum()
    return out


@pytest.mark.parametrize(("kernel", "function"), [("bicubic", _keys), ("lanczos", _lanczos)])
@pytest.mark.parametrize("scale", [4.0, 2.0, 1.5, 0.75, 0.5, 1 / 3])
def test_against_the_textbook_in_float64(
    kernel: str, function: Callable[[float], float], scale: float
) -> None:
    rng = np.random.default_rng(1)
    line = rng.random(48)
    size = math.ceil(48 * scale - 1e-9)
    want = _reference(line, size, scale, function)
    x = torch.from_numpy(line).reshape(1, 1, 1, 48).expand(1, 1, 5, 48)
    across = resize(x, width=size, height=5, scale=(scale, 1.0), kernel=kernel)
    down = resize(x.mT, width=5, height=size, scale=(1.0, scale), kernel=kernel)
    # PyTorch drops the taps outside the picture where the reference repeats the edge.
    inside = slice(math.ceil(3 * max(scale, 1)), -math.ceil(3 * max(scale, 1)))
    for got in (across[0, 0, 2], down[0, 0, :, 2]):
        assert np.abs(got.numpy() - want)[inside].max() < 1e-6


@pytest.mark.parametrize("kernel", ["nearest", "bicubic", "lanczos"])
@pytest.mark.parametrize(("size", "scale"), [((96, 64), 2.0), ((49, 33), 1.01), ((20, 14), 0.4)])
def test_flat_stays_flat(kernel: str, size: tuple[int, int], scale: float) -> None:
    x = torch.full((1, 3, 32, 48), 0.7)
    out = resize(x, width=size[0], height=size[1], scale=(scale, scale), kernel=kernel)
    assert out.shape == (1, 3, size[1], size[0])
    assert torch.allclose(out, torch.tensor(0.7), atol=1e-6)


@pytest.mark.parametrize("kernel", ["nearest", "bicubic", "lanczos"])
def test_an_extra_column_repeats_the_edge_and_moves_nothing(kernel: str) -> None:
    """Made legal without distorting: 31 columns at x1.5 are 46.5, written as 48."""
    torch.manual_seed(0)
    x = torch.rand(1, 3, 8, 31)
    wide = resize(x, width=48, height=12, scale=(1.5, 1.5), kernel=kernel)
    longer = torch.cat((x, x[..., -1:].expand(1, 3, 8, 9)), 3)  # 40 columns: 60 exactly
    want = resize(longer, width=60, height=12, scale=(1.5, 1.5), kernel=kernel)[..., :48]
    # Above and below, PyTorch's bicubic weighs what is inside instead of repeating the edge.
    assert torch.allclose(wide[:, :, 3:-3, 4:], want[:, :, 3:-3, 4:], atol=2e-6)


def test_nearest_takes_the_pixel_that_it_lies_in() -> None:
    x = torch.arange(6.0).reshape(1, 1, 1, 6)
    got = resize(x, width=9, height=1, scale=(1.5, 1.0), kernel="nearest")
    assert got[0, 0, 0].tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 5]


def test_the_same_size_is_the_same_picture() -> None:
    x = torch.rand(1, 3, 4, 4)
    assert resize(x, width=4, height=4, scale=(1.0, 1.0), kernel="bicubic") is x
