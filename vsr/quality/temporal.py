"""What changes from one frame to the next and should not: warping error, flicker, tOF."""

from __future__ import annotations

import math
from collections.abc import Collection

from torch import Tensor
from torch.nn import functional as F

from vsr.options import Metric
from vsr.quality.normalise import AlignedFrame
from vsr.quality.optical_flow import Flow, enlarged, visible, warp

TEMPORAL: frozenset[Metric] = frozenset({"warping", "flicker", "tof"})
_STILL = 2.0  # codes of 8 bits: what a lossy codec changes in a picture that stands still
# Shares of the picture below which a number says nothing: at a cut, mostly.
_LEAST_STILL, _LEAST_SEEN = 0.01, 0.25
_AROUND = 7  # pixels a side in whose mean that is looked for


def warping_error(before: Tensor, now: Tensor, field: Tensor, seen: Tensor) -> float:
    """Return mean squared difference of `now` and of `before` moved onto it; nan if nothing is
    seen.

    (C, H, W) pictures, 0..1; `field` (2, H, W) from `now` to `before`; `seen` (H, W) bool: the
    pixels of `now` that `before` shows, too. Lai, Huang, Wang, Shechtman, Yumer, Yang: Learning
    Blind Video Temporal Consistency, ECCV 2018; here with the mean over channels, not their sum.
    """
    count = int(seen.sum())
    if not count:
        return math.nan
    error = (now - warp(before, field)).double().square().mean(0)
    return float((error * seen).sum()) / count


def still(before: Tensor, now: Tensor, peak: float) -> Tensor:
    """Return (H, W) bool: where a film stands still, from two of its luma pictures (H, W).

    Where they differ by no more than 2/255 of `peak` in the mean of 7x7 pixels.
    """
    change = (now - before).abs()[None, None]
    half = _AROUND // 2
    around = F.avg_pool2d(change, _AROUND, stride=1, padding=half, count_include_pad=False)
    return around[0, 0] <= _STILL * peak / 255


def flicker(before: Tensor, now: Tensor, where: Tensor, peak: float) -> float:
    """Return mean |now - before| of luma pictures (H, W) over the pixels of `where`, in codes of 8
    bits.

    The temporal gradient where the reference stands still: the warping error of Lai et al.
    (2018) for a motion known to be none, as a mean of absolute differences. nan if `where` is
    empty.
    """
    count = int(where.sum())
    change = (now - before).abs().double()
    return float((change * where).sum()) / count * 255 / peak if count else math.nan


def tof(reference: Tensor, output: Tensor) -> float:
    """Return mean L1 distance of two motion fields (2, H, W), in pixels.

    tOF of Chu, Xie, Mayer, Leal-Taixé, Thuerey: Learning Temporal Coherence via
    Self-Supervision for GAN-based Video Generation (TecoGAN), ACM TOG 39(4), 2020. Their fields
    are Farnebäck's, so that their numbers are others.
    """
    return float((reference - output).abs().double().sum(0).mean())


class TemporalMetrics:
    """The temporal metrics of a film, frame after frame. Keeps the last frame only.

    `wanted`: what of `TEMPORAL` is not in it is not measured. Motion is that of the reference,
    which is the truth.
    """

    def __init__(self, wanted: Collection[Metric], flow: Flow | None, peak: float) -> None:
        self._wanted, self._flow, self._peak = wanted, flow, peak
        self._last: tuple[AlignedFrame, AlignedFrame] | None = None

    def __call__(self, ref: AlignedFrame, out: AlignedFrame) -> dict[str, float]:
        """Return the values at this frame, by name.

        None for the first one, and none where less than a quarter of it was seen before, or less
        than a hundredth stands still.
        """
        last, self._last = self._last, (ref, out)
        values: dict[str, float] = {}
        if last is None:
            return values
        if "flicker" in self._wanted:
            values |= self._flicker(last, ref, out)
        if "warping" in self._wanted or "tof" in self._wanted:
            values |= self._moved(last, ref, out)
        return values

    def _flicker(
        self, last: tuple[AlignedFrame, AlignedFrame], ref: AlignedFrame, out: AlignedFrame
    ) -> dict[str, float]:
        where = still(last[0].luma, ref.luma, self._peak)
        share = float(where.double().mean())
        if share < _LEAST_STILL:
            return {"still": share}
        return {
            "flicker_out": flicker(last[1].luma, out.luma, where, self._peak),
            "flicker_ref": flicker(last[0].luma, ref.luma, where, self._peak),
            "still": share,
        }

    def _moved(
        self, last: tuple[AlignedFrame, AlignedFrame], ref: AlignedFrame, out: AlignedFrame
    ) -> dict[str, float]:
        there, back = self._field(last[0], ref), self._field(ref, last[0])
        seen = visible(back, there)
        share = float(seen.double().mean())
        values = {"seen": share}
        if share < _LEAST_SEEN:
            return values
        if "warping" in self._wanted:
            values["warping_out"] = warping_error(last[1].rgb, out.rgb, back, seen)
            values["warping_ref"] = warping_error(last[0].rgb, ref.rgb, back, seen)
        if "tof" in self._wanted:
            values["tof"] = tof(there, self._field(last[1], out))
        return values

    def _field(self, first: AlignedFrame, second: AlignedFrame) -> Tensor:
        assert self._flow is not None
        height, width = first.luma.shape
        field = self._flow(first.luma / self._peak, second.luma / self._peak)
        return enlarged(field.float(), height, width)
