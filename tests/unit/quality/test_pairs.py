"""Promise: frames are paired by time, exactly; what has no partner is counted, never guessed."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch

from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.quality.pairs import FramePairs, seconds


def frames(pts: list[int], base: Fraction, duration: int = 0) -> list[Frame]:
    return [
        Frame(
            planes=(torch.zeros(2, 2, dtype=torch.uint8),),
            layout=Layout(family="gray"),
            colour=Colour(matrix=Matrix.BT709, range=Range.FULL),
            pts=p,
            duration=duration,
            time_base=base,
        )
        for p in pts
    ]


def counted(pairs: FramePairs) -> tuple[list[tuple[int, int]], int, int]:
    found = [(ref.pts, out.pts) for ref, out in pairs]
    assert pairs.count == len(found)
    return found, pairs.only_ref, pairs.only_out


MS, TICK = Fraction(1, 1000), Fraction(1, 12800)


@pytest.mark.parametrize(
    ("ref", "out", "want"),
    [
        ([0, 40, 80], [0, 40, 80], ([(0, 0), (40, 40), (80, 80)], 0, 0)),
        ([0, 40, 80, 120], [0, 80, 120], ([(0, 0), (80, 80), (120, 120)], 1, 0)),  # one is missing
        ([0, 40], [0, 40, 80, 120], ([(0, 0), (40, 40)], 0, 2)),  # OUT is longer
        ([0, 41], [0, 42], ([(0, 0)], 1, 1)),  # one clock: equal or not
        ([40, 80], [0, 40, 80], ([(40, 40), (80, 80)], 0, 1)),
        ([0, 7, 100, 101, 350], [0, 7, 101, 102, 350],
         ([(0, 0), (7, 7), (101, 101), (350, 350)], 1, 1)),
        ([0, 1], [2, 3], ([], 2, 2)),
        ([], [0], ([], 0, 1)),
    ],
)  # fmt: skip
def test_on_one_clock_times_are_equal(
    ref: list[int], out: list[int], want: tuple[list[tuple[int, int]], int, int]
) -> None:
    assert counted(FramePairs(frames(ref, MS), frames(out, MS))) == want


@pytest.mark.parametrize("base", [MS, Fraction(1, 90000), Fraction(1, 100)])
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(25), Fraction(50)])
@pytest.mark.parametrize("rounded", [round, math.floor])
def test_other_clocks_round_to_their_own_ticks(
    base: Fraction, rate: Fraction, rounded: Callable[[Fraction], int]
) -> None:
    """600 frames of MP4 beside the same in Matroska, MPEG-TS, WebP or GIF: none lost or shifted."""
    times = [n / rate for n in range(600)]
    ref = frames([n * 512 for n in range(600)], 1 / (rate * 512), 512)
    out = frames([rounded(t / base) for t in times], base, round(1 / rate / base))
    found = [(a.pts, b.pts) for a, b in FramePairs(ref, out)]
    assert found == [(a.pts, b.pts) for a, b in zip(ref, out, strict=True)]


@pytest.mark.parametrize("base", [MS, Fraction(1, 90000), Fraction(1, 100)])
def test_a_missing_frame_is_not_replaced_by_its_neighbour(base: Fraction) -> None:
    rate = Fraction(50)
    ref = frames([n * 512 for n in range(100)], 1 / (rate * 512), 512)
    out = frames(
        [round(n / rate / base) for n in range(100) if n % 7], base, round(1 / rate / base)
    )
    _, only_ref, only_out = counted(FramePairs(ref, out))
    assert (only_ref, only_out) == (15, 0)


def test_a_clock_of_whole_frames_is_no_excuse() -> None:
    """Pictures at 25 a second beside a film that is 8 ms late: not the same moments."""
    ref = frames([0, 1, 2], Fraction(1, 25), 1)
    out = frames([8, 48, 88], MS, 40)
    assert counted(FramePairs(ref, out)) == ([], 3, 3)


def test_half_the_rate_pairs_with_every_second_frame() -> None:
    ref, out = (
        frames(list(range(10)), Fraction(1, 50), 1),
        frames([0, 1, 2, 3, 4], Fraction(1, 25), 1),
    )
    assert [seconds(r) for r, _ in FramePairs(ref, out)] == [Fraction(n, 25) for n in range(5)]


def test_aligned_films_begin_together() -> None:
    ref = frames([n * 512 for n in (0, 1, 2, 3, 5)], TICK, 512)
    out = frames([91469 + n * 3600 for n in (0, 1, 3, 4, 5)], Fraction(1, 90000), 3600)
    assert counted(FramePairs(ref, out))[1:] == (5, 5)
    pairs = FramePairs(ref, out, align=True)
    found = [seconds(a) * 25 for a, _ in pairs]
    assert found == [0, 1, 3, 5]
    assert (pairs.only_ref, pairs.only_out) == (1, 1)
    assert pairs.first_alone == Fraction(2, 25)


def test_one_clock_that_begins_elsewhere_rounds_otherwise() -> None:
    rate = Fraction(24000, 1001)
    times = [round(n / rate / MS) for n in range(60)]
    moved = [pts - times[1] for pts in times[1:]]
    pairs = FramePairs(
        frames(times[:-1], MS, 42), frames([p + 41 for p in moved], MS, 42), align=True
    )
    assert counted(pairs)[1:] == (0, 0)
