"""Exact time: pts are integers, time bases are fractions, seconds are for people."""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction
from typing import Protocol

_MOST_KNOWN = 1024  # moments that a pace is learnt from


class _Rational(Protocol):
    @property
    def numerator(self) -> int: ...
    @property
    def denominator(self) -> int: ...


def to_fraction(value: _Rational | None) -> Fraction | None:
    """Return a `Fraction`, or None where nothing is known.

    PyAV up to 18 says unknown with None or 0/1; PyAV 19 hands out an
    `AVRational`, which may be 0/0. All of them become None here.
    """
    if value is None or not value.denominator or not value.numerator:
        return None
    return Fraction(value.numerator, value.denominator)


def rescale(ticks: int, old: Fraction, new: Fraction) -> int:
    """Return the timestamp `ticks` of time base `old` in time base `new`, to the nearest tick."""
    return round(ticks * old / new)


def clock(seconds: float) -> str:
    """Format seconds for people: `3725.2` -> `1:02:05`."""
    whole = int(seconds + 0.5)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


class Pace:
    """How fast work goes, learnt from the later half of what was done.

    The first frames go into an encoder that looks ahead and writes none of them yet; they are
    quick, and are soon behind that half. What an earlier run did is no work of this one.
    """

    def __init__(self) -> None:
        self._known: list[tuple[int, float]] = []  # work and seconds

    def left(self, done: int, total: int, now: float) -> float | None:
        """Return the seconds until `total`, with `done` at the time `now`; None: not known yet."""
        self._known.append((done, now))
        if len(self._known) > _MOST_KNOWN:
            del self._known[1:-1:2]
        half = (self._known[0][0] + done) / 2
        before, then = self._known[bisect_left(self._known, (half, 0.0))]
        if done <= before:
            before, then = self._known[0]
        if done <= before:
            return None
        return (now - then) / (done - before) * (total - done)
