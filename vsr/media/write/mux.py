"""Joins the upscaled picture with everything else that was in the source, by stream copy."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from vsr.errors import FfmpegError, OutputError, SoundLost
from vsr.events import Sink, WarningNote
from vsr.media.ffmpeg import file_argument, plain_name, run
from vsr.media.format.containers import Container, StreamAction
from vsr.media.source.kinds.base import Source
from vsr.media.source.protocols import input_options
from vsr.media.source.spans import SecondsSpan
from vsr.media.source.streams import StreamInfo, family
from vsr.media.write.carried_streams import Carried, CarriedStream, can_be_cut, streams_of
from vsr.media.write.tags import kept_tags, lost, main_of, movie_flags, stale_tags, written_tags
from vsr.media.write.trim import LATER, NOTHING, TrimmedStreams, cut
from vsr.media.write.verify import (
    ArrivedAudio,
    EncodedVideo,
    PromisedStream,
    earliness,
    packets_in,
    verify,
)

_ENCODERS = {"libopus": "opus"}  # whose name is not their codec's
_WHOLE = SecondsSpan(start=None, end=None, at=Fraction(0))


def mux(
    picture: EncodedVideo,
    source: Source,
    target: Path,
    container: Container,
    *,
    pieces: Sequence[SecondsSpan] = (),
    audio: bool = True,
    sink: Sink,
) -> None:
    """Write `target`: the picture, then the source's other streams in their order.

    `pieces`: the parts of the source that the picture shows; none: all of it. `audio`: whether
    its sound is wanted.

    Audio, subtitles, chapters, attachments, tags and dispositions are copied. Sound that cannot
    be copied is copied without its torn packets, or encoded again; what does not fit at all is
    left out with a warning. Uses `target`'s folder for files of its own. Raises FfmpegError, or
    OutputError if the written file is not complete; SoundLost where it is, but for all sound.
    """
    work = _MuxTask(
        picture=picture, source=source, target=target, container=container, pieces=pieces
    )
    streams = streams_of(source, container, target.parent, audio=audio, sink=sink)
    if pieces:
        streams = [one for one in streams if can_be_cut(one, source, sink)]
        work.cut(streams)
    arrived = _settle(work, streams)
    if container.muxer == "mpegts" and not all(there.packets for there in arrived):
        # Which tells nothing of a stream without packets, and players wait for it.
        sound = [one for one in streams if one.stream.kind == "audio" and one.action]
        for one, there in zip(sound, arrived, strict=True):
            if not there.packets:
                one.action, one.why, one.empty = None, "holds nothing", True
        arrived = _join(work, [c for one in streams for c in one.carried])
    carried = [main_of(source), *(one.stream for one in streams if one.action)]
    for what in lost(source, carried, written_tags(target), chapters=work.count_chapters()):
        text = f"{what} does not fit {container.muxer}: left out; an .mkv would keep it"
        sink(WarningNote(text=f"{source.path.name}: {text}"))
    heard = iter(arrived)
    for one in streams:
        one.tell(next(heard) if one.stream.kind == "audio" and one.action else None, source, sink)
    silent = [one for one in streams if one.is_lost_sound(source)]
    if silent and not any(one.stream.kind == "audio" and one.action for one in streams):
        why = f"none of its sound could be kept ({silent[0].why})"
        raise SoundLost(f"{source.path}: {why}; <encode.audio> asks for none")


def _settle(work: _MuxTask, streams: Sequence[CarriedStream]) -> list[ArrivedAudio]:
    """Join all; where that fails, try something else with the streams that it fails for.

    Damage in the source's other streams must not cost the work on the picture.
    """
    try:
        return _join(work, [c for one in streams for c in one.carried])
    except (FfmpegError, OutputError) as error:
        if not any(one.action for one in streams) or _disk_is_full(
            error, work.target, work.picture
        ):
            raise
    for one in streams:
        while one.carried and (trouble := _trouble_with(work, one)) is not None:
            one.try_next(trouble, work.without_torn)
    return _join(work, [c for one in streams for c in one.carried])


def _disk_is_full(error: Exception | str, target: Path, picture: EncodedVideo) -> bool:
    free = shutil.disk_usage(target.parent).free
    limits = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "ulimit -f")
    return any(words in str(error) for words in limits) or free < picture.path.stat().st_size // 2


_NO_STREAM = 0xFFFF  # the number of none: MPEG-TS has 8192 at most


@dataclass(kw_only=True)
class _MuxTask:
    """What is joined with what, and where to."""

    picture: EncodedVideo
    source: Source
    target: Path
    container: Container
    pieces: Sequence[SecondsSpan]  # none: the source's streams are wanted whole
    files: dict[int, Path] = field(default_factory=dict)  # read in place of the source's streams
    chapters: Path | None = None  # None: the source's

    def count_chapters(self) -> int:
        """Return how many chapters the result is to have."""
        if self.chapters is None:
            return self.source.chapters
        return self.chapters.read_text("utf-8", errors="replace").count("[CHAPTER]")

    def cut(self, streams: Sequence[CarriedStream]) -> None:
        """Cut the sound and subtitles; what cannot be is left out."""
        wanted = [one for one in streams if one.stream.kind in ("audio", "subtitle") and one.action]
        cuts = self._cuts(wanted, self.pieces)
        self.files, self.chapters = dict(cuts.files), cuts.chapters
        for one in wanted:
            if (why := cuts.missing.get(one.stream.index)) is not None:
                if why.startswith("writing") and _disk_is_full(why, self.target, self.picture):
                    raise OutputError(f"{self.target.parent.parent}: {why}")
                one.action, one.why, one.empty = None, why, why == NOTHING

    def without_torn(self, one: CarriedStream) -> bool:
        """Read the stream from a copy without what the muxer refuses; False if that is nothing."""
        if self.pieces:
            return False  # it was cut so
        cuts = self._cuts([one], [_WHOLE])
        self.files |= cuts.files
        return one.torn > 0 and one.stream.index in cuts.files

    def _cuts(
        self, streams: Sequence[CarriedStream], pieces: Sequence[SecondsSpan]
    ) -> TrimmedStreams:
        indices = [one.stream.index for one in streams]
        folder, muxer = self.target.parent, self.container.muxer
        cuts = cut(self.source, indices, pieces, folder, muxer=muxer)
        for one in streams:
            one.torn = cuts.torn.get(one.stream.index, 0)
        return cuts


def _trouble_with(work: _MuxTask, one: CarriedStream) -> str | None:
    """Return why the stream cannot be joined alone; None: it can."""
    try:
        _join(work, one.carried)
    except (FfmpegError, OutputError) as error:
        if one.stream.kind == "audio" and not one.stream.codec:
            return "of an unknown codec"
        is_read = packets_in(work.source.path, one.stream.index) is not None
        return f"cannot be joined ({error})" if is_read else "is damaged"
    return None


def _join(work: _MuxTask, carried: list[Carried]) -> list[ArrivedAudio]:
    picture, source, target, files = work.picture, work.source, work.target, work.files
    container = work.container
    target.unlink(missing_ok=True)  # or an earlier try's file would be taken for this one's
    pictures = ffmpeg.input(file_argument(picture.path))
    streams, extra = [pictures["v:0"]], list[str]()
    options: dict[str, Any] = {"f": container.muxer, "codec:0": "copy"}
    # ffmpeg cannot open WebP, nor pictures, nor what came through a pipe; they hold nothing else.
    if source.copies_streams:
        others = ffmpeg.input(
            file_argument(plain_name(source.path, target.parent)),
            **input_options(source.path),
            **_shift(source.start),
        )
        covers = [s for s, _ in carried if s.kind == "cover"] if container.attachments else []
        carried = [(s, action) for s, action in carried if s not in covers]
        # ffmpeg-python forgets an input of which nothing is mapped; its tags and chapters are
        # wanted all the same. "?" lets a mapping find nothing; the program may know of streams
        # that begin later than PyAV has looked.
        nothing = f"{_NO_STREAM}?"
        streams.append(others[nothing])
        streams += [_read_from(others, stream, files) for stream, _ in carried]
        options |= _copied(source, carried) | _dispositions(source, container, carried)
        if work.chapters is not None:
            streams.append(ffmpeg.input(file_argument(work.chapters), f="ffmetadata")[nothing])
            options["map_chapters"] = 2 + len({s.index for s, _ in carried} & set(files))
        extra += stale_tags(_encoded_again(carried, files))
        extra += kept_tags(source, [main_of(source), *(stream for stream, _ in carried)])
        extra += _attached(source, covers, carried, target.parent)
    if picture.hidden_alpha:
        extra += ["-metadata:s:0", "alpha_mode=1"]
    options |= _details(picture, container)
    if container.muxer in ("mp4", "mov"):
        options["movflags"] = container.options["movflags"] + movie_flags(source)
        if source.video.views is not None:
            options["strict"] = "unofficial"  # as the boxes are that say so
    failure: FfmpegError | None = None
    try:
        # Timestamps are ours to keep: no shifting of either input to zero.
        run(streams, target, options, extra=["-copyts", *extra])
    except FfmpegError as error:
        if not target.exists():
            raise
        failure = error  # damage that it passed over, perhaps: what it wrote will tell
    promised = [PromisedStream(kind="video"), *(_promised(*one) for one in carried)]
    try:
        arrived = verify(
            target,
            picture,
            [one for one in promised if one.kind != "attachment"],
            moved=container.shifts,
            early=earliness(source, {s.index for s, _ in carried}),
        )
        _check_sound(work, carried, arrived, whole=failure is not None)
    except OutputError as error:
        if failure is None:
            raise
        raise failure from error
    return arrived


def _promised(stream: StreamInfo, action: StreamAction) -> PromisedStream:
    if stream.kind not in ("audio", "subtitle"):
        return PromisedStream(kind=stream.kind)
    codec = (
        stream.codec if action.codec == "copy" else _ENCODERS.get(action.codec or "", action.codec)
    )
    return PromisedStream(kind=stream.kind, codec=family(codec or ""))


def _check_sound(
    work: _MuxTask, carried: Sequence[Carried], arrived: Sequence[ArrivedAudio], *, whole: bool
) -> None:
    """Raise OutputError if sound arrived empty; `whole`: or less of it than is to be copied."""
    sound = [one for one in carried if one[0].kind == "audio"]
    for (stream, action), there in zip(sound, arrived, strict=True):
        copied = whole and action.codec == "copy"
        if there.packets and not copied:
            continue
        cut_out = work.files.get(stream.index)
        path, index = (work.source.path, stream.index) if cut_out is None else (cut_out, 0)
        packets = packets_in(path, index) or 0
        if there.packets < (packets if copied else min(packets, 1)):
            raise OutputError(f"{there.packets} of its {packets} packets arrived")


def _read_from(others: Any, stream: StreamInfo, files: Mapping[int, Path]) -> Any:
    """Return the stream in the source, or in the file that holds the cut of it."""
    if stream.index not in files:
        return others[str(stream.index)]
    return ffmpeg.input(file_argument(files[stream.index]), itsoffset=str(-LATER))["0"]


def _shift(start: Fraction) -> dict[str, str]:
    return {"itsoffset": f"{float(-start):.6f}"} if start else {}


def _copied(source: Source, carried: list[Carried]) -> dict[str, Any]:
    # Naming one stream's tags ends ffmpeg's own copying of all others', so all are named.
    options: dict[str, Any] = {
        "map_metadata": "1",
        "map_chapters": "1",
        "map_metadata:s:0": f"1:s:{source.video.index}",
    }
    for n, (stream, action) in enumerate(carried, start=1):
        options[f"map_metadata:s:{n}"] = f"1:s:{stream.index}"
        options[f"codec:{n}"] = action.codec
        options |= {f"{name}:{n}": value for name, value in action.options.items()}
        if stream.kind == "audio" and action.codec != "copy":
            options["max_error_rate"] = "1"  # what can be decoded is kept, however little
    return options


def _dispositions(source: Source, container: Container, carried: list[Carried]) -> dict[str, str]:
    """Return the source's flags (forced, default, ...), as they are; the upscaled video is the
    default.

    A source that has none, as MPEG-TS, leaves them to ffmpeg.
    """
    several = any(stream.kind == "video" for stream, _ in carried)
    if not several and not any(s.disposition for s in source.streams):
        return {}
    flags = [main_of(source).disposition | ({"default"} if several else set())]
    for stream, _ in carried:
        flags.append(stream.disposition - ({"default"} if stream.kind == "video" else set()))
    options = {f"disposition:{n}": "+".join(sorted(f)) or "0" for n, f in enumerate(flags)}
    says_default = any("default" in f for f in flags)
    if says_default and container.muxer in ("matroska", "webm"):
        options["default_mode"] = "passthrough"  # or the first of a kind is made the default
    return options


def _encoded_again(carried: list[Carried], files: Mapping[int, Path]) -> list[int]:
    """Return the numbers of the streams that are not a whole copy."""
    ours = [0]
    for n, (stream, action) in enumerate(carried, start=1):
        if action.codec != "copy" or stream.index in files:
            ours.append(n)
    return ours


def _attached(
    source: Source,
    covers: list[StreamInfo],
    carried: list[Carried],
    folder: Path,
) -> list[str]:
    """Return cover art as Matroska wants it: an attached file, not one more video track."""
    arguments: list[str] = []
    before = sum(stream.kind == "attachment" for stream, _ in carried)
    for n, stream in enumerate(covers):
        suffix, mime = ("png", "png") if stream.codec == "png" else ("jpg", "jpeg")
        file = folder / f"cover{n}.{suffix}"
        path = file_argument(plain_name(source.path, folder))
        whole = ffmpeg.input(path, **input_options(source.path))
        single = {"codec": "copy", "f": "image2", "frames": 1, "update": 1}
        run([whole[str(stream.index)]], file, single)
        name = stream.file_name or f"cover{n + 1 if n else ''}.{suffix}"
        tag = f"-metadata:s:t:{before + n}"
        arguments += ["-attach", str(file)]
        arguments += [tag, f"mimetype=image/{mime}", tag, f"filename={name}"]
    return arguments


def _details(picture: EncodedVideo, container: Container) -> dict[str, Any]:
    options: dict[str, Any] = {"max_interleave_delta": "0"}  # late streams are not pushed on
    if container.muxer in ("mp4", "mov"):
        if picture.codec == "hevc":
            options["tag:0"] = "hvc1"  # the name that Apple's players know
        options |= movie_timescale(picture.first)
    if picture.codec in _SHAPELESS and container.muxer in ("matroska", "webm"):
        options["aspect:0"] = f"{picture.shape.numerator}:{picture.shape.denominator}"
    return options | dict(container.options)


# Streams that do not say how wide their pixels are; PyAV cannot tell Matroska of it.
_SHAPELESS = frozenset({"av1", "vp9"})


def movie_timescale(first: Fraction) -> dict[str, str]:
    """Return the timescale in which MP4 counts a late start; milliseconds unless it is told
    otherwise.
    """
    return {"movie_timescale": str(max(first.denominator, 1000))} if (first * 1000) % 1 else {}
