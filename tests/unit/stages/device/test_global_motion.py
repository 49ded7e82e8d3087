"""A picture that has moved as a whole is found to have, and by how much."""

from __future__ import annotations

import pytest
import torch

from tests.support.shots import noisy, panned
from vsr.stages.device.global_motion import global_motion, shifted


@pytest.mark.parametrize("step", [(1, 0), (-3, 0), (0, 2), (7, -5), (-24, 11)])
@pytest.mark.parametrize("size", [(96, 160), (75, 131)])
@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_a_move_is_found(step: tuple[int, int], size: tuple[int, int], noise: float) -> None:
    """A window that goes to the right shows a picture that goes to the left."""
    before, here = noisy(panned(2, size, step, 1)[0], noise)
    assert global_motion(here, before) == (-step[0], -step[1])
    again = shifted(before, -step[0], -step[1])
    inner = (..., slice(30, -30), slice(30, -30))
    assert float((again - here)[inner].abs().mean()) * 255 < 2 * noise + 0.01


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (3, 200)])
def test_where_nothing_is_to_be_seen_there_is_no_move(size: tuple[int, int]) -> None:
    grey = torch.full((1, 3, *size), 0.5)
    assert global_motion(grey, grey) == (0, 0)


def test_what_stands_still_has_not_moved() -> None:
    one, other = noisy(panned(2, (96, 160), (0, 0), 1)[0], 2.0)
    assert global_motion(one, other) == (0, 0)
