"""What a comparison has found: numbers for each frame, and what they come to."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vsr.options import Metric


@dataclass(frozen=True, kw_only=True)
class MetricKind:
    """What a number is."""

    metric: Metric
    unit: str
    meaning: str
    best: str  # "high" or "low"; "" where neither is better
    pooled: str = ""  # what `Score.pooled` is; "": nothing


KINDS: Mapping[str, MetricKind] = {
    "psnr_y": MetricKind(
        metric="psnr",
        unit="dB",
        meaning="PSNR of luma",
        best="high",
        pooled="of the mean squared error",
    ),
    "psnr_rgb": MetricKind(
        metric="psnr",
        unit="dB",
        meaning="PSNR of RGB",
        best="high",
        pooled="of the mean squared error",
    ),
    "ssim": MetricKind(metric="ssim", unit="", meaning="SSIM of luma", best="high"),
    "ms_ssim": MetricKind(metric="ms-ssim", unit="", meaning="MS-SSIM of luma", best="high"),
    "vmaf": MetricKind(metric="vmaf", unit="", meaning="VMAF", best="high", pooled="harmonic mean"),
    "vmaf1": MetricKind(
        metric="vmaf1", unit="", meaning="VMAF v1", best="high", pooled="harmonic mean"
    ),
    "cambi": MetricKind(metric="cambi", unit="", meaning="CAMBI, banding of OUT", best="low"),
    "warping_out": MetricKind(
        metric="warping", unit="", meaning="warping error of OUT", best="low"
    ),
    "warping_ref": MetricKind(
        metric="warping", unit="", meaning="warping error of REF", best="low"
    ),
    "seen": MetricKind(metric="warping", unit="", meaning="share of pixels seen before", best=""),
    "flicker_out": MetricKind(metric="flicker", unit="codes", meaning="flicker of OUT", best="low"),
    "flicker_ref": MetricKind(metric="flicker", unit="codes", meaning="flicker of REF", best="low"),
    "still": MetricKind(
        metric="flicker", unit="", meaning="share of pixels that stand still", best=""
    ),
    "tof": MetricKind(metric="tof", unit="pixels", meaning="tOF", best="low"),
}


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number over the whole film. Infinite where all frames are equal and it is in dB."""

    name: str  # a key of KINDS
    mean: float
    worst: float  # the lowest, or where low is good the highest
    at: Fraction  # seconds; the first frame that is the worst
    pooled: float | None  # as KINDS says
    frames: int  # that have this number: the first one has none of what it was before


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """OUT beside REF. Of each pair numbers are kept, some 200 bytes; pictures are not."""

    ref: Path
    out: Path
    width: int  # of REF, in whose terms all is
    height: int
    bits: int
    pairs: int
    only_ref: int  # frames without a partner at their time
    only_out: int
    scores: tuple[Score, ...]
    skipped: tuple[str, ...]  # metrics that were left out, and why
    notes: tuple[str, ...]
    times: tuple[Fraction, ...]  # seconds, of REF, of each pair
    values: Mapping[str, array[float]]  # by the names of KINDS; nan where a frame has none

    def score(self, name: str) -> Score:
        """Return the score of that name. Raises KeyError."""
        return {score.name: score for score in self.scores}[name]

    def rows(self) -> Iterator[tuple[Fraction, dict[str, float]]]:
        """Yield (seconds, the numbers by name) of each pair."""
        for n, time in enumerate(self.times):
            yield time, {name: values[n] for name, values in self.values.items()}


def score_of(name: str, values: array[float], times: tuple[Fraction, ...]) -> Score | None:
    """Return what the frames' values come to; None where no frame has one."""
    there = [n for n, value in enumerate(values) if not math.isnan(value)]
    if not there:
        return None
    pick = max if KINDS[name].best == "low" else min
    worst = pick(there, key=lambda n: values[n])
    return Score(
        name=name,
        mean=math.fsum(values[n] for n in there) / len(there),
        worst=values[worst],
        at=times[worst],
        pooled=_pooled(KINDS[name], [values[n] for n in there]),
        frames=len(there),
    )


def _pooled(kind: MetricKind, values: list[float]) -> float | None:
    if kind.metric == "psnr":
        error = math.fsum(10 ** (-value / 10) for value in values) / len(values)
        return -10 * math.log10(error) if error else math.inf
    if kind.metric in ("vmaf", "vmaf1"):
        # As libvmaf has it: moved by 1, since a frame may have 0.
        return len(values) / math.fsum(1 / (value + 1) for value in values) - 1
    return None
