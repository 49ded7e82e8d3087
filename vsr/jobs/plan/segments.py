"""The units of work and of resume: spans of a film between keyframes of its source."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from vsr.media.read.keyframes import Keyframes
from vsr.media.source.spans import WHOLE, Span

_MORE = 8  # frames that a filter may keep to itself
_LONG = 3  # times the wanted length, from which a GOP is cut in its middle


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A span of the film, and its number among all of them."""

    number: int
    span: Span

    @property
    def end(self) -> int | None:
        """In the result: the pts from which frames are the next segment's; None: all of them."""
        return None if self.span.end is None else self.span.moved(self.span.end)


def cut_at_keyframes(
    spans: Sequence[Span], index: Keyframes, time_base: Fraction, seconds: float
) -> list[Span]:
    """Return `spans` in segments of about `seconds`, which begin at keyframes.

    A segment may begin anywhere and its frames are the same; at a keyframe the least is decoded
    in vain when the work is taken up again there.
    """
    length = max(round(Fraction(seconds) / time_base), 1)
    segments = []
    for span in spans or (WHOLE,):
        begin = index.frames[0] if span.start is None else span.start
        end = index.frames[-1] + 1 if span.end is None else span.end
        borders = list(_borders(begin, end, index, length))
        starts = [span.start, *borders]
        ends = [*borders, span.end]
        for start, stop in zip(starts, ends, strict=True):
            at = span.at if start == span.start else span.moved(start or 0)
            stands = span.stands and start == span.start
            stays = span.stays and stop == span.end
            segments.append(Span(start=start, end=stop, at=at, stands=stands, stays=stays))
    return segments


def _borders(begin: int, end: int, index: Keyframes, length: int) -> Iterator[int]:
    """Yield where one segment ends and the next begins."""
    last = begin
    for key in (*(k for k in index.pts if begin < k < end), end):
        while key - last > _LONG * length:  # hardly any keyframes: cut between them
            at = bisect_left(index.frames, last + length)
            # Never where nothing is shown: in a gap of hours there is nothing to finish.
            if at == len(index.frames) or index.frames[at] >= key:
                break
            last = index.frames[at]
            yield last
        if key - last >= length and end - key >= length // 2:
            last = key
            yield last


def with_context(
    spans: Sequence[Span], clips: Sequence[Span], frames: Sequence[int], count: int
) -> list[Span]:
    """Return `spans` with room on both sides for `count` frames of the clip that each is a part of.

    `frames`: the pts of all frames, sorted. Filters may hand out fewer frames than they get.
    """
    result = []
    for span in spans:
        clip = next(c for c in joined(clips or (WHOLE,)) if _holds(c, span))
        room = 2 * count + _MORE
        lead = tail = 0
        if span.start is not None and span.start != clip.start:
            first = frames[max(bisect_left(frames, span.start) - room, 0)]
            lead = span.start - (first if clip.start is None else max(first, clip.start))
        if span.end is not None and span.end != clip.end:
            last = frames[min(bisect_left(frames, span.end) + room, len(frames) - 1)] + 1
            tail = (last if clip.end is None else min(last, clip.end)) - span.end
        result.append(dataclasses.replace(span, lead=max(lead, 0), tail=max(tail, 0)))
    return result


def _holds(clip: Span, segment: Span) -> bool:
    begins = clip.start is None or (segment.start is not None and segment.start >= clip.start)
    ends = clip.end is None or (segment.end is not None and segment.end <= clip.end)
    # The same frames may be in several clips, each time at another place.
    return begins and ends and (segment.start is None or clip.moved(segment.start) == segment.at)


def joined(segments: Sequence[Span]) -> list[Span]:
    """Return the same frames in as few spans as possible, so that nothing is read twice."""
    result: list[Span] = []
    for segment in segments:
        before = result[-1] if result else None
        if (
            before is not None
            and before.end is not None
            and before.end == segment.start
            and not segment.stands
            and before.moved(before.end) == segment.at
        ):
            result[-1] = dataclasses.replace(before, end=segment.end, stays=segment.stays)
        else:
            result.append(segment)
    return result
