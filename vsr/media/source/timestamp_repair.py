"""Sources whose clock starts anew: recordings joined end to end, receivers that lost the signal.

Demuxers hand the timestamps through as they are, so what comes behind such a place would be
squeezed to nothing, or stand still for hours. A source of that kind is copied once, packet by
packet, with a clock that goes on. `ClockSplitter` decides which packet belongs to which clock.
In the copy a programme of MPEG-TS that goes on under new PIDs, as other streams, is one again.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from vsr.errors import InputError
from vsr.events import Sink, WarningNote
from vsr.media.format.decoder import demuxed
from vsr.media.source.integrity import joined_files, named_streams
from vsr.media.source.kinds.base import Source
from vsr.media.source.opening import LENIENT, open_source, reason
from vsr.media.source.streams import family, kind_of, stream_info
from vsr.timing import to_fraction

_BACK = Fraction(1, 10)  # seconds that a stream may step back, as careless muxers let it
_AHEAD = 10  # seconds without any packet, from which a broadcast has jumped; ffmpeg's threshold
_LONGEST = 10  # seconds; the last packet of a chained Ogg says that it lasts for a day
# Their time is counted from an index, or along the file.
_STEADY = frozenset({"avi", "gif", "apng", "image2"})
_SEVERAL = 2
_LATE = 3  # packets that a demuxer may hand out long after the others of their stream
_THEORA_HEADER = 0x80  # in a packet's first byte (Theora specification, 6.1)


@dataclass
class _ClockEra:
    """The packets of one clock, in seconds as the file says them."""

    at: Fraction  # of the latest packet
    begins: Fraction
    ends: dict[int, Fraction] = field(default_factory=dict)  # by stream


@dataclass
class _Pace:
    """How far one stream has come in its era."""

    era: int = 0
    now: tuple[int, int] | None = None  # the stretch and the stream in it that it is now
    last: Fraction | None = None  # decoding time
    shown: Fraction | None = None  # the latest pts


class ClockSplitter:
    """Tells packets of one clock from those of the next, in the order of the file.

    A packet that lies before what its stream has had starts a new era, or joins the one that
    another stream has started. Others join it, too, once their times are nearer to its own. Where
    `may_skip`, as broadcasts do, seconds in which no stream has a packet start one as well.
    """

    def __init__(
        self, follows: Mapping[int, int], *, may_skip: bool, stretches: Sequence[_Stretch] = ()
    ) -> None:
        self.follows = follows  # what goes on with which stream
        self.stretches = stretches  # of the file, in the order in which they are read
        self._may_skip = may_skip
        self._paces: dict[int, _Pace] = {}
        self.eras: list[_ClockEra] = []
        self.late = 0  # streams that begin where no demuxer looks for them

    @property
    def repairs(self) -> bool:
        """Whether the source cannot be read as it is."""
        return len(self.eras) > 1 or len(self.stretches) > 1

    def era_of(self, packet: av.Packet[Any], index: int, stretch: int) -> int | None:
        """Return the number of the packet's era; None where it has no time.

        `index`: the source's stream that it belongs to, or goes on with; `stretch`: the number
        of the one that it was read from.
        """
        base = to_fraction(packet.time_base)
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or base is None:
            return None
        at = stamp * base
        pace = self._paces.setdefault(index, _Pace())
        timed = packet.stream.type in ("audio", "video")
        if not self.eras:
            self.eras.append(_ClockEra(at, at))
        newest = len(self.eras) - 1
        now = (stretch, packet.stream_index)
        anew = pace.now not in (None, now)
        pace.now = now
        if pace.era < newest and self._is_nearer(at, pace.era, newest):
            self._join(pace, newest)
        elif timed and (
            self._is_back(packet, pace, base)
            or self._is_ahead(at, pace)
            or (anew and at < self.eras[pace.era].ends.get(index, at))
        ):
            if pace.era == newest:
                self.eras.append(_ClockEra(at, at))
            self._join(pace, len(self.eras) - 1)
        era = self.eras[pace.era]
        if timed:
            era.at, era.begins = at, min(era.begins, at)
            length = min((packet.duration or 0) * base, Fraction(_LONGEST))
            era.ends[index] = max(era.ends.get(index, at), at + length)
        pace.last = packet.dts * base if packet.dts is not None else pace.last
        pace.shown = at if pace.shown is None else max(pace.shown, at)
        return pace.era

    def _is_nearer(self, at: Fraction, old: int, new: int) -> bool:
        return abs(at - self.eras[new].at) < abs(at - self.eras[old].at)

    def _join(self, pace: _Pace, era: int) -> None:
        pace.era, pace.last, pace.shown = era, None, None

    def _is_back(self, packet: av.Packet[Any], pace: _Pace, base: Fraction) -> bool:
        # In the order of decoding nothing before a keyframe is shown behind it.
        if packet.is_keyframe and packet.pts is not None and pace.shown is not None:
            return packet.pts * base < pace.shown - _BACK
        # Matroska has no dts, and what ffmpeg makes up for it is out of order.
        if "matroska" in packet.stream.container.format.name or packet.dts is None:
            return False
        return pace.last is not None and packet.dts * base < pace.last - _BACK

    def _is_ahead(self, at: Fraction, pace: _Pace) -> bool:
        return self._may_skip and pace.last is not None and at - self.eras[pace.era].at > _AHEAD

    def shifts(self, start: Fraction) -> list[Fraction]:
        """Return seconds that are added to the times of each era, so that each follows the one
        before.

        It begins where all streams have ended that go on in it. `start`: the film's own zero.
        """
        shifts = [-start]
        for before, era in itertools.pairwise(self.eras):
            ends = [end for index, end in before.ends.items() if index in era.ends]
            ends = ends or list(before.ends.values()) or [before.at]
            shifts.append(max(ends) + shifts[-1] - era.begins)
        return shifts


def clocks_of(source: Source) -> ClockSplitter:
    """Read all of the source, without decoding, and tell its clocks apart."""
    if not source.copies_streams or source.format in _STEADY:
        return ClockSplitter({}, may_skip=False)
    stretches, follows = _joined(source), dict[int, int]()
    if not stretches:
        follows = _followers(source)
        # The last packets of a stream that has ended come at the very end of a file, so what
        # goes on with others is read after them.
        first = {s.index: s.index for s in source.streams if s.index not in follows}
        stretches = [_Stretch(None, heads) for heads in (first, follows) if heads]
    else:
        heads = {index for stretch in stretches for index in stretch.heads.values()}
        follows = {s.index: source.video.index for s in source.streams if s.index not in heads}
    clocks = ClockSplitter(follows, may_skip=source.any_start, stretches=stretches)
    clocks.late = _late(source) if stretches[0].part is None else 0
    for packet, index, stretch in _packets(source, stretches):
        clocks.era_of(packet, index, stretch)
    return clocks


def _late(source: Source) -> int:
    """Count the streams of MPEG-TS that a demuxer has not found at the file's beginning and end."""
    if source.format != "mpegts":
        return 0
    with open_source(source.path) as container:
        return len(named_streams(source.path) - {s.id for s in container.streams})


