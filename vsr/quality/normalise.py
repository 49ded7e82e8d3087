"""A frame as the metrics see it: in the reference's terms, as luma and as RGB."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.media.format.colour_tags import written
from vsr.options import Kernel
from vsr.stages.colour.convert import (
    from_rgb,
    is_weighted,
    luma_codes,
    luma_of,
    luma_weights,
    to_rgb,
)
from vsr.stages.resize import resize


@dataclass(frozen=True, kw_only=True)
class ReferenceFormat:
    """In what everything is compared: the size, depth and colour of REF's first frame."""

    width: int
    height: int
    layout: Layout
    colour: Colour

    @property
    def peak(self) -> float:
        """The largest code value, 255 at 8 bits, in limited range too."""
        return float((1 << self.layout.bits) - 1)


def terms_of(frame: Frame) -> ReferenceFormat:
    """Return the terms that `frame` sets."""
    colour = written(frame.colour)
    return ReferenceFormat(
        width=frame.width, height=frame.height, layout=frame.layout, colour=colour
    )


class AlignedFrame:
    """A frame in `terms`. Alpha is not looked at.

    A larger frame loses its right and bottom if there is no `kernel`, which would bring a frame of
    any size to that of `terms`.
    """

    def __init__(self, frame: Frame, terms: ReferenceFormat, kernel: Kernel | None) -> None:
        self._frame, self._terms, self._kernel = frame, terms, kernel

    @cached_property
    def luma(self) -> Tensor:
        """(H, W) float32, Y' in code values of `terms`: limited range lies on 16..235 (8 bits).

        As coded, to the bit, where size, depth, range and matrix are those of `terms`.
        Otherwise brought to them without rounding: through RGB if the matrix is another.
        RGB has its luma by BT.709's weights, in full range.
        """
        frame, terms = self._frame, self._terms
        theirs = luma_codes(terms.layout, terms.colour)
        if not self._has_its_luma():
            luma = self._sized(luma_of(self._plain(), _matrix(terms))[None])[0, 0]
            return luma * theirs[1] + theirs[0]
        codes = self._sized(frame.planes[0][None, None].float())[0, 0]
        own = luma_codes(frame.layout, frame.colour)
        return codes if own == theirs else (codes - own[0]) * (theirs[1] / own[1]) + theirs[0]

    def _has_its_luma(self) -> bool:
        """Return whether the first plane is luma with the weights of `terms`; grey has no
        others.
        """
        kinds = (self._frame.layout.family, self._terms.layout.family)
        if kinds[0] == "rgb" or not is_weighted(self._frame.layout, self._frame.colour):
            return False
        weights = luma_weights(self._frame.colour.matrix) if kinds[0] == "yuv" else None
        return "gray" in kinds or weights == luma_weights(_matrix(self._terms))

    @cached_property
    def rgb(self) -> Tensor:
        """(3, H, W) float32, R'G'B' in 0..1, clipped as a screen clips it."""
        return self._sized(self._plain())[0].clamp(0.0, 1.0)

    def planes(self, layout: Layout) -> tuple[Tensor, ...]:
        """(H, W) planes of `layout`, which is YUV, in the matrix, range and siting of `terms`.

        As coded, brought to the depth as ffmpeg does it, where only the depth is another.
        Otherwise through RGB.
        """
        frame, colour = self._frame, self._terms.colour
        if self._terms.layout.family != "yuv":  # which names no matrix, and is of full range
            colour = Colour(matrix=Matrix.BT709, range=Range.LIMITED)
        own = frame.layout.replace(bits=layout.bits, alpha=False)
        if own == layout and _coded_in(frame.colour, colour) and self._is_cut_at_most():
            shift = layout.bits - frame.layout.bits
            sizes = layout.plane_sizes(self._terms.width, self._terms.height)
            return tuple(
                _deeper(plane[:height, :width].int(), shift, frame)
                for plane, (height, width) in zip(frame.planes, sizes, strict=False)
            )
        return tuple(plane[0] for plane in from_rgb(self._sized(self._plain()), layout, colour))

    def _is_cut_at_most(self) -> bool:
        """Return whether its pixels are those that are compared."""
        size = (self._frame.width, self._frame.height)
        return self._kernel is None or size == (self._terms.width, self._terms.height)

    def _plain(self) -> Tensor:
        """Return (1, 3, h, w) RGB in the frame's own size, not clipped."""
        frame = self._frame
        return to_rgb(tuple(p[None] for p in frame.planes), frame.layout, frame.colour)

    def _sized(self, x: Tensor) -> Tensor:
        """Map (1, C, h, w) -> (1, C, H, W)."""
        terms = self._terms
        height, width = x.shape[-2:]
        if (width, height) == (terms.width, terms.height):
            return x
        if self._kernel is None:
            assert width >= terms.width, "sizes are looked at before"
            assert height >= terms.height
            return x[..., : terms.height, : terms.width]
        scale = (terms.width / width, terms.height / height)
        return resize(x, width=terms.width, height=terms.height, scale=scale, kernel=self._kernel)


def _matrix(terms: ReferenceFormat) -> Matrix:
    """Return the matrix whose weights make the luma."""
    return Matrix.BT709 if terms.layout.family == "rgb" else terms.colour.matrix


def _coded_in(colour: Colour, other: Colour) -> bool:
    """Return whether code values stand for the same colours in both."""
    kinds = ((one.matrix, one.range, one.siting) for one in (colour, other))
    return next(kinds) == next(kinds)


def _deeper(codes: Tensor, shift: int, frame: Frame) -> Tensor:
    """Return code values with `shift` more bits, uint16; in full range the largest stays so."""
    if shift < 0:
        most = (1 << (frame.layout.bits + shift)) - 1
        codes = ((codes + (1 << (-shift - 1))) >> -shift).clamp(max=most)
    elif frame.colour.range is Range.FULL:
        codes = (codes << shift) | (codes >> max(frame.layout.bits - shift, 0))
    else:
        codes = codes << shift
    return codes.to(torch.uint16)


def as_codes(luma: Tensor, peak: float) -> Tensor:
    """Return code values rounded and clipped to what the bits can hold, for those that count in
    them.
    """
    kind = torch.uint8 if peak <= 255 else torch.uint16
    return luma.round().clamp(0, peak).to(kind)
