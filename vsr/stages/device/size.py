"""How large the result is: legal for its chroma subsampling, never distorted."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from vsr.errors import UsageError
from vsr.frame import Layout
from vsr.options import SizeOptions


@dataclass(frozen=True, kw_only=True)
class TargetSize:
    """The output's size, and its exact scale.

    width >= source width * scale * aspect: where that is not a whole, even number, the
    picture keeps its scale and gets an extra column or row that repeats the edge.
    """

    width: int
    height: int
    scale: Fraction  # of the height
    aspect: Fraction = Fraction(1)  # by how much more the width is scaled than the height


def target_size(
    width: int,
    height: int,
    asked: SizeOptions,
    *,
    default_scale: int,
    layout: Layout,
    aspect: Fraction | None = None,
) -> TargetSize:
    """Return the size of the result for a source of `width` x `height` pixels.

    `aspect`: of its pixels, width to height; None: nothing is known, which is 1. Only square
    pixels, if they were asked for, depend on it.

    Raises UsageError where nothing of the picture would be left.
    """
    step_x, step_y = 1 << layout.sub_x, 1 << layout.sub_y
    stretch = aspect if asked.square and aspect is not None else Fraction(1)
    displayed = width * stretch
    if asked.fit is not None:
        box_x, box_y = (
            side // step * step for side, step in zip(asked.fit, (step_x, step_y), strict=True)
        )
        scale = min(box_x / displayed, Fraction(box_y, height))
    elif asked.height is not None:
        scale = Fraction(asked.height, height)
    else:
        scale = asked.scale or Fraction(default_scale)
    out_width = _up(displayed * scale, step_x)
    out_height = _up(height * scale, step_y)
    if min(out_width, out_height) < 2 or max(out_width, out_height) > 32768:
        raise UsageError(
            f"a result of {out_width}x{out_height} pixels: sides must lie between 2 and 32768"
        )
    return TargetSize(width=out_width, height=out_height, scale=scale, aspect=stretch)


def step(
    target: TargetSize, source: tuple[int, int], upscaled: tuple[int, int]
) -> tuple[float, float]:
    """Return output pixels per enlarged pixel, (across, down). Sizes are (width, height).

    A frame of another size than the target was chosen for is made to fill it.
    """
    exact_x, exact_y = target.scale * target.aspect * source[0], target.scale * source[1]
    if 0 <= target.width - exact_x < 4 and 0 <= target.height - exact_y < 4:
        return float(exact_x / upscaled[0]), float(exact_y / upscaled[1])
    return target.width / upscaled[0], target.height / upscaled[1]


def _up(exact: Fraction, step: int) -> int:
    return -(-exact // step) * step
