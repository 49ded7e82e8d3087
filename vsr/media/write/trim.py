"""Sound and subtitles of a part of a film, or without what is torn in them, by copy.

ffmpeg cuts whole files at keyframes. Here each stream is cut by itself, into a small file of
its own that the muxer reads in the source's place, so that every packet keeps its distance
from the picture.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.stream import Stream

from vsr.errors import InputError, OutputError
from vsr.media.source.kinds.base import Source
from vsr.media.source.opening import LENIENT, open_source, reason
from vsr.media.source.spans import SecondsSpan
from vsr.media.write.muxer_trial import PacketTrial
from vsr.media.write.trim_packets import COARSE, RisingTimestamps, fine_base, packets_of
from vsr.timing import to_fraction

# What is written may start before zero, which NUT and Matroska cannot say.
LATER = 100  # seconds that are added to all timestamps of the cut files
NOTHING = "holds nothing in this part"
# The first that takes the codec: NUT keeps any time base, MOV that of sound, Matroska holds all.
_CONTAINERS = ("nut", "mov", "matroska")
# NUT says AC-3 of E-AC-3, and forgets the size of the blocks that some codecs come in.
_OTHERS = {"eac3": ("mov", "matroska")}
_IN_BLOCKS = ("wma", "xma", "adpcm_", "atrac", "gsm_ms", "truespeech")  # how their names begin
_FOR_BLOCKS = ("asf", "mov", "matroska", "nut")


@dataclass(frozen=True, kw_only=True)
class TrimmedStreams:
    """What takes the place of the source's streams and chapters."""

    files: Mapping[int, Path]  # by the stream's index; one stream, LATER seconds late
    chapters: Path  # as ffmpeg's metadata file
    missing: Mapping[int, str]  # why there is no file of a stream
    torn: Mapping[int, int]  # packets of a stream that the target's muxer refuses


def cut(
    source: Source,
    indices: Sequence[int],
    pieces: Sequence[SecondsSpan],
    folder: Path,
    *,
    muxer: str,
) -> TrimmedStreams:
    """Return what the source's sound and subtitle streams `indices` hold of `pieces`, in `folder`.

    `muxer`: the target's, which some packets may be too torn for. Trouble with a stream costs
    that stream alone. Raises OutputError where nothing can be written.
    """
    hides = muxer in ("mp4", "mov")  # the first part of a packet need not be played
    files = {index: _TrimmedFile(folder / f"stream{index}.cut", muxer) for index in indices}
    text, trouble = ";FFMETADATA1\n", None
    try:
        if not source.only_pictures:
            text = _chapters(source, pieces)
            _cut_streams(source, files, pieces, hides=hides)
    except InputError as error:
        trouble = str(error)
    finally:
        for file in files.values():
            file.close()
    chapters = folder / "chapters.cut"
    try:
        chapters.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise OutputError(f"{folder.parent}: writing failed ({reason(error)})") from error
    missing = {i: trouble or file.trouble or "" for i, file in files.items()}
    missing |= {i: NOTHING for i, f in files.items() if f.empty and not missing[i]}
    return TrimmedStreams(
        files={i: file.path for i, file in files.items() if not missing[i]},
        chapters=chapters,
        missing={i: why for i, why in missing.items() if why},
        torn={i: f.torn for i, f in files.items() if f.torn},
    )


def _chapters(source: Source, pieces: Sequence[SecondsSpan]) -> str:
    """Return the chapters of the pieces, each as far as it lies in one."""
    with open_source(source.path) as container:
        chapters = container.chapters()
    lines = [";FFMETADATA1"]
    for piece in pieces:
        for chapter in chapters:
            base = to_fraction(chapter["time_base"]) or Fraction(1)
            start, end = (Fraction(chapter[k]) * base - source.start for k in ("start", "end"))
            start = max(start, piece.start or start)
            end = min(end, end if piece.end is None else piece.end)
            if start < end:
                times = ((start + piece.shift), (end + piece.shift))
                lines += ["[CHAPTER]", "TIMEBASE=1/1000"]
                lines += [
                    f"{k}={round(t * 1000)}" for k, t in zip(("START", "END"), times, strict=True)
                ]
                lines += [f"{k}={_escaped(v)}" for k, v in chapter["metadata"].items()]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return re.sub(r"([=;#\\\n])", r"\\\1", text)


