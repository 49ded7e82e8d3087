"""Promises: cuts, flashes and fades are told apart, and motion is none of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support import judge
from tests.support.shots import noisy, panned
from vsr.stages.colour.convert import luma
from vsr.stages.temporal.shot_cuts import differ, same_picture, thumbnail, unlike


def thumbnails(sources: list[Tensor]) -> list[Tensor]:
    return [thumbnail(luma(x)) for x in sources]


def shot(count: int, seed: int, step: tuple[int, int] = (4, 0)) -> list[Tensor]:
    return noisy(panned(count, (96, 160), step, 1, seed)[0], 2.0, seed)


def cuts(sources: list[Tensor]) -> list[int]:
    """Frames that differ from the one before them."""
    pairs = pairwise(thumbnails(sources))
    return [n + 1 for n, (before, now) in enumerate(pairs) if differ(before, now)]


def test_the_cuts_of_a_film_are_found(bunny: Path) -> None:
    """In samples/bunny.mp4, where the mean change of the decoded pixels jumps."""
    film = torch.from_numpy(judge.rgb(bunny, size=(320, 180))).permute(0, 3, 1, 2).float() / 255
    change = film.diff(dim=0).abs().mean((1, 2, 3)) * 255
    jumps = [n + 1 for n, much in enumerate(change.tolist()) if much > 25]
    assert cuts([film[n : n + 1] for n in range(len(film))]) == jumps


def test_a_cut_is_found_and_motion_is_none() -> None:
    assert cuts([*shot(6, 1), *shot(6, 2, (-7, 3))]) == [6]


@pytest.mark.parametrize("bar", [0, 24])
def test_bars_are_nothing_in_common(bar: int) -> None:
    one, other = shot(1, 3)[0], shot(1, 4)[0]
    for picture in (one, other):
        picture[:, :, :bar] = picture[:, :, 96 - bar :] = 0.0
    assert differ(*thumbnails([one, other]))
    assert not differ(*thumbnails(noisy([one, one], 4.0)))


@pytest.mark.parametrize("long", [1, 2])
def test_a_flash_differs_from_what_is_around_it(long: int) -> None:
    frames = shot(10, 5)
    for n in range(4, 4 + long):
        frames[n] = 1 - (1 - frames[n]) * 0.3
    assert cuts(frames) == [4, 4 + long]
    before, after = thumbnails([frames[3], frames[4 + long]])
    assert not differ(before, after)


@pytest.mark.parametrize("way", [1, -1])
def test_a_fade_is_the_same_picture(way: int) -> None:
    frames = shot(14, 6, (0, 0))
    for n in range(3, 14):
        frames[n] = frames[n] * (1 - (n - 3) / 12)
    small = thumbnails(frames[::way])
    assert all(same_picture(one, other) for one, other in pairwise(small))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 16), (90, 41)])
def test_any_size_and_nothing_to_see(size: tuple[int, int]) -> None:
    black = thumbnail(torch.zeros(1, 1, *size))
    assert unlike(black, black) == 0
    assert not differ(black, black)
    assert differ(black, black + 0.5)
