"""A film or a picture in a file, which ffmpeg reads."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av

from vsr.errors import InputError
from vsr.events import Sink, WarningNote, silent
from vsr.media.format.decoder import decoded
from vsr.media.source.damage import DamageCounter, check_whole
from vsr.media.source.integrity import flaws
from vsr.media.source.kinds.base import Source
from vsr.media.source.opening import reason
from vsr.timing import to_fraction

_BEFORE = (2, 30)  # seconds that are decoded before a span's start, and if that is too late
# AVI counts its pts from the start; a picture of GIF or APNG is painted over those before it.
_FROM_THE_START = frozenset({"avi", "gif", "apng"})


@dataclass(frozen=True, kw_only=True)
class FileSource(Source):
    """A file, or the recording of an address."""

    def decode(self, start: int | None, sink: Sink) -> Iterator[av.VideoFrame]:
        """Yield the decoder's frames, from somewhere before the pts `start` on."""
        return self._decode(start, sink, AspectWatch(self, sink))

    def _decode(self, start: int | None, sink: Sink, watch: AspectWatch) -> Iterator[av.VideoFrame]:
        if start is not None and self.format not in _FROM_THE_START:
            base = self.video.stream_base
            clock_start = round((start * self.video.time_base + self.start) / base)
            for before in _BEFORE:
                seek = clock_start - round(before / base)
                frames = demuxed_frames(self, sink, watch, seek=seek, start=clock_start)
                first = next(frames, None)
                if first is not None and first.pts is not None and first.pts <= clock_start:
                    yield first
                    yield from frames
                    return
                frames.close()  # an index that is wrong, or none
        yield from demuxed_frames(self, sink, watch)

    def aspect_at(self, pts: int) -> Fraction | None:
        """Return the shape of the pixels at `pts`, which broadcasts change on the way."""
        if not self.any_start:
            return self.video.sample_aspect_ratio  # the container says it, once for all
        watch = AspectWatch(self, silent)
        clock_time = round((pts * self.video.time_base + self.start) / self.video.stream_base)
        found = self.video.sample_aspect_ratio
        for frame in self._decode(pts, silent, watch):
            if frame.pts is not None and frame.pts > clock_time:
                break
            found = watch.now or found
        return found

    def flaws(self) -> tuple[str, ...]:
        """Return in words what is missing at its end, or broken between."""
        return flaws(self.path, self.format)

    def check_whole(self, sink: Sink) -> None:
        """Decode all of its video. Raises InputError unless it is whole."""
        check_whole(self, sink)


class AspectWatch:
    """Says, once, that the shape of the pixels changes on the way: the result has but one."""

    def __init__(self, source: Source, sink: Sink) -> None:
        """Compare with the shape that `source` says it has."""
        self._source, self._sink = source, sink
        self.now: Fraction | None = None  # of the last frame; None: its stream does not say

    def look(self, decoder: av.VideoCodecContext, *, counts: bool) -> None:
        """Hear of the decoder that has handed out a frame, and whether anybody sees that."""
        self.now = to_fraction(decoder.sample_aspect_ratio)
        first = self._source.video.sample_aspect_ratio
        if not counts or not self._source.any_start or None in (self.now, first):
            return
        if self.now != first:
            shapes = "{0.numerator}:{0.denominator} becomes {1.numerator}:{1.denominator}"
            said = f"the aspect of its pixels changes on the way ({shapes.format(first, self.now)})"
            hint = "the result keeps the first; a run with <source.clips> for each part has its own"
            self._sink(WarningNote(text=f"{self._source.path.name}: {said}; {hint}"))


def demuxed_frames(
    source: Source,
    sink: Sink,
    watch: AspectWatch,
    *,
    seek: int | None = None,
    start: int | None = None,
) -> Generator[av.VideoFrame, None, None]:
    """Yield the decoder's frames; from the keyframe before the timestamp `seek` on.

    What is damaged before `start` is not told: nobody will see it.
    """
    with source.open() as container:
        stream = container.streams[source.video.index]
        assert isinstance(stream, av.VideoStream)
        stream.thread_type = "AUTO"

        damage = DamageCounter(source, stream, sink, since=start)
        try:
            if seek is not None:
                try:
                    container.seek(seek, stream=stream)
                except av.FFmpegError:
                    return  # it cannot: the caller begins at the beginning
            for frame in decoded(container, stream, damage.in_packet):
                damage.in_picture(frame)
                seen = start is None or frame.pts is None or frame.pts >= start
                watch.look(stream.codec_context, counts=seen)
                if source.format == "avi":  # has no pts, and ffmpeg's own are out of order
                    frame.pts = frame.dts
                yield frame
            damage.at_the_end()
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"{source.path}: reading failed ({reason(error)})") from error
        finally:
            damage.tell()