def _cut_streams(
    source: Source,
    files: Mapping[int, _TrimmedFile],
    pieces: Sequence[SecondsSpan],
    *,
    hides: bool,
) -> None:
    for number, piece in enumerate(pieces):
        with open_source(source.path) as container:
            streams = [container.streams[i] for i in files]
            for stream in streams:
                if number == 0:
                    files[stream.index].open(stream, hides=hides)
            taken = packets_of(
                container,
                source,
                [s for s in streams if files[s.index].trouble is None],
                dataclasses.replace(piece, at=piece.at + LATER),
                hides=hides,
                first=number == 0,
                last=number == len(pieces) - 1,
            )
            for index, packet in taken:
                files[index].write(packet)


class _TrimmedFile:
    """The cut of one stream. What goes wrong with it is in `trouble`."""

    def __init__(self, path: Path, muxer: str) -> None:
        self.path = path
        self.trouble: str | None = None
        self.empty = True
        self.torn = 0
        self._muxer = muxer
        self._sieve: PacketTrial | None = None
        self._container: OutputContainer | None = None

    def open(self, stream: Stream, *, hides: bool) -> None:
        """Begin a file that takes the packets of `stream`."""
        for name in _containers(stream, hides=hides):
            rate = getattr(stream, "sample_rate", None)
            exact = {"movie_timescale": str(rate)} if name == "mov" and rate else {}
            path = str(self.path.absolute())
            try:
                container = av.open(path, "w", format=name, options=exact, **LENIENT)
            except (av.FFmpegError, OSError) as error:
                self.trouble = f"writing failed ({reason(error)})"
                return
            self._container = container
            try:
                self._output: Stream = container.add_stream_from_template(stream, opaque=True)
                self._output.time_base = fine_base(stream)
                container.start_encoding()
            except (av.FFmpegError, OSError, ValueError):
                self.close()
                continue
            self._rising = RisingTimestamps(to_fraction(self._output.time_base) or COARSE)
            if stream.type == "audio":
                self._sieve = PacketTrial.of(stream, self._muxer)
            return
        self.trouble = "cannot be cut"

    def write(self, packet: av.Packet[Any]) -> None:
        container = self._container
        if container is None or self.trouble is not None or not self._rising.mend(packet):
            return
        if self._sieve is not None and not self._sieve.takes(packet):
            self.torn += 1
            return
        try:
            packet.stream = self._output
            container.mux_one(packet)
            self.empty = False
        except (av.FFmpegError, OSError, ValueError) as error:
            self.trouble = f"writing failed ({reason(error)})"

    def close(self) -> None:
        """Complete the file; again is harmless."""
        container, self._container = self._container, None
        sieve, self._sieve = self._sieve, None
        if sieve is not None:
            sieve.close()
        try:
            if container is not None:
                container.close()
        except (av.FFmpegError, OSError, ValueError) as error:
            self.trouble = self.trouble or f"writing failed ({reason(error)})"


def _containers(stream: Stream, *, hides: bool) -> tuple[str, ...]:
    if stream.type == "subtitle":
        return ("matroska",)
    codec = stream.codec_context.codec.canonical_name
    if codec.startswith(_IN_BLOCKS):
        return _FOR_BLOCKS
    if codec == "opus" and not hides:
        return ("matroska", "nut")  # which keeps the lead-in, or Matroska would move the picture
    return _OTHERS.get(codec, _CONTAINERS)
