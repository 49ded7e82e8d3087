"""Which frame of OUT belongs to which of REF: those that are shown at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from vsr.frame import Frame

# Clocks coarser than this (AVI's, that of pictures) count frames, and are exact for their rate.
_COARSEST = Fraction(1, 100)  # seconds; GIF's


class Pairs:
    """Pairs of frames with the same pts, in order; the others are counted and passed over.

    Times are exact rationals. On one clock they have to be equal. Of two clocks each has
    rounded to its own ticks, so that times may lie half a tick of each apart. Frames come with
    rising pts, and no more than one of each side is held.
    """

    def __init__(self, ref: Iterable[Frame], out: Iterable[Frame]) -> None:
        self._ref, self._out = ref, out
        self.count = 0
        self.only_ref = 0  # frames without a partner
        self.only_out = 0
        self.first_alone: Fraction | None = None  # seconds; the first frame without one

    def __iter__(self) -> Iterator[tuple[Frame, Frame]]:
        refs, outs = iter(self._ref), iter(self._out)
        ref, out = next(refs, None), next(outs, None)
        while ref is not None or out is not None:
            apart = _apart(ref, out)
            if apart == 0:
                assert ref is not None
                assert out is not None
                self.count += 1
                yield ref, out
                ref, out = next(refs, None), next(outs, None)
            elif apart < 0:
                self.only_ref += 1
                self._alone(ref)
                ref = next(refs, None)
            else:
                self.only_out += 1
                self._alone(out)
                out = next(outs, None)

    def _alone(self, frame: Frame | None) -> None:
        assert frame is not None
        if self.first_alone is None:
            self.first_alone = seconds(frame)


def _apart(ref: Frame | None, out: Frame | None) -> int:
    """0: shown at the same time; -1: the one of REF comes earlier; 1: that of OUT."""
    if ref is None or out is None:
        return 1 if ref is None else -1
    difference = seconds(ref) - seconds(out)
    allowed = Fraction(0)
    if ref.time_base != out.time_base:
        ticks = (min(f.time_base, _COARSEST) for f in (ref, out))
        allowed = sum(ticks, Fraction(0)) / 2
    if abs(difference) <= allowed:
        return 0
    return -1 if difference < 0 else 1


def seconds(frame: Frame) -> Fraction:
    """When a frame is shown."""
    return frame.pts * frame.time_base
