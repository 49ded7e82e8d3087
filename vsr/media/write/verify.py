"""Whether a written film holds what it should."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from vsr.errors import InputError, OutputError
from vsr.media.format.decoder import demuxed
from vsr.media.source.kinds.base import Source
from vsr.media.source.opening import LENIENT, open_source, reason
from vsr.media.source.streams import family, stream_info
from vsr.timing import to_fraction

_LOOK = 500  # packets in which every stream should have begun


@dataclass(frozen=True, kw_only=True)
class EncodedVideo:
    """The encoded picture that is to be joined, and what it must contain."""

    path: Path
    codec: str
    hidden_alpha: bool  # beside the picture, as VP9 has it; the container must say so
    shape: Fraction  # width by height, as it is shown
    frames: int
    first: Fraction  # seconds
    last: Fraction  # seconds, the last frame's pts


@dataclass(frozen=True, kw_only=True)
class PromisedStream:
    """A stream that the result is to have beside the picture."""

    kind: str
    codec: str = ""  # its family; "": whatever it is


@dataclass(kw_only=True)
class ArrivedAudio:
    """A stream of sound in the result."""

    packets: int
    channels: int


def verify(
    path: Path,
    picture: EncodedVideo,
    promised: Sequence[PromisedStream],
    *,
    moved: bool,
    early: Fraction = Fraction(0),
) -> list[ArrivedAudio]:
    """Read `path` back, without decoding; raises OutputError unless all of it is there.

    Returns its sound, in the order of the streams. `moved`: the container may shift all
    timestamps by the same amount, as MPEG-TS does. `early`: seconds that a stream beside the
    picture begins before zero. Matroska cannot say that, and there all streams are moved by as
    much.
    """
    try:
        with av.open(str(path.absolute()), **LENIENT) as container:
            video = container.streams.video[0]
            base = to_fraction(video.time_base) or Fraction(1)
            sound = {
                s.index: ArrivedAudio(packets=0, channels=_channels(s))
                for s in container.streams.audio
            }
            stamps = _stamps(container, video, sound)
            found = _found(container)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise OutputError(f"the result cannot be read back ({reason(error)})") from error
    if len(stamps) != picture.frames:
        raise OutputError(
            f"the result holds {len(stamps)} frames instead of {picture.frames}; "
            f"the disk may be full"
        )
    tick = max(base, Fraction(1, 1000))  # no container here is coarser than a millisecond
    shift = stamps[0] * base - picture.first
    if (not -tick <= shift <= early + tick and not moved) or not _same_times(
        stamps, base, picture, shift, 2 * tick
    ):
        raise OutputError("the result's timestamps are not the source's")
    for one, count in Counter(promised).items():
        if found[one] < count:
            what = f"{one.codec} {one.kind}".strip()
            raise OutputError(f"the result holds {found[one]} {what} streams instead of {count}")
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return list(sound.values())


def _found(container: InputContainer) -> Counter[PromisedStream]:
    """Return the streams by what they are, and again by their kind alone."""
    found: Counter[PromisedStream] = Counter()
    for stream in container.streams:
        info = stream_info(stream)
        found[PromisedStream(kind=info.kind)] += 1
        if info.codec:
            found[PromisedStream(kind=info.kind, codec=family(info.codec))] += 1
    return found


def _channels(stream: AudioStream) -> int:
    context = stream.codec_context
    return context.layout.nb_channels if context is not None else 0


def _stamps(
    container: InputContainer,
    video: av.VideoStream,
    sound: Mapping[int, ArrivedAudio] | None = None,
) -> array[int]:
    """Return the pts of all pictures, sorted: 8 bytes for each; counts the packets of `sound`,
    too.
    """
    heard, found = sound or {}, array("q")
    for packet in container.demux(video, *(container.streams[index] for index in heard)):
        if packet.size and packet.stream_index in heard:
            heard[packet.stream_index].packets += 1
        elif packet.size and packet.pts is not None:
            found.append(packet.pts)
    return array("q", sorted(found))


def _same_times(
    stamps: Sequence[int], base: Fraction, picture: EncodedVideo, shift: Fraction, most: Fraction
) -> bool:
    """Return whether each picture is where it was before it was joined, moved by `shift` seconds.

    `picture` itself has to begin and end where its frames did.
    """
    with av.open(str(picture.path.absolute()), **LENIENT) as container:
        video = container.streams.video[0]
        own = to_fraction(video.time_base) or Fraction(1)
        before = _stamps(container, video)
    ends = ((before[0], picture.first), (before[-1], picture.last))
    if len(before) != len(stamps):
        return False
    return all(abs(stamp * own - seconds) <= most for stamp, seconds in ends) and all(
        abs(b * base - a * own - shift) <= most for a, b in zip(before, stamps, strict=True)
    )


def earliness(source: Source, indices: Collection[int]) -> Fraction:
    """Return seconds that the first of the source's sounds among `indices` begins before zero.

    Headers do not tell: Ogg says zero where Vorbis begins earlier.
    """
    if not source.copies_streams:
        return Fraction(0)
    starts: dict[int, Fraction] = {}
    with open_source(source.path) as container, suppress(av.FFmpegError, OSError):
        streams = [s for s in container.streams if s.type == "audio" and s.index in indices]
        for packet in islice(demuxed(container, *streams) if streams else (), _LOOK):
            base = to_fraction(packet.time_base)
            stream = packet.stream
            # Matroska can say of other codecs' first packets that they are not played.
            counts = not packet.is_discard or stream.codec_context.name == "vorbis"
            if packet.pts is not None and base is not None and counts:
                starts.setdefault(packet.stream_index, packet.pts * base - source.start)
            if len(starts) == len(streams):
                break
    return max(-min(starts.values(), default=Fraction(0)), Fraction(0))


def packets_in(path: Path, index: int) -> int | None:
    """Return how many packets stream `index` of a file has; None where it cannot be read to its
    end.
    """
    try:
        with open_source(path) as container:
            packets = demuxed(container, container.streams[index])
            return sum(bool(p.size) and not p.is_discard for p in packets)
    except (av.FFmpegError, OSError, InputError):
        return None
