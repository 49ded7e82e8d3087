"""Promise: sizes are legal for the chroma subsampling, never distorted, never cut."""

from __future__ import annotations

from fractions import Fraction

import pytest

from vsr.errors import UsageError
from vsr.frame import Layout
from vsr.options import SizeOptions
from vsr.stages.device.size import target_size

YUV420 = Layout(family="yuv", sub_x=1, sub_y=1)


@pytest.mark.parametrize(
    ("source", "asked", "want"),
    [
        ((320, 180), SizeOptions(), (1280, 720)),
        ((320, 180), SizeOptions(scale=Fraction(3, 2)), (480, 270)),
        ((853, 480), SizeOptions(scale=Fraction(3, 2)), (1280, 720)),  # 1279.5
        ((854, 480), SizeOptions(scale=Fraction(3, 2)), (1282, 720)),  # 1281, odd
        ((720, 576), SizeOptions(height=1080), (1350, 1080)),
        ((320, 180), SizeOptions(fit=(1920, 1080)), (1920, 1080)),
        ((640, 480), SizeOptions(fit=(1920, 1080)), (1440, 1080)),
        ((640, 480), SizeOptions(fit=(1921, 1081)), (1440, 1080)),  # an odd box is floored
        ((853, 480), SizeOptions(), (3412, 1920)),
        ((101, 53), SizeOptions(scale=Fraction(1)), (102, 54)),
    ],
)
def test_sizes(source: tuple[int, int], asked: SizeOptions, want: tuple[int, int]) -> None:
    target = target_size(*source, asked, default_scale=4, layout=YUV420)
    assert (target.width, target.height) == want
    for side, exact in zip(want, (s * target.scale for s in source), strict=True):
        assert exact <= side < exact + 2  # less than one chroma sample is added


def test_nothing_is_added_where_nothing_has_to_be() -> None:
    layout = Layout(family="yuv")
    target = target_size(101, 53, SizeOptions(scale=Fraction(1)), default_scale=4, layout=layout)
    assert (target.width, target.height) == (101, 53)


@pytest.mark.parametrize(
    ("source", "scale"), [((8, 8), Fraction(1, 16)), ((4096, 16), Fraction(64))]
)
def test_impossible_sizes_are_refused(source: tuple[int, int], scale: Fraction) -> None:
    layout = Layout(family="yuv")
    with pytest.raises(UsageError):
        target_size(*source, SizeOptions(scale=scale), default_scale=4, layout=layout)
