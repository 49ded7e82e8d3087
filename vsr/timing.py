"""Exact time: pts are integers, time bases are fractions, seconds are for people."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol


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
