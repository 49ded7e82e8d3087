"""Asks a muxer what it takes, by writing into memory or nowhere, and reading back."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from typing import Any, Self

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from vsr.media.format.decoder import demuxed
from vsr.media.source.opening import LENIENT
from vsr.media.source.streams import family
from vsr.timing import to_fraction

TRIED = 12  # packets that are written and read back
_LOOK = 5000  # packets of all streams among which those are looked for
_NEAR = Fraction(1, 20)  # seconds by which their length may differ, read back
_LATE = 4096  # samples that may be missing at an end: what decoders leave out there


def holds(source: InputContainer, stream: AudioStream, muxer: str) -> bool | None:
    """Return whether `muxer` takes the stream, and gives back what can be decoded as before.

    None where PyAV does not let it be asked: its list of what fits is shorter than the muxer's.
    """
    packets: list[av.Packet[Any]] = []
    memory = io.BytesIO()
    try:
        with av.open(memory, "w", format=muxer, **LENIENT) as output:
            try:
                copy = output.add_stream_from_template(stream, opaque=True)
            except ValueError:
                return None
            output.start_encoding()
            for packet in first_packets(source, stream):
                with suppress(av.FFmpegError):  # it is torn, perhaps; the next will tell
                    output.mux_one(_for(packet, copy))
                    packets.append(packet)
        memory.seek(0)
        return not packets or comes_back(memory, stream.codec_context, packets)
    except (av.FFmpegError, OSError, ValueError):
        return False


def comes_back(written: Any, context: AudioCodecContext, packets: Iterable[av.Packet[Any]]) -> bool:
    """Return whether the only stream in a file is of the same sound, with as many samples.

    `written`: a path, or an open file. `context`: decodes the `packets` that are in there.
    """
    with av.open(written, **LENIENT) as back:
        (found,) = back.streams
        other = found.codec_context
        if not isinstance(found, AudioStream) or not _are_alike(context, other):
            return False
        packets, there = list(packets), list(back.demux(found))
        if abs(_length(packets) - _length(there)) > _NEAR:
            return False
        expected = _samples(context, packets)
        return expected - _samples(other, there) <= min(_LATE, expected // 2)


def keeps_silence(encoder: str, muxer: str, rate: int, layout: str, form: str) -> bool:
    """Return whether silence that `encoder` has encoded comes back from the container as sound."""
    memory = io.BytesIO()
    try:
        with av.open(memory, "w", format=muxer, **LENIENT) as output:
            stream = output.add_stream(encoder, rate=rate, layout=layout, format=form)
            for number in range(8):
                frame = av.AudioFrame(format=form, layout=layout, samples=1024)
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = 1024 * number
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        memory.seek(0)
        with av.open(memory, **LENIENT) as back:
            (found,) = back.streams
            return isinstance(found, AudioStream) and found.sample_rate == rate
    except (av.FFmpegError, OSError, ValueError):
        return False


class PacketTrial:
    """Tells which packets of one stream a muxer takes; what it writes goes nowhere."""

    def __init__(self, output: OutputContainer, stream: av.stream.Stream) -> None:
        self._output = output
        self._stream = stream

    @classmethod
    def of(cls, stream: av.stream.Stream, muxer: str) -> Self | None:
        """Return one for packets of `stream`; None where the muxer takes no such stream."""
        try:
            output = av.open(_Nowhere(), "w", format=muxer, **LENIENT)
            copy = output.add_stream_from_template(stream, opaque=True)
            output.start_encoding()
        except (av.FFmpegError, OSError, ValueError):
            return None
        return cls(output, copy)

    def takes(self, packet: av.Packet[Any]) -> bool:
        """Return whether there is nothing wrong with what is in the packet."""
        try:
            self._output.mux_one(_for(packet, self._stream))
        except av.InvalidDataError:
            return False
        except (av.FFmpegError, OSError, ValueError):
            pass  # its time, perhaps, which is not what makes it torn
        return True

    def close(self) -> None:
        """Close the trial's output, whatever it says."""
        with suppress(av.FFmpegError, OSError, ValueError):
            self._output.close()


class _Nowhere(io.RawIOBase):
    """A file that keeps nothing."""

    def __init__(self) -> None:
        self._at = self._end = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def first_packets(source: InputContainer, stream: AudioStream) -> Iterator[av.Packet[Any]]:
    """Yield the packets of the stream that are tried."""
    with suppress(av.FFmpegError, OSError):
        found = (p for p in islice(demuxed(source), _LOOK) if p.stream_index == stream.index)
        yield from islice((p for p in found if p.size), TRIED)


def _for(packet: av.Packet[Any], stream: av.stream.Stream) -> av.Packet[Any]:
    """Return a copy of the packet that belongs to `stream`."""
    copy: av.Packet[Any] = av.Packet(bytes(packet))
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.time_base = packet.time_base
    copy.stream = stream
    return copy


def _are_alike(one: AudioCodecContext, other: AudioCodecContext | None) -> bool:
    return (
        other is not None
        and family(one.codec.canonical_name) == family(other.codec.canonical_name)
        and one.sample_rate == other.sample_rate
        and one.layout.nb_channels == other.layout.nb_channels
    )


def _length(packets: Sequence[av.Packet[Any]]) -> Fraction:
    """Return seconds from the beginning of the first packet to that of the last; 0 if nobody
    knows.
    """
    times = [
        p.pts * (to_fraction(p.time_base) or Fraction(0)) for p in packets if p.pts is not None
    ]
    return max(times, default=Fraction(0)) - min(times, default=Fraction(0))


def _samples(context: AudioCodecContext, packets: Iterable[av.Packet[Any]]) -> int:
    """Return how many samples the packets hold, as far as they can be decoded."""
    count = 0
    for packet in (*packets, None):
        with suppress(av.FFmpegError):
            count += sum(frame.samples for frame in context.decode(packet))
    return count
