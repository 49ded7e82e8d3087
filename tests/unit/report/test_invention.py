"""Promises: what is invented is found where it is; a classical enlargement invents nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.support.shots import texture
from vsr.report.invention import heat, invention
from vsr.stages.consistency import classical_enlargement, enlarged, reduced

SCALE = (4.0, 4.0)
LARGE, SMALL = (160, 96), (40, 24)


def source() -> Tensor:
    return reduced(texture(LARGE[1], LARGE[0])[:, :1], SMALL, SCALE)


def rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


def test_the_consistent_enlargement_becomes_the_source_again() -> None:
    small = source()
    plain = rms(reduced(enlarged(small, LARGE, SCALE), SMALL, SCALE) - small)
    found = rms(reduced(classical_enlargement(small, LARGE, SCALE), SMALL, SCALE) - small)
    assert found < plain / 5


def test_what_was_added_is_found_where_it_was_added() -> None:
    small = source()
    pattern = torch.ones(1, 1, 96, 160)
    pattern[..., ::2] = -1
    result = classical_enlargement(small, LARGE, SCALE)
    result[..., 100:] += 0.05 * pattern[..., 100:]
    found = invention(small, result, SCALE)
    assert found.rms.shape == (96, 160)
    there, elsewhere = found.rms[:, 110:150], found.rms[:, :80]
    assert abs(float(there.mean()) - 0.05) < 0.01
    assert float(elsewhere.max()) < 0.005
    assert (
        invention(small, classical_enlargement(small, LARGE, SCALE), SCALE).share
        < 0.001
        < found.share
    )


def test_what_the_source_says_is_not_invented() -> None:
    """Other light, and blur: what the source would show as well is no invention."""
    small = source()
    found = invention(small, classical_enlargement(small, LARGE, SCALE) + 0.1, SCALE)
    assert found.share < 0.001


def test_the_map_is_clear_where_nothing_is_invented_and_opaque_where_much_is() -> None:
    small = source()
    result = classical_enlargement(small, LARGE, SCALE)
    result[..., 100::2] += 0.3
    result[..., 101::2] -= 0.3
    drawn = heat(invention(small, result, SCALE).rms)
    assert drawn.dtype == torch.uint8
    assert drawn.shape == (24, 40, 4)
    assert int(drawn[:, :20, 3].max()) < 60
    assert int(drawn[:, 28:, 3].min()) > 200
