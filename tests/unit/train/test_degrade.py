"""The damage as a whole: a pure function, of the size that was asked, piece by piece the same."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from vsr.errors import UsageError
from vsr.train.degrade.draws import draw
from vsr.train.degrade.pipeline import apply, apply_film, degrade, resized
from vsr.train.degrade.settings import read_damage


def _clips(count: int = 2, frames: int = 3, side: int = 100) -> torch.Tensor:
    chance = torch.Generator().manual_seed(0)
    return torch.rand(count, frames, 3, side, side + 20, generator=chance)


def _runs(film: torch.Tensor, length: int) -> list[torch.Tensor]:
    return [film[n : n + length] for n in range(0, len(film), length)]


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


_CODECS = ("x264", "x265", "mpeg2", "mpeg4", "vp9")
_ALL = {name: {"share": 1.0} for name in ("halo", "chroma", "interlace", "tape")}


@pytest.mark.parametrize(
    "video",
    [
        {},  # noise, kernels and JPEG, whose values walk
        {"interlace": {"share": 1.0}},
        {"tape": {"share": 1.0}},
        *({"codec": {"share": 1.0, "kinds": {codec: 1.0}}} for codec in _CODECS),
        {**_ALL, "codec": {"share": 1.0, "kinds": {"x264": 1.0}}},
    ],
    ids=["stages", "interlace", "tape", *_CODECS, "all"],
)
def test_a_film_in_pieces_is_the_film_in_one(video: dict[str, object]) -> None:
    damage = read_damage(changes={"scale": 2, "video": video})
    film = _clips(1, 7)[0]
    drawn = draw(3, damage, clips=1, frames=len(film))
    whole = apply(film[None], drawn, damage)[0]
    for length in (1, 3, 7):
        found = torch.cat(list(apply_film(_runs(film, length), drawn, damage)))
        assert torch.equal(found, whole), length


def test_a_film_longer_than_its_draw_goes_on_walking() -> None:
    """Back the way that the values came; each frame has noise of its own all the same."""
    damage = read_damage(changes={"first": {"noise": {"gaussian": 1.0, "sigma": [20.0, 30.0]}}})
    drawn = draw(1, damage, clips=1, frames=4)
    want = drawn.first.strength[:, [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]]
    assert np.array_equal(drawn.part(0, 10).first.strength, want)
    assert np.array_equal(drawn.part(7, 9).first.strength, want[:, 7:9])
    still = _clips(1, 1)[0].expand(10, -1, -1, -1)
    found = torch.cat(list(apply_film(_runs(still, 3), drawn, damage)))
    assert len({frame.numpy().tobytes() for frame in found}) == 10


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
