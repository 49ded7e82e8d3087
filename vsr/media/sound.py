"""The source's sound beside a picture that is written into a pipe, where nothing comes later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from vsr.events import Note, Sink
from vsr.media.packets import Rising, fine_base, packets_of
from vsr.media.probe import SourceInfo, open_source
from vsr.media.spans import Piece
from vsr.timing import to_fraction

_NOT_IN_NUT = ("wma", "xma", "adpcm_g7", "atrac")  # it forgets the size of their blocks
_WHOLE = Piece(start=None, end=None, at=Fraction(0))


class Sound:
    """Reads the sound of `pieces` by itself, as far as the picture has come.

    No pieces: all of it. Streams that the output cannot hold are left out with a note.
    """

    def __init__(self, source: SourceInfo, pieces: Sequence[Piece], *, sink: Sink) -> None:
        self._source = source
        self._pieces = pieces or (_WHOLE,)
        self._sink = sink
        self._outputs: dict[int, Stream] = {}
        self._next: tuple[int, av.Packet[Any]] | None = None
        self._rising: dict[int, Rising] = {}
        self._open = ExitStack()

    def attach(self, output: OutputContainer) -> None:
        """Add the streams to `output`, before anything is written. Raises InputError."""
        path, pipe = self._source.path, self._source.pipe
        container = self._open.enter_context(open_source(path, pipe))
        wanted = []
        for stream in container.streams:
            if stream.type != "audio" or stream.codec_context is None:
                continue
            codec = stream.codec_context.codec.canonical_name
            if codec in output.supported_codecs and not codec.startswith(_NOT_IN_NUT):
                wanted.append(stream.index)
                copy = output.add_stream_from_template(stream, opaque=True)
                self._outputs[stream.index] = copy
                self._rising[stream.index] = Rising(fine_base(stream))
            else:
                said = f"{codec} sound does not fit {output.format.name}: left out"
                self._sink(Note(text=f"stream {stream.index}: {said}"))
        if wanted:
            self._packets = self._read(container, wanted)
        else:  # or a pipe would keep for it what it never reads
            self._open.close()

    def _read(
        self, container: InputContainer, indices: Sequence[int]
    ) -> Iterator[tuple[int, av.Packet[Any]]]:
        for number, piece in enumerate(self._pieces):
            if number:  # not every container can seek; a pipe has one piece only
                self._open.close()
                container = self._open.enter_context(open_source(self._source.path))
            streams = [container.streams[i] for i in indices]
            found = packets_of(container, self._source, streams, piece, first=number == 0)
            for index, packet in found:
                if self._rising[index].mend(packet):
                    yield index, packet
        self._open.close()

    def until(self, seconds: Fraction | None) -> Iterator[av.Packet[Any]]:
        """The packets that are heard up to then; None: all the rest."""
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
        self._open.close()
