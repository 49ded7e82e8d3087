"""Promise 2, chroma: what no stage touched comes back exactly; siting is honoured."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vsr.frame import Siting
from vsr.stages.colour import chroma
from vsr.stages.colour.chroma import downsample, upsample

SIZES = (1, 2, 3, 4, 5, 7, 8, 33, 64, 65)


@pytest.mark.parametrize("siting", Siting)
@pytest.mark.parametrize("sub", [(1, 0), (1, 1), (0, 1), (2, 0), (2, 2)])
def test_down_of_up_is_the_identity(siting: Siting, sub: tuple[int, int]) -> None:
    torch.manual_seed(0)
    for width, height in itertools.product(SIZES, SIZES):
        if siting.value[1] == 1.0 and sub[1] and height % 2 ** sub[1]:
            continue  # its last chroma row lies below the picture: nothing can bring it back
        c = torch.rand(2, -(-height >> sub[1]), -(-width >> sub[0]), dtype=torch.float64)
        full = upsample(c, width=width, height=height, sub=sub, siting=siting)
        assert full.shape == (2, height, width)
        back = downsample(full, sub=sub, siting=siting)
        assert torch.allclose(back, c, rtol=0, atol=1e-9), (width, height)


@pytest.mark.parametrize("siting", Siting)
def test_samples_land_where_the_siting_says(siting: Siting) -> None:
    """A ramp over the luma grid, sampled at the chroma positions, becomes that ramp again."""
    x, y = siting.value
    column = 2 * torch.arange(32, dtype=torch.float64) + x
    row = 2 * torch.arange(32, dtype=torch.float64) + y
    c = (column[None, :] + 3 * row[:, None])[None]
    full = upsample(c, width=64, height=64, sub=(1, 1), siting=siting)[0, 8:-8, 8:-8]
    grid = torch.arange(8, 56, dtype=torch.float64)
    want = grid[None, :] + 3 * grid[:, None]
    assert (full - want).abs().max() < 0.16  # 4 % of a step; a wrong siting is off by 0.5 or more
    assert (downsample(want[None], sub=(1, 1), siting=siting)[0, 6:-6, 6:-6]
            - c[0, 10:-10, 10:-10]).abs().max() < 1e-6  # fmt: skip


def _keys(t: float) -> float:
    a, t = -0.6, abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def _dual(phase: float, half: int) -> NDArray[np.float64]:
    """The half-band low-pass, symmetric about `phase`, that inverts the interpolation.

    Least squares to an ideal half-band response under the linear conditions
    sum_n up[n] * down[n - 2k] = (k == 0); solved in float64 in the null space.
    """
    up = {n: _keys((n - phase) / 2) for n in range(-9, 10)}
    first = 1 if phase else 0
    free = range(first, half + 1)

    def spread(i: int) -> dict[int, float]:
        return {i: 1.0, (1 - i if phase else -i): 1.0}

    rows, wanted = [], []
    for k in range(-12, 13):
        rows.append([sum(u * spread(i).get(n - 2 * k, 0) for n, u in up.items()) for i in free])
        wanted.append(float(k == 0))
    conditions, right = np.array(rows), np.array(wanted)
    w = np.linspace(0, np.pi, 400)
    response = np.stack(
        [sum(v * np.cos(w * (n - phase)) for n, v in spread(i).items()) for i in free], 1
    )
    weight = np.where(w > 0.6 * np.pi, 2.0, np.where(w < 0.4 * np.pi, 1.0, 0.2))[:, None]
    ideal = (w < 0.5 * np.pi).astype(float)[:, None]
    _, singular, vt = np.linalg.svd(conditions)
    start = np.linalg.pinv(conditions) @ right
    assert np.abs(conditions @ start - right).max() < 1e-9
    null = vt[int((singular > 1e-9).sum()) :].T
    a, b = response * weight, (ideal - response @ start[:, None]) * weight
    step, *_ = np.linalg.lstsq(a @ null, b, rcond=None)
    solution: NDArray[np.float64] = start + (null @ step)[:, 0]
    return solution


def test_the_constants_are_the_solution_that_the_docstring_describes() -> None:
    assert np.allclose(chroma._DUAL_CENTRED, _dual(0.5, 6), atol=1e-6)
    assert np.allclose(chroma._DUAL_COSITED, _dual(0.0, 6), atol=1e-6)
    quarter = [_keys(t) for t in (1.75, 0.75, 0.25, 1.25)]
    assert np.allclose(chroma._QUARTER, quarter)
    assert np.allclose(chroma._HALF, [_keys(t) for t in (1.5, 0.5, 0.5, 1.5)])
