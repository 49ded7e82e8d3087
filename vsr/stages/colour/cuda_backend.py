"""Colour conversion in our own CUDA kernels, one pass over memory each.

The numbers that the kernels are given are those of `convert.py`, `chroma.py` and
`drift_correction.py`, and so is the order of what is added up. What is left between the two ways
is the rounding of fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from vsr.engine.kernel_launch import KernelStep
from vsr.frame import Colour, Layout, Siting
from vsr.stages.colour.chroma import halving, upsample
from vsr.stages.colour.colour_kernels import (
    CodeRange,
    Decimation,
    Interpolation,
    OutputCoding,
    measuring,
    reading,
    writing,
)
from vsr.stages.colour.convert import codes, luma_matrix, luma_weights, shares
from vsr.stages.colour.drift_correction import CELL, DriftCorrection, cell_side, smooth

_REACH = 7  # chroma samples to either side, at most, that a luma sample is made of


class CudaColourBackend:
    """`run` queues a step on the device on which the tensors are; `blank` makes new tensors."""

    def __init__(
        self,
        run: Callable[[KernelStep], None],
        processors: int,
        blank: Callable[..., Tensor] = torch.empty,
    ) -> None:
        """Take `processors`, the multiprocessors of the GPU."""
        self._run, self._processors, self._blank = run, processors, blank

    def to_rgb(self, planes: tuple[Tensor, ...], layout: Layout, tags: Colour) -> Tensor:
        """See `ColourBackend`."""
        planes = tuple(p.contiguous() for p in planes[: 1 if layout.family == "gray" else 3])
        count, height, width = planes[0].shape
        zero, span, *chroma = codes(layout, tags)
        sub, siting, device = (layout.sub_x, layout.sub_y), tags.siting.value, planes[0].device
        across, down = (
            _between(size, times if layout.family == "yuv" else 0, phase, device)
            for size, times, phase in zip((width, height), sub, siting, strict=True)
        )
        rgb = self._blank(count, 3, height, width, device=device, dtype=torch.float32)
        self._run(
            reading(
                planes, rgb, family=layout.family, across=across, down=down,
                codes=CodeRange(luma=(zero, span), chroma=tuple(chroma)),
                shares=shares(luma_matrix(layout, tags)),
            )
        )  # fmt: skip
        return rgb

    def find_drift(self, upscaled: Tensor, source: Tensor) -> DriftCorrection:
        """See `ColourBackend`."""
        side = cell_side(upscaled, source)
        size = (-(-upscaled.shape[2] // side), -(-upscaled.shape[3] // side))
        cells = self._blank(*upscaled.shape[:2], *size, device=upscaled.device, dtype=torch.float32)
        self._run(measuring(upscaled, source, cells, side=side, source_side=CELL))
        return DriftCorrection(cells=smooth(cells), side=side)

    def from_rgb(
        self, rgb: Tensor, layout: Layout, tags: Colour, drift: DriftCorrection | None
    ) -> tuple[Tensor, ...]:
        """Convert to planes; chroma is thinned out once at most: see `fits`."""
        rgb = rgb.float()
        planes = tuple(
            self._blank(rgb.shape[0], *size, device=rgb.device, dtype=layout.dtype)
            for size in layout.replace(alpha=False).plane_sizes(rgb.shape[3], rgb.shape[2])
        )
        zero, span, chroma_zero, chroma_span = codes(layout, tags)
        matrix = luma_matrix(layout, tags)
        (kr, kb), (of_red, _, _, of_blue) = luma_weights(matrix), shares(matrix)
        thinned = (layout.sub_x, layout.sub_y) if layout.family == "yuv" else (0, 0)
        across, down = (
            _halving(phase) if times else Decimation()
            for times, phase in zip(thinned, tags.siting.value, strict=True)
        )
        coding = OutputCoding(
            family=layout.family,
            top=(1 << layout.bits) - 1,
            codes=CodeRange(
                luma=(zero, span),
                chroma=(chroma_zero, chroma_span / of_blue, chroma_span / of_red),
            ),
            weights=(kr, 1 - kr - kb, kb),
            across=across,
            down=down,
        )
        self._run(
            writing(
                rgb, planes, coding,
                drift=None if drift is None else drift.cells.contiguous(),
                side=0 if drift is None else drift.side, processors=self._processors,
            )
        )  # fmt: skip
        return planes


def fits(layout: Layout) -> bool:
    """Return whether `from_rgb` can write it: not 4:1:1 and 4:1:0, whose chroma is thinned out
    twice.
    """
    return layout.family != "yuv" or max(layout.sub_x, layout.sub_y) < 2


def _halving(phase: float) -> Decimation:
    first, taps = halving(phase)
    return Decimation(sub=1, centred=phase == 0.5, first=first, taps=taps)


@lru_cache(maxsize=16)
def _between(size: int, times: int, phase: float, device: torch.device) -> Interpolation:
    """Return which chroma samples make which of `size` luma samples: what `upsample` makes of
    impulses.
    """
    count = -(-size >> times)
    apart = (
        2 * _REACH + 2
    )  # impulses in one line, so far from each other that they cannot be mixed up
    impulses = (torch.arange(count) % apart == torch.arange(apart)[:, None]).double()
    siting = next(one for one in Siting if one.value[1] == phase)  # rows have all phases
    lines = impulses[:, :, None]
    answer = upsample(lines, width=1, height=size, sub=(0, times), siting=siting)[:, :, 0]
    luma = torch.arange(size)[:, None]
    near = (luma >> times).clamp_(max=count - 1) + torch.arange(-_REACH, _REACH + 1)
    inside = (near >= 0) & (near < count)
    share = torch.where(inside, answer[near.remainder(apart), luma], 0.0)

    used = share != 0
    first = torch.where(used, near, count).amin(1)
    taps = int((torch.where(used, near, -1).amax(1) - first).max()) + 1
    first.clamp_(max=count - taps)
    column = first[:, None] + torch.arange(taps) - near[:, :1]
    share = torch.where(
        (column >= 0) & (column <= 2 * _REACH), share.gather(1, column.clamp(0, 2 * _REACH)), 0.0
    )
    return Interpolation(first=first.int().to(device), shares=share.float().contiguous().to(device))
