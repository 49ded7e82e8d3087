"""The ends of the device stage in kernels of our own: planes to RGB, RGB to planes, each in one.

Where PyTorch goes through memory once for each operation, these do once (`to_rgb.cu`, `cells.cu`,
`from_rgb.cu`). This module knows how they are launched; where the numbers come from is known to
`vsr/stages/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vsr.engine.cuda.driver import Driver, Kernels
from vsr.engine.cuda.engine import source
from vsr.engine.cuda.launch import Launch, addresses
from vsr.engine.cuda.nvrtc import Nvrtc, compile_once

_COLUMNS = 256  # of a block of any of these kernels; `from_rgb` has a margin in them
_MARGIN = 8
_BLOCKS = 4  # of `from_rgb` that a multiprocessor has room for
_SHORTEST = 16  # rows of chroma that are worth a block of their own, with 5 or 6 more around them
# The kernels, of which none needs another.
FILES = ("to_rgb.cu", "cells.cu", "from_rgb.cu")
_FAMILIES = {"yuv": 0, "rgb": 1, "gray": 2}


@dataclass(frozen=True, kw_only=True)
class KernelStep:
    """One launch of one kernel, what that is compiled with, and the tensors that it works on."""

    options: tuple[str, ...]
    launch: Launch
    reads: tuple[Tensor, ...]
    writes: tuple[Tensor, ...]

    @property
    def file(self) -> str:
        """Of this folder; it is named after its kernel."""
        return f"{self.launch.kernel}.cu"


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
    return KernelStep(options=options, launch=launch, reads=reads, writes=(rgb,))


def measuring(
    drawn: Tensor, shown: Tensor, out: Tensor, *, side: int, source_side: int
) -> KernelStep:
    """Map (N, 3, s*H, s*W) and (N, 3, H, W), fp32 -> `out`, (N, 3, cells), what their means differ
    by.

    `side`, `source_side`: of a cell, in pixels of either.
    """
    count, _, height, width = drawn.shape
    columns = _COLUMNS // side * side
    launch = Launch(
        kernel="cells",
        grid=count * 3 * out.shape[2] * -(-width // columns),
        threads=256,
        shared=0,
        arguments=(
            drawn.data_ptr(), *drawn.stride(), shown.data_ptr(), *shown.stride(), out.data_ptr(),
            height, width, *shown.shape[2:],
        ),
    )  # fmt: skip
    options = (f"-DCELL={side}", f"-DSOURCE_CELL={source_side}", "--std=c++17")
    return KernelStep(options=options, launch=launch, reads=(drawn, shown), writes=(out,))


def writing(
    rgb: Tensor,
    planes: Sequence[Tensor],
    *,
    family: str,
    top: int,
    codes: CodeRange,
    weights: Sequence[float],
    across: Decimation,
    down: Decimation,
    drift: Tensor | None,
    side: int,
    processors: int,
) -> KernelStep:
    """Map `rgb`, (N, 3, H, W) fp32 -> (N, h, w) planes, contiguous.

    `codes.chroma`: (zero, span of B - Y, span of R - Y). `weights`: of red, green and blue in
    luma. `drift`: (N, 3, cells), contiguous, that is taken out; a cell has `side` pixels.
    """
    count, _, height, width = rgb.shape
    first, second, third = _three(planes)
    chroma = second.shape[1:]
    columns = -(-width // (_COLUMNS - (2 * _MARGIN if across.sub else 0)))
    rows = strip(chroma[0], count * columns, processors)
    launch = Launch(
        kernel="from_rgb",
        grid=count * columns * -(-chroma[0] // rows),
        threads=128,
        shared=0,
        arguments=(
            rgb.data_ptr(), *rgb.stride(),
            *((0, 0, 0) if drift is None else (drift.data_ptr(), *drift.shape[2:])),
            *addresses(first, second, third),
            *codes.luma, *codes.chroma, *weights, float(top),
            height, width, *chroma, rows,
        ),
    )  # fmt: skip
    options = (
        *_axis("X", across), *_axis("Y", down),
        f"-DCELL={0 if drift is None else side}", *_kind(first, family),
    )  # fmt: skip
    reads = (rgb,) if drift is None else (rgb, drift)
    return KernelStep(options=options, launch=launch, reads=reads, writes=tuple(planes))


def strip(rows: int, columns: int, processors: int) -> int:
    """Return the rows of chroma for a block: as many blocks as the GPU can hold at once, if it can
    be.
    """
    strips = max(round(_BLOCKS * processors / columns), 1)
    return max(-(-rows // strips), min(_SHORTEST, rows))


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


@dataclass
class KernelRunner:
    """Runs steps on one device. Raises CompileError or DriverError where it cannot be done."""

    device: torch.device
    _loaded: dict[tuple[str, ...], Kernels] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.driver = Driver()
        properties = torch.cuda.get_device_properties(self.device)
        self.processors = properties.multi_processor_count
        self._architecture = 10 * properties.major + properties.minor

    def __call__(self, step: KernelStep) -> None:
        """Queue it on PyTorch's current stream."""
        with torch.cuda.device(self.device):
            kernels = self._kernels(step)
            kernels.run(step.launch, torch.cuda.current_stream(self.device).cuda_stream)

    def _kernels(self, step: KernelStep) -> Kernels:
        key = (step.file, *step.options)
        if key not in self._loaded:
            code = compile_once(
                Nvrtc(), source((step.file,)),
                architecture=self._architecture, options=step.options,
            )  # fmt: skip
            names = (step.launch.kernel,)
            number = self.device.index or 0
            self._loaded[key] = Kernels(self.driver, number, code.image, names)
        return self._loaded[key]