@dataclass(frozen=True)
class _Stretch:
    """A part of the file that a demuxer can read, and which of the source's streams it holds."""

    part: tuple[int, int] | None  # bytes; None: all
    heads: Mapping[int, int]  # by the index of a stream there


def _joined(source: Source) -> list[_Stretch]:
    """Return the files that were joined to this one, if ffmpeg would not read them all."""
    parts = joined_files(source.path, source.format)
    if len(parts) < _SEVERAL:
        return []
    if source.format != "mpegts":
        same = {s.index: s.index for s in source.streams}
        return [_Stretch(part, same) for part in parts]
    with open_source(source.path) as container:
        known = {(s.id, kind_of(s)): s.index for s in container.streams}
    found: list[_Stretch] = []
    late, order = False, dict[tuple[str, int], tuple[int, str]]()
    for part in parts:
        heads: dict[int, int] = {}
        with suppress(InputError), open_source(source.path, part=part) as container:
            counts: Counter[str] = Counter()
            for stream in container.streams:
                kind = kind_of(stream)
                place, codec = (kind, counts[kind]), family(stream_info(stream).codec)
                counts[kind] += 1
                late |= kind == "video" and (stream.id, kind) not in known
                if not found and (stream.id, kind) in known:
                    order[place] = known[stream.id, kind], codec
                if place in order and order[place][1] == codec:
                    heads[stream.index] = order[place][0]
        found.append(_Stretch(part, heads))
    return found if late else []


