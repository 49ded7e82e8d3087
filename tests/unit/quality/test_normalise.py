"""Promise: luma is compared as coded where it can be, and in REF's terms where it cannot."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.quality.normalise import AlignedFrame, as_codes, terms_of
from vsr.stages.colour.convert import from_rgb

LIMITED = Colour(matrix=Matrix.BT709, range=Range.LIMITED)
FULL = Colour(matrix=Matrix.BT709, range=Range.FULL)
SD = Colour(matrix=Matrix.SMPTE170M, range=Range.LIMITED)
RGB = Colour(matrix=Matrix.RGB, range=Range.FULL)
YUV = Layout(family="yuv", sub_x=1, sub_y=1)


def frame(planes: tuple[Tensor, ...], layout: Layout, colour: Colour) -> Frame:
    return Frame(planes=planes, layout=layout, colour=colour, pts=0, duration=1,
                 time_base=Fraction(1, 25))  # fmt: skip


def coded(rgb: Tensor, layout: Layout, colour: Colour) -> Frame:
    planes = tuple(plane[0] for plane in from_rgb(rgb[None], layout, colour))
    return frame(planes, layout, colour)


def picture() -> Tensor:
    """(3, 32, 48): slow gradients, so that chroma survives its subsampling."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 48), indexing="ij")
    return torch.stack((0.2 + 0.5 * x, 0.3 + 0.4 * y, 0.7 - 0.3 * x * y))


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("colour", [LIMITED, FULL])
def test_luma_is_as_coded_to_the_bit(bits: int, colour: Colour) -> None:
    layout = YUV.replace(bits=bits)
    codes = torch.arange(1 << bits).view(-1, 32).to(layout.dtype)
    chroma = torch.full((codes.shape[0] // 2, 16), 1 << (bits - 1)).to(layout.dtype)
    one = frame((codes, chroma, chroma), layout, colour)
    look = AlignedFrame(one, terms_of(one), None)
    assert torch.equal(look.luma, codes.float())
    assert torch.equal(as_codes(look.luma, terms_of(one).peak), codes)


@pytest.mark.parametrize(
    ("layout", "colour", "worst"),
    [
        (YUV.replace(bits=10), LIMITED, 0.65),  # both are rounded: half a code, and an eighth
        (YUV, FULL, 0.95),
        (YUV.replace(bits=10), FULL, 0.65),
        (YUV, SD, 1.8),  # luma and chroma are rounded, and turned by another matrix
        (Layout(family="rgb"), RGB, 0.95),
        (Layout(family="gray"), FULL, 0.95),
    ],
)
def test_other_codings_of_one_picture_are_brought_together(
    layout: Layout, colour: Colour, worst: float
) -> None:
    ref, out = coded(picture(), YUV, LIMITED), coded(picture(), layout, colour)
    terms = terms_of(ref)
    one, other = AlignedFrame(ref, terms, None).luma, AlignedFrame(out, terms, None).luma
    assert float((one - other).abs().max()) <= worst
    assert float((one - other).mean().abs()) < 0.1
    # And the other way round, in the other's terms.
    terms = terms_of(out)
    scale = terms.peak / 255 * (255 / 219 if colour.range is Range.FULL else 1)
    one, other = AlignedFrame(ref, terms, None).luma, AlignedFrame(out, terms, None).luma
    assert float((one - other).abs().max()) <= worst * scale * 1.1


def test_the_names_of_bt601_are_one_matrix() -> None:
    ref = coded(picture(), YUV, SD)
    pal = frame(ref.planes, YUV, Colour(matrix=Matrix.BT470BG, range=Range.LIMITED))
    assert torch.equal(AlignedFrame(pal, terms_of(ref), None).luma, ref.planes[0].float())


def test_rgb_is_clipped_as_a_screen_does() -> None:
    black = torch.zeros(16, 16, dtype=torch.uint8)
    grey = torch.full((8, 8), 128, dtype=torch.uint8)
    one = frame((black, grey, grey), YUV, LIMITED)  # blacker than black
    assert float(AlignedFrame(one, terms_of(one), None).rgb.abs().max()) == 0


@pytest.mark.parametrize("kernel", ["nearest", "bicubic", "lanczos"])
def test_another_size_is_brought_to_that_of_ref(kernel: str) -> None:
    small = torch.full((3, 12, 20), 0.4)
    large = torch.full((3, 24, 40), 0.4)
    ref, out = coded(large, YUV, LIMITED), coded(small, YUV, LIMITED)
    look = AlignedFrame(out, terms_of(ref), kernel)  # type: ignore[arg-type]
    assert look.luma.shape == (24, 40)
    assert look.rgb.shape == (3, 24, 40)
    assert torch.allclose(look.luma, ref.planes[0].float(), atol=1e-3)
