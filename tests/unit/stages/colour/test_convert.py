"""Promise 2, colour: right to the code value, in every matrix, range, depth and subsampling."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vsr.frame import Colour, Layout, Matrix, Range, Siting
from vsr.stages.colour.convert import alpha_from_float, alpha_to_float, from_rgb, to_rgb

# H.273 table 4, as exact numbers, independent of the table under test.
KR_KB = {
    Matrix.BT709: (Fraction("0.2126"), Fraction("0.0722")),
    Matrix.SMPTE170M: (Fraction("0.299"), Fraction("0.114")),
    Matrix.BT470BG: (Fraction("0.299"), Fraction("0.114")),
    Matrix.BT2020_NCL: (Fraction("0.2627"), Fraction("0.0593")),
}
LAYOUTS = [
    Layout(family="yuv", bits=bits, sub_x=sub[0], sub_y=sub[1])
    for bits in (8, 9, 10, 12, 16)
    for sub in ((1, 1), (1, 0), (0, 0))
]


def _codes(
    rgb: NDArray[np.float64], matrix: Matrix, range_: Range, bits: int
) -> NDArray[np.float64]:
    """Y, Cb, Cr code values in float64, by the letter of H.273 equations 8-3."""
    kr, kb = (float(k) for k in KR_KB[matrix])
    r, g, b = rgb
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    one, top = 2.0 ** (bits - 8), 2.0**bits - 1
    if range_ is Range.FULL:
        return np.stack([top * y, top * cb + 128 * one, top * cr + 128 * one])
    return np.stack([(219 * y + 16) * one, (224 * cb + 128) * one, (224 * cr + 128) * one])


@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize("range_", [Range.LIMITED, Range.FULL])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_both_ways_agree_with_the_standard_in_float64(
    matrix: Matrix, range_: Range, bits: int
) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.random((3, 40, 50))
    layout = Layout(family="yuv", bits=bits)
    colour = Colour(matrix=matrix, range=range_)
    exact = _codes(rgb, matrix, range_, bits)
    planes = from_rgb(torch.from_numpy(rgb)[None], layout, colour)
    got = np.stack([p[0].to(torch.int32).numpy() for p in planes])
    # The nearest code value: float32 may only tip what lies on the very edge.
    assert np.abs(got - exact).max() <= 0.5 + 2.0 ** (bits - 22)
    back = to_rgb(planes, layout, colour)[0].numpy()
    step = 1 / (219 * 2 ** (bits - 8))
    assert np.abs(back - rgb).max() <= 1.6 * step + 2e-6


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda x: x.name)
@pytest.mark.parametrize("range_", [Range.LIMITED, Range.FULL])
@pytest.mark.parametrize("siting", [Siting.LEFT, Siting.CENTER, Siting.TOPLEFT])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (37, 23)])
def test_untouched_frames_come_back_within_a_code_value(
    layout: Layout, range_: Range, siting: Siting, width: int, height: int
) -> None:
    """Any code values at all, illegal ones included: nothing is clipped on the way."""
    torch.manual_seed(0)
    colour = Colour(matrix=Matrix.BT709, range=range_, siting=siting)
    top = 2**layout.bits
    planes = tuple(
        torch.randint(0, top, (2, h, w)).to(layout.dtype)
        for h, w in layout.plane_sizes(width, height)
    )
    back = from_rgb(to_rgb(planes, layout, colour), layout, colour)
    for old, new in zip(planes, back, strict=True):
        assert new.dtype == old.dtype
        assert (new.int() - old.int()).abs().max() <= 1


@pytest.mark.parametrize("family", ["rgb", "gray"])
@pytest.mark.parametrize("bits", [8, 10, 16])
def test_rgb_and_grey_come_back_exactly(family: str, bits: int) -> None:
    layout = Layout(family="rgb" if family == "rgb" else "gray", bits=bits)
    colour = Colour(matrix=Matrix.RGB, range=Range.FULL)
    planes = tuple(
        torch.randint(0, 2**bits, (1, 9, 11)).to(layout.dtype) for _ in layout.plane_sizes(11, 9)
    )
    for old, new in zip(
        planes, from_rgb(to_rgb(planes, layout, colour), layout, colour), strict=True
    ):
        assert torch.equal(old, new)


def test_alpha_comes_back_exactly() -> None:
    layout = Layout(family="rgb", bits=10, alpha=True)
    plane = torch.arange(1024).to(torch.uint16).reshape(1, 32, 32)
    assert torch.equal(alpha_from_float(alpha_to_float(plane, 10), layout), plane)


def test_rounding_is_to_the_nearest_and_clips() -> None:
    layout = Layout(family="rgb")
    colour = Colour(matrix=Matrix.RGB, range=Range.FULL)
    values = torch.tensor([-0.5, 0.0, 100.4 / 255, 100.6 / 255, 1.0, 1.5])
    planes = from_rgb(values.expand(1, 3, 1, 6), layout, colour)
    assert planes[0][0, 0].tolist() == [0, 0, 100, 101, 255, 255]


@pytest.mark.parametrize("field", ["matrix", "range", "siting"])
def test_each_tag_matters(field: str) -> None:
    """A tag that is read wrong must change the picture, or no test could notice."""
    torch.manual_seed(0)
    layout = Layout(family="yuv", sub_x=1, sub_y=1)
    planes = tuple(torch.randint(16, 235, (1, h, w)).byte() for h, w in layout.plane_sizes(32, 32))
    right = Colour(matrix=Matrix.BT709, range=Range.LIMITED, siting=Siting.LEFT)
    others = {"matrix": Matrix.SMPTE170M, "range": Range.FULL, "siting": Siting.CENTER}
    wrong = dataclasses.replace(right, **{field: others[field]})  # type: ignore[arg-type]
    difference = (to_rgb(planes, layout, right) - to_rgb(planes, layout, wrong)).abs().max()
    assert difference > 8 / 255