def _followers(source: Source) -> dict[int, int]:
    """Find streams of MPEG-TS that begin where others of their kind have ended, and which those
    are.
    """
    videos = source.of_kind("video")
    if source.format != "mpegts" or len(videos) < _SEVERAL:
        return {}
    first: dict[int, int] = {}
    latest: dict[int, deque[int]] = {}
    with open_source(source.path) as container, suppress(av.FFmpegError, OSError):
        for n, packet in enumerate(demuxed(container)):
            if packet.size:
                first.setdefault(packet.stream_index, n)
                latest.setdefault(packet.stream_index, deque(maxlen=_LATE)).append(n)
    follows: dict[int, int] = {}
    ends: dict[int, int] = {}  # of what may be gone on with
    known = {
        s.index: (s.kind, family(s.codec)) for s in source.of_kind("video", "audio", "subtitle")
    }
    for index in sorted(first.keys() & known, key=first.__getitem__):
        if len(latest[index]) < _LATE:
            continue  # a picture or two are no programme
        before = [i for i in ends if known[i] == known[index] and ends[i] <= first[index]]
        head = max(before, key=ends.__getitem__, default=index)
        if head != index:
            follows[index] = head
        ends[head] = latest[index][0]
    film = follows.get(source.video.index, source.video.index)
    return follows if film in {follows.get(v.index) for v in videos} else {}


def repaired(
    source: Source, clocks: ClockSplitter, folder: Path, *, sink: Sink
) -> tuple[Path, int]:
    """Return a copy of the source, in `folder`, whose clock goes on, and its picture's index there.

    Raises InputError where the source is too damaged for that.
    """
    # What says the most of such streams; NUT takes any codec and keeps the time base.
    name = "matroska" if "matroska" in source.format else "nut"
    name = "mp4" if "mp4" in source.format else name
    path = folder / f"mended.{name}"
    failure: Exception | None = None
    for muxer in dict.fromkeys((name, "nut")):
        try:
            held, lost = _copy(source, clocks, path, muxer)
        except (av.FFmpegError, OSError, ValueError) as error:
            failure = error
            continue
        for stream in source.streams:
            if stream.index not in held and stream.index not in clocks.follows:
                text = (
                    f"stream {stream.index}: {stream.kind} cannot be mended with the rest: left out"
                )
                sink(WarningNote(text=text))
        if lost:
            said = f"{lost} packets lie before what is heard already: left out"
            sink(WarningNote(text=f"{source.path.name}: {said}"))
        return path, held.index(clocks.follows.get(source.video.index, source.video.index))
    assert failure is not None
    why = f"its clock jumps, and cannot be mended ({reason(failure)})"
    raise InputError(f"{source.path}: {why}") from failure


def _copy(source: Source, clocks: ClockSplitter, path: Path, muxer: str) -> tuple[list[int], int]:
    """Write the copy; returns the source's index of each of its streams, and what is not in it."""
    lost = 0
    begins = clocks.eras[0].begins
    shifts = clocks.shifts(begins if source.any_start else min(begins, Fraction(0)))
    again = ClockSplitter({}, may_skip=source.any_start)
    with (
        open_source(source.path) as container,
        av.open(str(path.absolute()), "w", format=muxer, **LENIENT) as output,
    ):
        output.metadata.update(container.metadata)
        output.set_chapters(container.chapters())
        copies = _streams(container, output, clocks.follows)
        for packet, index, stretch in _packets(source, clocks.stretches):
            era, copy = again.era_of(packet, index, stretch), copies.get(index)
            if copy is None:
                continue
            if era is None or not copy.place(packet, shifts[era]):
                lost += 1
            else:
                output.mux(packet)
    return list(copies), lost


