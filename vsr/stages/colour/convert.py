"""Planes to RGB and back, in torch, on whatever device the planes are on.

Y'CbCr as in ITU-T H.273 section 8.3: Y' = Kr R' + Kg G' + Kb B',
Cb = (B' - Y') / (2 - 2 Kb), Cr = (R' - Y') / (2 - 2 Kr); limited range puts Y'
on 16..235 and chroma on 16..240 (at 8 bits), full range on all codes. The other ways to code
colours that H.273 has are read (`matrices.py`), and never written.

Nothing is clipped but the code values at the end: blacker-than-black and
out-of-gamut colours go in and come out. All arithmetic is float32 and
elementwise (a matrix product would run in TF32 on CUDA and lose two bits).
"""

from __future__ import annotations

import torch
from torch import Tensor

from vsr.frame import Colour, Layout, Matrix, Range
from vsr.stages.colour.chroma import downsample, upsample
from vsr.stages.colour.matrices import rgb_of

LUMA = (0.2126, 0.7152, 0.0722)  # of red, green and blue: BT.709
_KR_KB = {
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.FCC: (0.30, 0.11),
    Matrix.BT470BG: (0.299, 0.114),
    Matrix.SMPTE170M: (0.299, 0.114),
    Matrix.SMPTE240M: (0.212, 0.087),
    Matrix.BT2020_NCL: (0.2627, 0.0593),
}


def codes(layout: Layout, colour: Colour) -> tuple[float, float, float, float]:
    """Return (luma zero, luma span, chroma zero, chroma span) in code values."""
    one = float(1 << (layout.bits - 8))
    top = float((1 << layout.bits) - 1)
    if colour.range is Range.FULL:
        return 0.0, top, 128 * one, top
    # H.273 brings R, G and B to limited range before it makes YCgCo of them.
    chroma = 219 if colour.matrix is Matrix.YCGCO else 224
    return 16 * one, 219 * one, 128 * one, chroma * one


def to_rgb(planes: tuple[Tensor, ...], layout: Layout, colour: Colour) -> Tensor:
    """Map (N, h, w) planes, uint8 or uint16 -> (N, 3, H, W) float32, RGB, nominally 0..1.

    An alpha plane is left to `alpha_to_float`. Gamma-encoded in, gamma-encoded out.
    """
    zero, span, chroma_zero, chroma_span = codes(layout, colour)
    if layout.family == "rgb":
        return torch.stack([_scaled(plane, zero, span) for plane in planes[:3]], 1)
    luma = _scaled(planes[0], zero, span)
    if layout.family == "gray":
        return luma.unsqueeze(1).repeat(1, 3, 1, 1)
    height, width = luma.shape[1:]
    cb, cr = (
        upsample(
            _scaled(plane, chroma_zero, chroma_span),
            width=width,
            height=height,
            sub=(layout.sub_x, layout.sub_y),
            siting=colour.siting,
        )
        for plane in planes[1:3]
    )
    if not is_weighted(layout, colour):
        return rgb_of(luma, cb, cr, colour)
    red_of_cr, green_of_cb, green_of_cr, blue_of_cb = shares(colour.matrix)
    rgb = torch.empty(luma.shape[0], 3, height, width, device=luma.device)
    torch.add(luma, cr, alpha=red_of_cr, out=rgb[:, 0])
    torch.add(luma, cb, alpha=blue_of_cb, out=rgb[:, 2])
    torch.add(luma, cb, alpha=green_of_cb, out=rgb[:, 1])
    rgb[:, 1].add_(cr, alpha=green_of_cr)
    return rgb


def from_rgb(rgb: Tensor, layout: Layout, colour: Colour) -> tuple[Tensor, ...]:
    """Map (N, 3, H, W) RGB -> (N, h, w) planes of `layout`, without alpha.

    Rounds to the nearest code value and clips to what the bits can hold.
    """
    zero, span, chroma_zero, chroma_span = codes(layout, colour)
    red, green, blue = rgb.float().unbind(1)
    if layout.family == "rgb":
        return tuple(_coded(c, zero, span, layout) for c in (red, green, blue))
    matrix = luma_matrix(layout, colour)
    kr, kb = _KR_KB[matrix]
    luma = luma_of(rgb.float(), matrix)
    if layout.family == "gray":
        return (_coded(luma, zero, span, layout),)
    sub = (layout.sub_x, layout.sub_y)
    return (
        _coded(luma, zero, span, layout),
        *(
            _coded(
                downsample(c - luma, sub=sub, siting=colour.siting),
                chroma_zero,
                chroma_span / (2 - 2 * k),
                layout,
            )
            for c, k in ((blue, kb), (red, kr))
        ),
    )


def luma_matrix(layout: Layout, colour: Colour) -> Matrix:
    """Return the matrix that luma is made with; of grey, and where there is no luma, BT.709's."""
    return colour.matrix if layout.family == "yuv" else Matrix.BT709


def is_weighted(layout: Layout, colour: Colour) -> bool:
    """Return whether luma is a weighted sum of R', G' and B', and chroma what blue and red are
    more.
    """
    return layout.family != "yuv" or colour.matrix in _KR_KB


def shares(matrix: Matrix) -> tuple[float, float, float, float]:
    """Return the shares of Cr in red, Cb in green, Cr in green, Cb in blue; luma is in each,
    whole.
    """
    kr, kb = _KR_KB[matrix]
    kg = 1 - kr - kb
    return 2 - 2 * kr, -kb * (2 - 2 * kb) / kg, -kr * (2 - 2 * kr) / kg, 2 - 2 * kb


def luma_codes(layout: Layout, colour: Colour) -> tuple[float, float]:
    """Return (code value of black, span from there to white) of luma: (16, 219) in limited 8
    bit.
    """
    return codes(layout, colour)[:2]


def luma_weights(matrix: Matrix) -> tuple[float, float]:
    """Return (Kr, Kb) of a matrix; BT.601 has several names for the same."""
    return _KR_KB[matrix]


def luma_of(rgb: Tensor, matrix: Matrix) -> Tensor:
    """Map (N, 3, H, W) RGB -> (N, H, W) Y', 0..1, with the weights of `matrix`."""
    kr, kb = _KR_KB[matrix]
    red, green, blue = rgb.unbind(1)
    return (green * (1 - kr - kb)).add_(red, alpha=kr).add_(blue, alpha=kb)


def alpha_to_float(plane: Tensor, bits: int) -> Tensor:
    """Map (N, H, W) code values -> (N, 1, H, W) float32 in 0..1. Alpha is always full range."""
    return _scaled(plane, 0.0, float((1 << bits) - 1)).unsqueeze(1)


def alpha_from_float(alpha: Tensor, layout: Layout) -> Tensor:
    """Return the inverse of `alpha_to_float`, rounded and clipped."""
    return _coded(alpha[:, 0], 0.0, float((1 << layout.bits) - 1), layout)


def _scaled(plane: Tensor, zero: float, span: float) -> Tensor:
    return plane.float().sub_(zero).div_(span)


def _coded(value: Tensor, zero: float, span: float, layout: Layout) -> Tensor:
    top = (1 << layout.bits) - 1
    return value.mul(span).add_(zero).round_().clamp_(0, top).to(layout.dtype)


def luma(rgb: Tensor) -> Tensor:
    """Map (N, 3, h, w) -> (N, 1, h, w); BT.709's weights do for all."""
    red, green, blue = rgb.float().unbind(1)
    return (red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]).unsqueeze(1)
