"""When each frame of a film is shown, and which frames a clip of it takes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Any

import av
from av.container import InputContainer

from vsr.errors import InputError, UsageError
from vsr.events import silent
from vsr.media.format.decoder import demuxed
from vsr.media.read.reader import timed_pictures
from vsr.media.source.kinds.base import Source
from vsr.media.source.opening import open_source
from vsr.media.source.spans import Span
from vsr.options import Clip, Moment

# Whoever types a time reads it off a player, which shows milliseconds.
_TOLERANCE = Fraction(1, 2000)
_KEYS = 2  # keyframes, by which every decoder has found its feet
_SHOW_FRAME = 0x10  # in a VP8 packet's first byte (RFC 6386, 9.1)


def frame_times(source: Source) -> list[int]:
    """Return the pts of all frames, in the reader's terms, sorted; without decoding where possible.

    Raises InputError.
    """
    if (known := source.known_times()) is not None:
        return list(known)
    times = None if source.only_pictures or source.format == "avi" else _demuxed(source)
    if times is None:  # the container does not tell, the decoder does
        times = [pts for _, pts, _ in timed_pictures(source, (), start=None, sink=silent)]
    if not times:
        raise InputError(f"{source.path}: not one frame of its video can be decoded")
    return times


def _demuxed(source: Source) -> list[int] | None:
    video = source.video
    offset = round(source.start / video.stream_base)
    times: list[int] = []
    keys: list[int] = []  # the first two
    leading = False  # whether anything comes before the first keyframe, or is shown before it
    with open_source(source.path) as container:
        try:
            for packet in _shown(container, source):
                if packet.pts is None:
                    return None
                pts = (packet.pts - offset) * video.fields
                times.append(pts)
                if packet.is_keyframe and len(keys) < _KEYS:
                    keys.append(pts)
                leading = leading or not keys or (len(keys) < _KEYS and pts < keys[0])
        except (av.FFmpegError, OSError):
            return None  # damage is the reader's to tell
    return sorted(_decodable(source, times, keys) if leading else times)


def _shown(container: InputContainer, source: Source) -> Iterator[av.Packet[Any]]:
    """Yield the packets of the picture that are shown; VP8 has some that only help to decode
    others.
    """
    for packet in demuxed(container, container.streams[source.video.index]):
        if not packet.size or packet.is_discard:
            continue
        if source.video.codec == "vp8" and not memoryview(packet)[0] & _SHOW_FRAME:
            continue
        yield packet


def _decodable(source: Source, times: list[int], keys: list[int]) -> list[int]:
    """Return `times` without what lacks a keyframe before it, as the decoder judges the first
    ones.
    """
    safe = keys[1] if len(keys) == _KEYS else None  # from here on every packet is a picture
    first = []
    with closing(timed_pictures(source, (), start=None, sink=silent)) as pictures:
        for _, pts, _ in pictures:
            if safe is not None and pts >= safe:
                break
            first.append(pts)
    return first + [pts for pts in times if safe is not None and pts >= safe]


@dataclass(frozen=True, kw_only=True)
class Keyframes:
    """Where a film can be cut, in the reader's pts."""

    pts: tuple[int, ...]  # sorted
    frames: Sequence[int]  # of all frames, sorted


def keyframes(source: Source) -> Keyframes:
    """Return where the source's keyframes are, by demuxing alone. Raises InputError."""
    if (known := source.known_times()) is not None:
        return Keyframes(pts=tuple(known), frames=known)
    offset, fields = round(source.start / source.video.stream_base), source.video.fields
    found, every = [], []
    if not source.only_pictures:
        with open_source(source.path) as container, suppress(av.FFmpegError, OSError):
            for packet in _shown(container, source):
                # AVI has no pts of its own, and what ffmpeg makes up for it is out of order.
                stamp = packet.dts if source.format == "avi" else packet.pts
                if stamp is None:
                    continue
                every.append((stamp - offset) * fields)
                if packet.is_keyframe:
                    found.append(every[-1])
    if not every:
        every = frame_times(source)
    return Keyframes(pts=tuple(sorted(found)), frames=sorted(every))