def _packets(
    source: Source, stretches: Sequence[_Stretch]
) -> Iterator[tuple[av.Packet[Any], int, int]]:
    """Yield all packets, up to where each stretch cannot be read any more, and whose they are.

    That is the source's stream that each belongs to, or goes on with, and its stretch's number.
    """
    for number, stretch in enumerate(stretches):
        with (
            suppress(av.FFmpegError, OSError),
            open_source(source.path, part=stretch.part) as container,
        ):
            streams = [s for s in container.streams if s.index in stretch.heads]
            for packet in _without_headers(container, streams) if streams else ():
                yield packet, stretch.heads[packet.stream_index], number


def _without_headers(
    container: InputContainer, streams: Sequence[Stream]
) -> Iterator[av.Packet[Any]]:
    for packet in demuxed(container, *streams):
        if not packet.size:
            continue
        context = packet.stream.codec_context if packet.stream.type == "video" else None
        if (
            context is not None
            and context.name == "theora"
            and memoryview(packet)[0] & _THEORA_HEADER
        ):
            continue  # the next film's in a chained Ogg; the first one's is no packet
        yield packet


@dataclass
class _StreamCopy:
    """One stream of the copy, whose packets have to be in the order of decoding."""

    stream: Stream
    guesses: bool  # the dts: of Matroska's video
    last: int | None = None
    keys: tuple[int, int] | None = None  # pts of the last two keyframes

    def place(self, packet: av.Packet[Any], shift: Fraction) -> bool:
        """Move the packet by `shift` seconds; False where there is no place for it any more."""
        base = to_fraction(packet.time_base) or Fraction(1, 1000)
        by = round(shift / base)
        pts = (packet.pts if packet.pts is not None else packet.dts or 0) + by
        dts = packet.dts + by if packet.dts is not None else pts
        if self.guesses:  # nothing is shown before the last keyframe but one
            if packet.is_keyframe or self.keys is None:
                self.keys = (self.keys or (pts, pts))[1], pts
            dts = self.keys[0]
        least = dts if self.last is None else self.last + (not self.guesses)
        dts = min(max(dts, least), max(pts, least))
        if pts < dts:
            if packet.stream.type != "video":
                return False  # it is all in the past
            pts = dts
        packet.pts, packet.dts, self.last = pts, dts, dts
        packet.stream = self.stream
        return True


def _streams(
    container: InputContainer, output: OutputContainer, follows: Mapping[int, int]
) -> dict[int, _StreamCopy]:
    """Return a stream of the copy for each one of the source that it can hold."""
    copies = {}
    matroska = output.format.name == "matroska"
    for stream in container.streams:
        kind = kind_of(stream)
        if (
            stream.index in follows
            or kind in ("cover", "data")
            or (kind == "attachment" and not matroska)
            or (isinstance(stream, av.AudioStream) and not stream.codec_context.sample_rate)
        ):
            continue
        try:
            copy = output.add_stream_from_template(stream, opaque=True)
        except ValueError:  # a codec that does not fit
            if stream.type == "video":
                raise
            continue
        copy.time_base = stream.time_base
        copy.metadata.update(stream.metadata)
        copy.disposition = stream.disposition
        rate = to_fraction(stream.average_rate) if isinstance(stream, av.VideoStream) else None
        if isinstance(copy, av.VideoStream) and rate is not None:
            copy.codec_context.framerate = rate
        copies[stream.index] = _StreamCopy(copy, matroska and kind == "video")
    return copies
