"""Which frame of OUT belongs to which of REF: those that are shown at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from vsr.frame import Frame


class FramePairs:
    """Pairs of frames with the same pts, in order; the others are counted and passed over.

    Times are exact rationals. On one clock they have to be equal. Of two clocks each has
    rounded to its own ticks, up or down, so that times may lie less than a tick of each apart,
    and less than half of a frame's duration. Frames come with rising pts, and no more than one of
    each side is held. `align`: the first frames of both belong together, whatever their times.
    """

    def __init__(self, ref: Iterable[Frame], out: Iterable[Frame], *, align: bool = False) -> None:
        self._ref, self._out, self._align = ref, out, align
        self._shift = Fraction(0)  # seconds, that are added to the times of OUT
        self.count = 0
        self.only_ref = 0  # frames without a partner
        self.only_out = 0
        self.first_alone: Fraction | None = None  # seconds; the first frame without one

    def __iter__(self) -> Iterator[tuple[Frame, Frame]]:
        refs, outs = iter(self._ref), iter(self._out)
        ref, out = next(refs, None), next(outs, None)
        if self._align and ref is not None and out is not None:
            self._shift = seconds(ref) - seconds(out)
        while ref is not None or out is not None:
            apart = self._apart(ref, out)
            if apart == 0:
                assert ref is not None
                assert out is not None
                self.count += 1
                yield ref, out
                ref, out = next(refs, None), next(outs, None)
            elif apart < 0:
                self.only_ref += 1
                self._alone(ref, Fraction(0))
                ref = next(refs, None)
            else:
                self.only_out += 1
                self._alone(out, self._shift)
                out = next(outs, None)

    def _alone(self, frame: Frame | None, shift: Fraction) -> None:
        assert frame is not None
        if self.first_alone is None:
            self.first_alone = seconds(frame) + shift

    def _apart(self, ref: Frame | None, out: Frame | None) -> int:
        """Return 0 for frames shown at the same time, -1 where that of REF comes earlier, 1 that
        of OUT.
        """
        if ref is None or out is None:
            return 1 if ref is None else -1
        difference = seconds(ref) - seconds(out) - self._shift
        if difference == 0 or abs(difference) < self._allowed(ref, out):
            return 0
        return -1 if difference < 0 else 1

    def _allowed(self, ref: Frame, out: Frame) -> Fraction:
        """Return how far apart the times of one moment may lie, in seconds."""
        if ref.time_base == out.time_base and not self._shift:
            return Fraction(0)
        # A clock whose tick is a frame counts frames (AVI, pictures), and has rounded nothing.
        ticks = sum((f.time_base for f in (ref, out) if f.duration != 1), Fraction(0))
        halves = [f.duration * f.time_base / 2 for f in (ref, out) if f.duration]
        return min((ticks, *halves))


def seconds(frame: Frame) -> Fraction:
    """Return when a frame is shown."""
    return frame.pts * frame.time_base
