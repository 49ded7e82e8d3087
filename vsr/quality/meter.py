"""All that was asked for, measured pair by pair."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from fractions import Fraction
from types import TracebackType
from typing import Self

import torch

from vsr.errors import UsageError
from vsr.frame import Frame
from vsr.media.vmaf import Vmaf, VmafV1
from vsr.options import Metric, MetricsOptions
from vsr.quality.normalise import AlignedFrame, ReferenceFormat, as_codes, terms_of
from vsr.quality.optical_flow import Flow
from vsr.quality.pairs import seconds
from vsr.quality.psnr_ssim import ms_ssim, psnr, ssim
from vsr.quality.report import KINDS
from vsr.quality.temporal import TEMPORAL, TemporalMetrics

OF_LIBVMAF: frozenset[Metric] = frozenset({"vmaf", "vmaf1", "cambi"})


class Meter:
    """Takes pairs of frames; keeps the last pair, and a number of each kind for each pair."""

    def __init__(
        self, wanted: Collection[Metric], options: MetricsOptions, flow: Flow | None
    ) -> None:
        self._wanted, self._options, self._flow = wanted, options, flow
        self._stack = ExitStack()
        # What the first frame of REF decides:
        self.terms: ReferenceFormat | None = None
        self._temporal: TemporalMetrics | None = None
        self._vmaf: Vmaf | None = None
        self._vmaf_v1: VmafV1 | None = None
        self.times: list[Fraction] = []
        self.values: dict[str, array[float]] = {
            name: array("d") for name, kind in KINDS.items() if kind.metric in wanted
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @torch.inference_mode()
    def add(self, ref: Frame, out: Frame) -> None:
        """Measure a pair. Raises UsageError for a size that changes where nothing resizes."""
        if self.terms is None:
            self._begin(ref)
        assert self.terms is not None
        looks = self._look(ref, "REF"), self._look(out, "OUT")
        values = dict(_still_values(*looks, self._wanted, self.terms.peak))
        if self._temporal is not None:
            values |= self._temporal(*looks)
        if self._vmaf is not None:
            self._vmaf.add(*(as_codes(look.luma, self.terms.peak) for look in looks))
        if self._vmaf_v1 is not None:
            self._vmaf_v1.add_planes(*(look.planes(VmafV1.layout) for look in looks))
        self.times.append(seconds(ref))
        for name, column in self.values.items():
            if name not in OF_LIBVMAF:
                column.append(values.get(name, math.nan))

    def _begin(self, ref: Frame) -> None:
        self.terms = terms_of(ref)
        if any(metric in TEMPORAL for metric in self._wanted):
            self._temporal = TemporalMetrics(self._wanted, self._flow, self.terms.peak)
        if "vmaf" in self._wanted:
            vmaf = Vmaf(
                width=ref.width,
                height=ref.height,
                bits=ref.layout.bits,
                model=self._options.vmaf_model,
            )
            self._vmaf = self._stack.enter_context(vmaf)
        if not {"vmaf1", "cambi"}.isdisjoint(self._wanted):
            v1 = VmafV1(width=ref.width, height=ref.height)
            self._vmaf_v1 = self._stack.enter_context(v1)

    def _look(self, frame: Frame, name: str) -> AlignedFrame:
        assert self.terms is not None
        size = (self.terms.width, self.terms.height)
        if not fits((frame.width, frame.height), size, self._options):
            raise UsageError(
                f"{name} changes to {frame.width}x{frame.height} at "
                f"{float(seconds(frame)):.3f} s, from {size[0]}x{size[1]}; "
                f"<metrics.resize> makes them alike"
            )
        return AlignedFrame(frame, self.terms, self._options.resize)

    def finish(self) -> None:
        """Wait for what is measured elsewhere. Raises FfmpegError."""
        if self._vmaf is not None:
            self.values["vmaf"].extend(self._vmaf.finish())
        if self._vmaf_v1 is not None:
            for name, numbers in zip(("vmaf1", "cambi"), self._vmaf_v1.finish_both(), strict=True):
                if name in self.values:
                    self.values[name].extend(numbers)


def fits(size: tuple[int, int], wanted: tuple[int, int], options: MetricsOptions) -> bool:
    """Return whether pictures of that size are, or can be made, of the size that is wanted."""
    larger = size[0] >= wanted[0] and size[1] >= wanted[1]
    return size == wanted or options.resize is not None or (options.crop and larger)


def _still_values(
    ref: AlignedFrame, out: AlignedFrame, wanted: Collection[Metric], peak: float
) -> Iterator[tuple[str, float]]:
    """Yield what needs no other frame."""
    if "psnr" in wanted:
        yield "psnr_y", psnr(ref.luma, out.luma, peak)
        yield "psnr_rgb", psnr(ref.rgb, out.rgb, 1.0)
    if "ssim" in wanted:
        yield "ssim", ssim(ref.luma, out.luma, peak)
    if "ms-ssim" in wanted:
        yield "ms_ssim", ms_ssim(ref.luma, out.luma, peak)
