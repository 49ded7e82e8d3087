"""Colour conversion in kernels of our own: planes to RGB, RGB to planes, each in one.

Where PyTorch goes through memory once for each operation, these do once (`to_rgb.cu`, `cells.cu`,
`from_rgb.cu`). This module knows how they are launched; where the numbers come from is known to
`cuda_backend.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.engine.kernel_launch import KernelStep, Launch, addresses, kernel_text

_COLUMNS = 256  # of a block of any of these kernels; `from_rgb` has a margin in them
_MARGIN = 8
_BLOCKS = 4  # of `from_rgb` that a multiprocessor has room for
_SHORTEST = 16  # rows of chroma that are worth a block of their own, with 5 or 6 more around them
_PACKAGE = "vsr.stages.colour.kernels"
# Of each kernel's parameters, see `Launch`. None needs another kernel.
SIGNATURES = {
    "to_rgb": "pppppppp" + "ffffffff" + "iiii",
    "cells": "pllll" + "pllll" + "p" + "iiii",
    "from_rgb": "pllll" + "pii" + "ppp" + "fffff" + "ffff" + "iiiii",
}
_FAMILIES = {"yuv": 0, "rgb": 1, "gray": 2}


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """Of which samples of a line each sample of a longer one is made."""

    first: Tensor  # (samples,) int32
    shares: Tensor  # (samples, taps) fp32, of as many samples from there on


@dataclass(frozen=True, kw_only=True)
class Decimation:
    """How a line of samples is filtered and thinned out, or left as it is."""

    sub: int = 0  # log2 of what is thinned out: 0 or 1
    centred: bool = True  # mirrored about the edge; False: about the last sample
    first: int = 0  # of the taps, relative to the first sample
    taps: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, kw_only=True)
class CodeRange:
    """Of code values: (zero, span) of luma or RGB; zero of chroma, with the spans of both."""

    luma: tuple[float, float]
    chroma: tuple[float, ...] = (0.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class OutputCoding:
    """How RGB becomes the code values of planes."""

    family: str  # of the layout
    top: int  # the largest code value
    codes: CodeRange  # with chroma (zero, span of B - Y, span of R - Y)
    weights: tuple[float, float, float]  # of red, green and blue in luma
    across: Decimation  # of chroma
    down: Decimation


def reading(
    planes: Sequence[Tensor],
    rgb: Tensor,
    *,
    family: str,
    codes: CodeRange,
    across: Interpolation,
    down: Interpolation,
    shares: Sequence[float],
) -> KernelStep:
    """Map (N, h, w) planes, contiguous -> `rgb`, (N, 3, H, W) fp32, contiguous.

    `codes.chroma`: (zero, span). `shares`: of Cr in red, Cb in green, Cr in green, Cb in blue.
    """
    count, _, height, width = rgb.shape
    first, second, third = _three(planes)
    launch = Launch(
        kernel="to_rgb",
        signature=SIGNATURES["to_rgb"],
        grid=count * height * -(-width // _COLUMNS),
        threads=256,
        shared=0,
        arguments=(
            *addresses(first, second, third, rgb),
            *addresses(across.first, across.shares, down.first, down.shares),
            *codes.luma, *codes.chroma[:2], *shares,
            height, width, *second.shape[1:],
        ),
    )  # fmt: skip
    options = (
        f"-DTAPS_X={across.shares.shape[1]}", f"-DTAPS_Y={down.shares.shape[1]}",
        *_kind(first, family),
    )  # fmt: skip
    reads = (*planes[:3], across.first, across.shares, down.first, down.shares)
    return _step(launch, options, reads, (rgb,))


def measuring(
    upscaled: Tensor, source: Tensor, out: Tensor, *, side: int, source_side: int
) -> KernelStep:
    """Map (N, 3, s*H, s*W) and (N, 3, H, W), fp32 -> `out`, (N, 3, cells), what their means differ
    by.

    `side`, `source_side`: of a cell, in pixels of either.
    """
    count, _, height, width = upscaled.shape
    columns = _COLUMNS // side * side
    launch = Launch(
        kernel="cells",
        signature=SIGNATURES["cells"],
        grid=count * 3 * out.shape[2] * -(-width // columns),
        threads=256,
        shared=0,
        arguments=(
            upscaled.data_ptr(), *upscaled.stride(), source.data_ptr(), *source.stride(),
            out.data_ptr(), height, width, *source.shape[2:],
        ),
    )  # fmt: skip
    options = (f"-DCELL={side}", f"-DSOURCE_CELL={source_side}", "--std=c++17")
    return KernelStep(
        package=_PACKAGE, options=options, launch=launch, reads=(upscaled, source), writes=(out,)
    )


def writing(
    rgb: Tensor,
    planes: Sequence[Tensor],
    coding: OutputCoding,
    *,
    drift: Tensor | None,
    side: int,
    processors: int,
) -> KernelStep:
    """Map `rgb`, (N, 3, H, W) fp32 -> (N, h, w) planes, contiguous.

    `drift`: (N, 3, cells), contiguous, that is taken out; a cell has `side` pixels.
    """
    codes, across, down = coding.codes, coding.across, coding.down
    count, _, height, width = rgb.shape
    first, second, third = _three(planes)
    chroma = second.shape[1:]
    columns = -(-width // (_COLUMNS - (2 * _MARGIN if across.sub else 0)))
    rows = strip(chroma[0], count * columns, processors)
    launch = Launch(
        kernel="from_rgb",
        signature=SIGNATURES["from_rgb"],
        grid=count * columns * -(-chroma[0] // rows),
        threads=128,
        shared=0,
        arguments=(
            rgb.data_ptr(), *rgb.stride(),
            *((0, 0, 0) if drift is None else (drift.data_ptr(), *drift.shape[2:])),
            *addresses(first, second, third),
            *codes.luma, *codes.chroma, *coding.weights, float(coding.top),
            height, width, *chroma, rows,
        ),
    )  # fmt: skip
    options = (
        *_axis("X", across), *_axis("Y", down),
        f"-DCELL={0 if drift is None else side}", *_kind(first, coding.family),
    )  # fmt: skip
    reads = (rgb,) if drift is None else (rgb, drift)
    return KernelStep(
        package=_PACKAGE, options=options, launch=launch, reads=reads, writes=tuple(planes)
    )


def strip(rows: int, columns: int, processors: int) -> int:
    """Return the rows of chroma for a block: as many blocks as the GPU can hold at once, if it can
    be.
    """
    strips = max(round(_BLOCKS * processors / columns), 1)
    return max(-(-rows // strips), min(_SHORTEST, rows))


def _step(
    launch: Launch,
    options: tuple[str, ...],
    reads: tuple[Tensor, ...],
    writes: tuple[Tensor, ...],
) -> KernelStep:
    return KernelStep(package=_PACKAGE, options=options, launch=launch, reads=reads, writes=writes)


def _three(planes: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return all that a kernel asks for; grey has one."""
    return (planes[0], planes[1], planes[2]) if len(planes) > 1 else (planes[0],) * 3


def _kind(plane: Tensor, family: str) -> tuple[str, ...]:
    code = "unsigned char" if plane.dtype is torch.uint8 else "unsigned short"
    return f"-DCODE={code}", f"-DFAMILY={_FAMILIES[family]}", "--std=c++17"


def _axis(name: str, halving: Decimation) -> tuple[str, ...]:
    # As hexadecimal numbers: not one bit is lost.
    taps = ", ".join(f"{tap.hex()}f" for tap in torch.tensor(halving.taps).tolist())
    return (
        f"-DSUB_{name}={halving.sub}", f"-DCENTRED_{name}={int(halving.centred)}",
        f"-DFIRST_{name}={halving.first}", f"-DTAPS_{name}={taps}",
    )  # fmt: skip


def all_text() -> str:
    """Return the text of all kernels."""
    return kernel_text(_PACKAGE, *(f"{kernel}.cu" for kernel in SIGNATURES))
