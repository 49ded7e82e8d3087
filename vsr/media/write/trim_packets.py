"""Which packets of sound and subtitles belong to a part of a film.

A packet of sound is some 20 ms long and is not opened. MP4 and MOV can say that the first
part of it is not to be played, so there the cut is exact to the sample; elsewhere packets
that begin before the cut are left out. PCM is cut to the sample anywhere. Where two clips
meet, the packets that lie mostly on the right side are taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.stream import Stream

from vsr.media.format.decoder import demuxed
from vsr.media.source.kinds.base import Source
from vsr.media.source.spans import SecondsSpan
from vsr.timing import rescale, to_fraction

_PREROLL = Fraction(1, 10)  # seconds of sound that a decoder needs to get going
COARSE = Fraction(1, 500)  # seconds; no container's clock is coarser than a millisecond
_SEEK = 60  # seconds; a subtitle that has been standing for longer is not found


def fine_base(stream: Stream) -> Fraction:
    """Return the stream's time base; AVI's may be as coarse as a packet of sound, and that is
    not.
    """
    base = to_fraction(stream.time_base) or Fraction(1, 1000)
    rate = getattr(stream, "sample_rate", None)
    return Fraction(1, rate) if rate and base > COARSE else base


class RisingTimestamps:
    """The timestamps of one stream that is written in ticks of `tick` seconds.

    Where two pieces meet, rounding may put a packet on the one before it.
    """

    def __init__(self, tick: Fraction) -> None:
        self._tick = tick
        self._last: int | None = None

    def mend(self, packet: av.Packet[Any]) -> bool:
        """Give the packet the next free tick; False if it is too late for it."""
        base = to_fraction(packet.time_base) or self._tick
        length = (packet.duration or 0) * base
        at = rescale(packet.pts or 0, base, self._tick)
        if self._last is not None and at <= self._last:
            if (self._last - at) * self._tick > length:
                return False
            at = self._last + 1
        self._last = at
        packet.time_base = self._tick
        packet.pts = packet.dts = at
        packet.duration = round(length / self._tick)
        return True


def packets_of(
    container: InputContainer,
    source: Source,
    streams: Sequence[Stream],
    piece: SecondsSpan,
    *,
    hides: bool = False,
    first: bool = True,
    last: bool = True,
) -> Iterator[tuple[int, av.Packet[Any]]]:
    """Yield the packets of `streams` that belong to `piece`, moved to its place, by stream index.

    `hides`: the target can leave the first part of a packet unplayed. `first`, `last`:
    nothing comes before the piece in the result, or behind it.
    """
    cutters = {s.index: _PacketTrimmer(s, piece, hides, first, last) for s in streams}
    for packet in _packets(container, source, streams, piece):
        index = packet.stream_index
        # What an edit list hides is not the film's, but may get the decoder going.
        if packet.is_discard and not cutters[index].leads_in(packet, source.start):
            continue
        for taken in cutters[index].take(packet, source.start):
            yield index, taken
    for index, cutter in cutters.items():
        for taken in cutter.rest():
            yield index, taken


def _packets(
    container: InputContainer, source: Source, streams: Sequence[Stream], piece: SecondsSpan
) -> Iterator[av.Packet[Any]]:
    """Yield the packets of `streams` around `piece`."""
    if not streams:
        return
    start = (piece.start or Fraction(0)) + source.start
    end = None if piece.end is None else piece.end + source.start
    if start > _SEEK and source.rereadable:
        with suppress(av.FFmpegError):  # it cannot: all before is read and left
            container.seek(int((start - _SEEK) * 1_000_000))
    ended: set[int] = set()
    try:
        for packet in demuxed(container, *streams):
            if packet.dts is None and packet.pts is None:
                continue
            stamp = packet.dts if packet.dts is not None else packet.pts
            base = to_fraction(packet.time_base) or Fraction(1, 1000)
            if end is not None and stamp is not None and stamp * base > end + 10:
                ended.add(packet.stream_index)
                sound = {s.index for s in streams if s.type == "audio"}
                if ended >= (sound or {s.index for s in streams}):
                    return
            yield packet
    except (av.FFmpegError, OSError):
        return  # damage is the reader's to tell; what was read is kept


@dataclass
class _PacketTrimmer:
    """Decides of each packet of one stream whether a piece takes it, and moves it."""

    stream: Stream
    piece: SecondsSpan
    hides: bool
    first: bool  # whether nothing comes before it in the result
    last: bool  # nor behind it

    def __post_init__(self) -> None:
        self._base = to_fraction(self.stream.time_base) or Fraction(1, 1000)
        codec = self.stream.codec_context.name
        self._pcm = str(codec).startswith("pcm_") and "dvd" not in codec and "bluray" not in codec
        self._sample: int | None = None  # the number of the next one
        self._standing: av.Packet[Any] | None = None

    def take(self, packet: av.Packet[Any], offset: Fraction) -> Iterator[av.Packet[Any]]:
        """Yield the packet, cut and moved, if it belongs in the piece; before it, what stands
        there.

        `offset`: what the source's clock is ahead of the picture's, in seconds.
        """
        stamp = packet.pts if packet.pts is not None else packet.dts
        assert stamp is not None
        begin = stamp * self._base - offset
        end = begin + (packet.duration or 0) * self._base
        if self.stream.type == "subtitle":
            yield from self._subtitle(packet, begin, end)
        elif self._pcm:
            yield from self._samples(packet, begin)
        elif self._is_ours(begin, end):
            if self.piece.end is not None and end > self.piece.end:
                packet.duration = round((self.piece.end - begin) / self._base)
            yield self._moved(packet, begin)

    def leads_in(self, packet: av.Packet[Any], offset: Fraction) -> bool:
        """Return whether the packet comes just before the piece, where the target can hide it."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        if not (self.hides and self.first and self.stream.type == "audio") or stamp is None:
            return False
        before = (self.piece.start or Fraction(0)) - (stamp * self._base - offset)
        return 0 < before <= _PREROLL

    def _is_ours(self, begin: Fraction, end: Fraction) -> bool:
        start, stop = self.piece.start, self.piece.end
        middle = (begin + end) / 2
        if stop is not None and (begin if self.hides and self.last else middle) >= stop:
            return False
        if start is None:
            return True
        if self.hides and self.first:
            return end > start - _PREROLL
        return begin >= start if self.first else middle >= start

    def _samples(self, packet: av.Packet[Any], begin: Fraction) -> Iterator[av.Packet[Any]]:
        """Yield the samples of a PCM packet that lie in the piece."""
        context: Any = self.stream.codec_context
        bits = re.search(r"\d+", context.name)
        size = context.layout.nb_channels * (int(bits[0]) // 8 if bits else 1)  # a-law: 8 bit
        base = Fraction(1, context.sample_rate)
        # Counted on, where the container's clock is too coarse to tell the sample.
        if self._sample is None or abs(self._sample * base - begin) > COARSE:
            self._sample = round(begin / base)
        here = self._sample
        self._sample += packet.size // size
        start, stop = self.piece.start, self.piece.end
        first = here if start is None else max(here, round(start / base))
        last = self._sample if stop is None else min(self._sample, round(stop / base))
        if last <= first:
            return
        part: av.Packet[Any] = av.Packet(
            bytes(packet)[(first - here) * size : (last - here) * size]
        )
        part.time_base = base
        part.duration = last - first
        yield self._moved(part, first * base)

    def _subtitle(
        self, packet: av.Packet[Any], begin: Fraction, end: Fraction
    ) -> Iterator[av.Packet[Any]]:
        start, stop = self.piece.start, self.piece.end
        if start is not None and begin < start:
            if not packet.duration:  # a bitmap: it stands until the next one
                self._standing = packet
                return
            begin = start
        if begin >= end and packet.duration:
            return  # it was taken off before
        if begin != start:
            yield from self.rest()
        if stop is not None and begin >= stop:
            return
        if packet.duration:
            last = end if stop is None else min(end, stop)
            packet.duration = round((last - begin) / self._base)
        self._standing = None
        yield self._moved(packet, begin)

    def rest(self) -> Iterator[av.Packet[Any]]:
        """Yield what was shown already when the piece began, and no packet has replaced."""
        if self._standing is not None and self.piece.start is not None:
            packet, self._standing = self._standing, None
            yield self._moved(packet, self.piece.start)

    def _moved(self, packet: av.Packet[Any], begin: Fraction) -> av.Packet[Any]:
        base = to_fraction(packet.time_base) or self._base
        fine = min(base, fine_base(self.stream))
        packet.pts = packet.dts = round((begin + self.piece.shift) / fine)
        packet.duration = round((packet.duration or 0) * base / fine)
        packet.time_base = fine
        return packet