def spans_of(
    clips: Sequence[Clip], times: Sequence[int], time_base: Fraction, begin: Fraction
) -> tuple[Span, ...]:
    """Return the frames that each clip takes of those at `times`, placed one clip after the other.

    `begin`: what players show as 0:00, in seconds. Raises UsageError for a clip that lies
    behind the film's end, or ends before it starts.
    """
    spans: list[Span] = []
    clock = _TimeReader(times, time_base, begin)
    at = 0
    for clip in clips:
        first = clock.place_of(clip.start)
        if first.frame >= len(times):
            raise UsageError(f"the clip {clip} starts behind the film's last frame")
        last = clock.place_behind(clip, first)
        if last.frame < first.frame or last.tick <= first.tick:
            raise UsageError(f"the clip {clip} ends before it starts, or holds no frame")
        start = None if first.frame == 0 and not spans else first.tick
        end = last.tick if last.frame < len(times) else None
        spans.append(Span(start=start, end=end, at=at, stands=first.held, stays=end is not None))
        # Of a clip that runs to the film's end the last frame's duration is not known here.
        behind = end if end is not None else times[-1] + _usual_step(times)
        at += behind - (start or 0)
    return tuple(spans)


def span_ahead(clips: Sequence[Clip], time_base: Fraction, begin: Fraction) -> Span:
    """Return the part of what comes through a pipe, of which nothing is known yet. Raises
    UsageError.
    """
    clip, *more = clips
    moments = [m.seconds for m in (clip.start, clip.end, clip.duration) if m is not None]
    if more or None in moments:
        raise UsageError("standard input: takes one clip only, and times instead of frames")
    start = begin + (clip.start.seconds or 0) if clip.start is not None else None
    end = None
    if clip.end is not None:
        end = begin + (clip.end.seconds or 0)
    elif clip.duration is not None:
        end = (begin if start is None else start) + (clip.duration.seconds or 0)
    ticks = [None if t is None else ceil((t - _TOLERANCE) / time_base) for t in (start, end)]
    if end is not None and end <= (begin if start is None else start):
        said = f"the clip {clip} ends before it starts, or holds no frame"
        raise UsageError(f"standard input: {said}")
    return Span(start=ticks[0] or None, end=ticks[1], stays=ticks[1] is not None)


def count(spans: Sequence[Span], times: Sequence[int]) -> int:
    """Return how many frames the spans take."""
    return sum(
        (len(times) if span.end is None else bisect_left(times, span.end))
        - (0 if span.start is None else bisect_left(times, span.start))
        + span.stands
        for span in spans
    )


@dataclass(frozen=True)
class _ClipEdge:
    """Where a clip begins or ends."""

    frame: int  # the number of the first one there or behind
    tick: int  # its pts; or, if held, the very moment
    held: bool = False  # whether the frame before has been standing for long, and goes on


@dataclass(frozen=True)
class _TimeReader:
    """Turns what people say of time into places."""

    times: Sequence[int]
    time_base: Fraction
    begin: Fraction  # seconds

    def place_of(self, moment: Moment | None) -> _ClipEdge:
        """Return the first frame at or behind `moment`, or the moment where a frame stands for
        long.
        """
        if moment is None:
            return self._at(0)
        if moment.frame is not None:
            return self._at(moment.frame)
        assert moment.seconds is not None
        return self._behind(self.begin + moment.seconds)

    def place_behind(self, clip: Clip, first: _ClipEdge) -> _ClipEdge:
        """Return the same for what is no longer in the clip."""
        if clip.duration is None:
            return self._at(len(self.times)) if clip.end is None else self.place_of(clip.end)
        if clip.duration.frame is not None:
            return self._at(first.frame + clip.duration.frame - first.held)
        assert clip.duration.seconds is not None
        begin = self.begin if first.frame == 0 else first.tick * self.time_base
        return self._behind(begin + clip.duration.seconds)

    def _at(self, frame: int) -> _ClipEdge:
        inside = frame < len(self.times)
        return _ClipEdge(frame, self.times[frame] if inside else self.times[-1] + 1)

    def _behind(self, seconds: Fraction) -> _ClipEdge:
        frame = bisect_left(self.times, (seconds - _TOLERANCE) / self.time_base)
        place, tick = self._at(frame), round(seconds / self.time_base)
        waits = 0 < frame < len(self.times) and place.tick - tick > _usual_step(self.times)
        return _ClipEdge(frame, tick, held=True) if waits else place


def _usual_step(times: Sequence[int]) -> int:
    steps = sorted(b - a for a, b in pairwise(times))
    return steps[len(steps) // 2] if steps else 1
