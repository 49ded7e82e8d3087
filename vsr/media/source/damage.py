"""What of a film's video is damaged or missing, counted and said while it is read."""

from __future__ import annotations

import re
from fractions import Fraction

import av

from vsr.errors import InputError
from vsr.events import Sink, WarningNote, silent
from vsr.media.format.decoder import decoded
from vsr.media.source.integrity import flaws
from vsr.media.source.kinds.base import Source
from vsr.media.source.opening import open_source, reason
from vsr.timing import clock

_SHORT = Fraction(1, 2)  # seconds by which a header's duration may be wrong
_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


class DamageCounter:
    """Counts what is damaged, and says so: the first place at once, the rest at the end."""

    def __init__(
        self,
        source: Source,
        stream: av.VideoStream,
        sink: Sink,
        *,
        since: int | None = None,
    ) -> None:
        """Count for `stream`, an open one of `source`, from the timestamp `since` on."""
        self._source, self._stream, self._since = source, stream, since
        self._sink = sink
        self.packets = self.pictures = 0
        self.missing = Fraction(0)  # seconds
        self._end = 0  # of the last packet, in the stream's ticks

    def in_packet(
        self, packet: av.Packet[av.VideoStream], error: av.FFmpegError | None = None
    ) -> None:
        """Hear of a packet, and then of the `error` if the decoder refuses it."""
        if error is not None:
            if self._counts(packet.pts):
                self.packets += not packet.is_corrupt  # else it was counted before
            return
        if packet.pts is not None:
            self._end = max(self._end, packet.pts + (packet.duration or 0))
        # The container knows of lost bytes and of packets that its end cuts short.
        if packet.is_corrupt and self._counts(packet.pts):
            self.packets += 1

    def in_picture(self, picture: av.VideoFrame) -> None:
        """Hear of a picture, whose decoder may know that it is not what it should be."""
        if picture.is_corrupt and self._counts(picture.pts):
            self.pictures += 1

    def _counts(self, pts: int | None) -> bool:
        if self._since is not None and pts is not None and pts < self._since:
            return False
        if not self.packets + self.pictures:
            seconds = pts * self._source.video.stream_base if pts is not None else None
            when = "at the end" if seconds is None else f"at {clock(float(seconds))}"
            self._sink(WarningNote(text=f"{self._source.path.name}: damaged {when}"))
        return True

    def at_the_end(self) -> None:
        """Hear that the file has been read to its end: what was promised should have come."""
        promised = _promised_end(self._source, self._stream)
        came = self._end * self._source.video.stream_base
        if promised is not None and promised - came > _SHORT:
            self.missing = promised - came

    def tell(self) -> None:
        """Say how much it was."""
        for text in self.words():
            self._sink(WarningNote(text=f"{self._source.path.name}: {text}"))

    def words(self) -> list[str]:
        """Return how much it was, in words; nothing of what is whole."""
        found = []
        if self.packets + self.pictures:
            found.append(
                f"{self.packets} damaged packets, {self.pictures} pictures mended by guessing"
            )
        if self.missing:
            found.append(f"its picture ends {float(self.missing):.2f} s before its header says")
        return found


def _promised_end(source: Source, stream: av.VideoStream) -> Fraction | None:
    """Return the timestamp in seconds at which the picture ends, where the container tells.

    Other durations are estimates, or those of the longest stream.
    """
    if "mp4" in source.format and stream.duration:
        start = stream.start_time or 0
        return (start + stream.duration) * source.video.stream_base
    if "matroska" in source.format and (found := _TAG.match(stream.metadata.get("DURATION", ""))):
        hours, minutes, seconds = found.groups()
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    return None


def check_whole(source: Source, sink: Sink = silent) -> None:
    """Decode all of the source's video. Raises InputError unless it is whole."""
    with open_source(source.path) as container:
        stream = container.streams[source.video.index]
        assert isinstance(stream, av.VideoStream)
        stream.thread_type = "AUTO"
        damage = DamageCounter(source, stream, sink)
        try:
            for picture in decoded(container, stream, damage.in_packet):
                damage.in_picture(picture)
            damage.at_the_end()
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"{source.path}: reading failed ({reason(error)})") from error
    if found := [*flaws(source.path, source.format), *damage.words()]:
        raise InputError(
            f"{source.path}: is damaged ({'; '.join(found)}); without <source.strict> "
            f"that is passed over and mended"
        )
