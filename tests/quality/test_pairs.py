"""Promise: frames are paired by time, exactly; what has no partner is counted, never guessed."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.quality.pairs import Pairs, seconds


def frames(pts: list[int], base: Fraction) -> list[Frame]:
    return [
        Frame(
            planes=(torch.zeros(2, 2, dtype=torch.uint8),),
            layout=Layout(family="gray"),
            colour=Colour(matrix=Matrix.BT709, range=Range.FULL),
            pts=p,
            duration=1,
            time_base=base,
        )
        for p in pts
    ]


def counted(pairs: Pairs) -> tuple[list[tuple[int, int]], int, int]:
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
    assert counted(Pairs(frames(ref, MS), frames(out, MS))) == want


@pytest.mark.parametrize("base", [MS, Fraction(1, 90000), Fraction(1, 100)])
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(25), Fraction(50)])
def test_other_clocks_round_to_their_own_ticks(base: Fraction, rate: Fraction) -> None:
    """2,000 frames of MP4 beside the same in Matroska, MPEG-TS or GIF: none lost, none shifted."""
    times = [n / rate for n in range(2000)]
    tick = 1 / (rate * 512)
    ref = frames([round(t / tick) for t in times], tick)
    out = frames([round(t / base) for t in times], base)
    pairs = Pairs(ref, out)
    assert [(a.pts, b.pts) for a, b in pairs] == [
        (a.pts, b.pts) for a, b in zip(ref, out, strict=True)
    ]


def test_a_clock_of_whole_frames_is_no_excuse() -> None:
    """Pictures at 25 a second beside a film that is 20 ms late: not the same moments."""
    ref = frames([0, 1, 2], Fraction(1, 25))
    out = frames([20, 60, 100], MS)
    assert counted(Pairs(ref, out)) == ([], 3, 3)


def test_half_the_rate_pairs_with_every_second_frame() -> None:
    ref, out = frames(list(range(10)), Fraction(1, 50)), frames([0, 1, 2, 3, 4], Fraction(1, 25))
    assert [seconds(r) for r, _ in Pairs(ref, out)] == [Fraction(n, 25) for n in range(5)]
