"""Promise: flicker is measured where nothing moves, and only there."""

from __future__ import annotations

import math

import pytest
import torch

from tests.stages.shots import noisy, panned
from vsr.stages.unrest import unrest


@pytest.mark.parametrize("sigma", [0.0, 1.0, 6.0])
def test_the_mean_change_of_noise_is_found(sigma: float) -> None:
    """Of the difference of two normal noises: 2 sigma / sqrt(pi)."""
    sources, still = panned(2, (45, 70), (0, 0), 3)
    found = unrest(*noisy(sources, 1.0), *noisy(still, sigma))
    assert float(found.drawn) == pytest.approx(2 * sigma / math.sqrt(math.pi), rel=0.05)
    assert float(found.source) == pytest.approx(2 / math.sqrt(math.pi), rel=0.15)


def test_what_moves_is_not_looked_at() -> None:
    sources, still = panned(2, (48, 64), (0, 0), 2, seed=1)
    for n in (0, 1):
        sources[n], still[n] = sources[n].clone(), still[n].clone()
    sources[1][:, :, :24] = sources[1][:, :, :24].flip(3)
    still[1][:, :, :48] = still[1][:, :, :48].flip(3)
    found = unrest(*sources, *noisy(still, 2.0))
    assert float(found.drawn) == pytest.approx(4 / math.sqrt(math.pi), rel=0.1)
    gone = unrest(sources[0], 1 - sources[0].round(), *still)
    assert float(gone.still) < 0.1
    assert torch.isfinite(gone.drawn)
