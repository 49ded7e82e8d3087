"""The damage as a whole: a pure function, of the size that was asked, piece by piece the same."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from vsr.errors import UsageError
from vsr.train.degrade.draws import draw
from vsr.train.degrade.pipeline import apply, degrade, resized
from vsr.train.degrade.settings import read_damage


def _clips(count: int = 2, frames: int = 3, side: int = 100) -> torch.Tensor:
    chance = torch.Generator().manual_seed(0)
    return torch.rand(count, frames, 3, side, side + 20, generator=chance)


@pytest.mark.parametrize("per_sample", [True, False])
def test_the_same_in_gives_the_same_out(per_sample: bool) -> None:
    damage = read_damage(changes={"per_sample": per_sample})
    clips = _clips()
    before = clips.clone()
    once = degrade(clips, [5, 6], damage)
    torch.manual_seed(99)  # nothing hangs on PyTorch's own generator
    assert torch.equal(once, degrade(clips, [5, 6], damage))
    assert not torch.equal(once, degrade(clips, [7, 8], damage))
    assert torch.equal(clips, before)
    assert once.shape == (2, 3, 3, 25, 30)
    assert torch.equal(once, (once * 255).round() / 255)
    assert once.min() >= 0
    assert once.max() <= 1


def test_a_clip_does_not_know_its_neighbours() -> None:
    damage, clips = read_damage(), _clips()
    both = degrade(clips, [5, 6], damage)
    assert torch.equal(both[1:], degrade(clips[1:], [6], damage))


def test_a_film_in_pieces_is_the_film_in_one() -> None:
    shares = {name: {"share": 1.0} for name in ("halo", "chroma", "tape")}
    damage = read_damage(changes={"video": shares})
    clips = _clips(1, 6)
    drawn = draw(3, damage, clips=1, frames=6)
    whole = apply(clips, drawn, damage)
    pieces = [apply(clips[:, a:b], drawn.part(a, b), damage) for a, b in ((0, 2), (2, 6))]
    assert torch.equal(torch.cat(pieces, 1), whole)


def test_pictures_that_are_too_small_are_refused() -> None:
    with pytest.raises(UsageError, match="too small"):
        degrade(_clips(1, 1, 24), [0], read_damage())


def test_resize_takes_samples_and_no_means() -> None:
    """Bilinear and bicubic at the centres of the new pixels; area is the mean."""
    x = torch.rand(1, 1, 30, 42, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    picture = x[0, 0].numpy()
    ys, xs = ((np.arange(n) + 0.5) * m / n - 0.5 for n, m in ((11, 30), (16, 42)))
    grid = np.meshgrid(ys, xs, indexing="ij")
    want = scipy.ndimage.map_coordinates(picture, grid, order=1, mode="nearest")
    assert np.abs(resized(x, (11, 16), "bilinear")[0, 0].numpy() - want).max() < 1e-12
    want = _keys(_keys(picture, ys).T, xs).T
    assert np.abs(resized(x, (11, 16), "bicubic")[0, 0].numpy() - want).max() < 1e-12
    want = picture.reshape(10, 3, 14, 3).mean((1, 3))
    assert np.abs(resized(x, (10, 14), "area")[0, 0].numpy() - want).max() < 1e-12


def _keys(rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Cubic convolution along the first axis with a = -0.75, as PyTorch's bicubic has it."""
    result = np.zeros((len(at), *rows.shape[1:]))
    for n, place in enumerate(at):
        for k in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            t, a = abs(place - k), -0.75
            weight = (a + 2) * t**3 - (a + 3) * t**2 + 1
            if t > 1:
                weight = a * (t**3 - 5 * t**2 + 8 * t - 4)
            result[n] += weight * rows[min(max(k, 0), len(rows) - 1)]
    return result
