"""Parts of a film, exact to the frame: which pts they take, and where these land."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class Span:
    """Frames with `start` <= pts < `end`, of which the one at `start` is shown at `at`.

    All in ticks of the video's time base. Without a `start` a film keeps its own beginning,
    however late its first frame.
    """

    start: int | None = None
    end: int | None = None
    at: int = 0
    # Before `start` and behind `end`: where frames may be read that are only looked at.
    lead: int = 0
    tail: int = 0
    stands: bool = False  # what is on the screen at `start` already is shown from there
    stays: bool = False  # the last frame stands until `end`, however long it was meant to

    def moved(self, pts: int) -> int:
        """Return where a pts of the source lands."""
        return pts - (self.start or 0) + self.at

    def rescaled(self, ratio: Fraction) -> Span:
        """Return the same in ticks of which one of these is `ratio`; each to the nearest."""

        def tick(value: int | None) -> int | None:
            return None if value is None else round(value * ratio)

        return Span(
            start=tick(self.start),
            end=tick(self.end),
            at=round(self.at * ratio),
            lead=round(self.lead * ratio),
            tail=round(self.tail * ratio),
            stands=self.stands,
            stays=self.stays,
        )

    def piece(self, time_base: Fraction) -> SecondsSpan:
        """Return the same in seconds."""
        return SecondsSpan(
            start=None if self.start is None else self.start * time_base,
            end=None if self.end is None else self.end * time_base,
            at=self.at * time_base,
        )


WHOLE = Span()


@dataclass(frozen=True, kw_only=True)
class SecondsSpan:
    """A span in seconds, for the streams that have other time bases."""

    start: Fraction | None
    end: Fraction | None
    at: Fraction

    @property
    def shift(self) -> Fraction:
        """What is added to a time of the source."""
        return self.at - (self.start or 0)
