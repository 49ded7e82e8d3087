"""The source's sound beside a picture that is written into a pipe, where nothing comes later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from typing import Any

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from vsr.errors import SoundLost
from vsr.events import Note, Sink, WarningNote
from vsr.media.source.kinds.base import Source
from vsr.media.source.spans import SecondsSpan
from vsr.media.write.trim_packets import RisingTimestamps, fine_base, packets_of
from vsr.timing import rescale, to_fraction

_NOT_IN_NUT = ("wma", "xma", "adpcm_g7", "atrac")  # it forgets the size of their blocks
# What a decoder gives, as it is.
_RAW = {
    "u8": "pcm_u8", "s16": "pcm_s16le", "s32": "pcm_s32le", "s64": "pcm_s64le",
    "flt": "pcm_f32le", "dbl": "pcm_f64le",
}  # fmt: skip
_WHOLE = SecondsSpan(start=None, end=None, at=Fraction(0))


class LiveAudio:
    """Reads the sound of `pieces` by itself, as far as the picture has come.

    No pieces: all of it. What the output cannot hold is decoded, which loses nothing.
    """

    def __init__(self, source: Source, pieces: Sequence[SecondsSpan], *, sink: Sink) -> None:
        self._source = source
        self._pieces = pieces or (_WHOLE,)
        self._sink = sink
        self._outputs: dict[int, Stream] = {}
        self._next: tuple[int, av.Packet[Any]] | None = None
        self._rising: dict[int, RisingTimestamps] = {}
        self._decoders: dict[int, _SampleDecoder] = {}
        self._open = ExitStack()

    def attach(self, output: OutputContainer) -> None:
        """Add the streams to `output`, before anything is written.

        Raises InputError; SoundLost where there is sound, and none of it can be had.
        """
        container = self._open.enter_context(self._source.open())
        found = container.streams.audio
        for stream in found:
            self._add(stream, output)
        if self._outputs:
            self._packets = self._read(container, list(self._outputs))
            return
        self._open.close()  # or a pipe would keep for it what it never reads
        if found:
            raise SoundLost(
                f"{self._source.path}: none of its sound can be kept; <encode.audio> asks for none"
            )

    def _add(self, stream: AudioStream, output: OutputContainer) -> None:
        index = stream.index
        context: AudioCodecContext | None = getattr(stream, "codec_context", None)
        form: av.AudioFormat | None = getattr(context, "format", None)
        if context is None or form is None:
            text = f"{self._source.path.name}: stream {index}: audio of an unknown codec: left out"
            self._sink(WarningNote(text=text))
            return
        codec = context.codec.canonical_name
        if codec in output.supported_codecs and not codec.startswith(_NOT_IN_NUT):
            self._outputs[index] = output.add_stream_from_template(stream, opaque=True)
        else:
            decoder = self._decoders[index] = _SampleDecoder(context, output)
            self._outputs[index] = decoder.stream
            said = f"{codec} audio does not fit {output.format.name}: decoded to {decoder.name}"
            self._sink(Note(text=f"stream {index}: {said}"))
        self._rising[index] = RisingTimestamps(fine_base(stream))

    def _read(
        self, container: InputContainer, indices: Sequence[int]
    ) -> Iterator[tuple[int, av.Packet[Any]]]:
        for number, piece in enumerate(self._pieces):
            if number:  # not every container can seek; a pipe has one piece only
                self._open.close()
                container = self._open.enter_context(self._source.open())
            streams = [container.streams[i] for i in indices]
            found = packets_of(container, self._source, streams, piece, first=number == 0)
            for index, packet in found:
                if self._rising[index].mend(packet):
                    yield from ((index, p) for p in self._as_written(container, index, packet))
        self._open.close()

    def _as_written(
        self, container: InputContainer, index: int, packet: av.Packet[Any]
    ) -> Iterator[av.Packet[Any]]:
        decoder, stream = self._decoders.get(index), container.streams[index]
        if decoder is None or not isinstance(stream, AudioStream):
            yield packet
        else:
            yield from decoder.decoded(stream.codec_context, packet)

    def until(self, seconds: Fraction | None) -> Iterator[av.Packet[Any]]:
        """Yield the packets that are heard up to then; None: all the rest."""
        if not self._outputs:
            return
        while True:
            if self._next is None:
                self._next = next(self._packets, None)
            if self._next is None:
                return
            index, packet = self._next
            base = to_fraction(packet.time_base) or Fraction(1, 1000)
            if seconds is not None and (packet.pts or 0) * base > seconds:
                return
            self._next = None
            packet.stream = self._outputs[index]
            yield packet

    def close(self) -> None:
        """Close the source."""
        self._open.close()


class _SampleDecoder:
    """Makes samples of packets, in the form in which their decoder gives them."""

    def __init__(self, context: AudioCodecContext, output: OutputContainer) -> None:
        form = context.format.packed.name
        self.name = _RAW[form]
        stream = output.add_stream(
            self.name, rate=context.sample_rate, layout=context.layout.name, format=form
        )
        assert isinstance(stream, AudioStream)
        self.stream = stream
        self._packed = av.AudioResampler(format=form)

    def decoded(
        self, context: AudioCodecContext, packet: av.Packet[Any]
    ) -> Iterator[av.Packet[Any]]:
        """Yield the packet's samples, which begin when it does; none of what is torn."""
        base, begin = to_fraction(packet.time_base), packet.pts
        try:
            frames = [f for frame in context.decode(packet) for f in self._packed.resample(frame)]
        except av.FFmpegError:
            return
        for frame in frames:
            tick = Fraction(1, frame.sample_rate)
            if begin is not None and base is not None:
                frame.pts, frame.time_base = rescale(begin, base, tick), tick
                begin = begin + rescale(frame.samples, tick, base)
            yield from self.stream.encode(frame)
