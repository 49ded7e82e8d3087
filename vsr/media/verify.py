"""Whether a written film holds what it should."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer

from vsr.errors import InputError, OutputError
from vsr.media.probe import LENIENT, SourceInfo, open_source, reason
from vsr.timing import to_fraction

_LOOK = 500  # packets in which every stream should have begun


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The encoded picture that is to be joined, and what it must contain."""

    path: Path
    codec: str
    hidden_alpha: bool  # beside the picture, as VP9 has it; the container must say so
    frames: int
    first: Fraction  # seconds
    last: Fraction  # seconds, the last frame's pts


def verify(
    path: Path,
    picture: Picture,
    wanted: Counter[str],
    *,
    moved: bool,
    early: Fraction = Fraction(0),
) -> None:
    """Read `path` back, without decoding; raises OutputError unless all of it is there.

    `moved`: the container may shift all timestamps by the same amount, as MPEG-TS does.
    `early`: seconds that a stream beside the picture begins before zero. Matroska cannot say
    that, and there all streams are moved by as much.
    """
    try:
        with av.open(str(path.absolute()), **LENIENT) as container:
            video = container.streams.video[0]
            base = to_fraction(video.time_base) or Fraction(1)
            stamps = _stamps(container, video)
            cover = av.stream.Disposition.attached_pic
            found = Counter(
                "cover" if s.type == "video" and s.disposition & cover else s.type
                for s in container.streams
            )
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
    for kind, count in wanted.items():
        if found[kind] < count:
            raise OutputError(f"the result holds {found[kind]} {kind} streams instead of {count}")
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _stamps(container: InputContainer, video: av.VideoStream) -> array[int]:
    """The pts of all pictures, sorted: 8 bytes for each."""
    packets = container.demux(video)
    return array("q", sorted(p.pts for p in packets if p.size and p.pts is not None))


def _same_times(
    stamps: Sequence[int], base: Fraction, picture: Picture, shift: Fraction, most: Fraction
) -> bool:
    """Whether each picture is where it was before it was joined, moved by `shift` seconds.

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


def earliness(source: SourceInfo, indices: Collection[int]) -> Fraction:
    """Seconds that the first of the source's sounds among `indices` begins before zero.

    Headers do not tell: Ogg says zero where Vorbis begins earlier.
    """
    if source.pictures is not None or source.pipe is not None or source.format == "webp":
        return Fraction(0)
    starts: dict[int, Fraction] = {}
    with open_source(source.path) as container, suppress(av.FFmpegError, OSError):
        streams = [s for s in container.streams if s.type == "audio" and s.index in indices]
        for packet in islice(container.demux(*streams) if streams else (), _LOOK):
            base = to_fraction(packet.time_base)
            if packet.pts is not None and base is not None and not packet.is_discard:
                starts.setdefault(packet.stream_index, packet.pts * base - source.start)
            if len(starts) == len(streams):
                break
    return max(-min(starts.values(), default=Fraction(0)), Fraction(0))


def reads(source: SourceInfo, index: int) -> bool:
    """Whether the source's stream `index` can be read to its end."""
    try:
        with open_source(source.path) as container:
            for _ in container.demux(container.streams[index]):
                pass
    except (av.FFmpegError, OSError, InputError):
        return False
    return True
