"""Joins the upscaled picture with everything else that was in the source, by stream copy."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from vsr.errors import FfmpegError, OutputError
from vsr.events import Note, Sink
from vsr.media.containers import Container, Fate, audio_fate, subtitle_fate, video_fate
from vsr.media.cut import Cuts, cut
from vsr.media.ffmpeg import file_argument, run
from vsr.media.probe import SourceInfo
from vsr.media.spans import Piece
from vsr.media.streams import StreamInfo
from vsr.media.trust import input_options
from vsr.media.verify import Picture, earliness, reads, verify

Carried = tuple[StreamInfo, Fate]

# What other programs wrote about the source's video, and is no longer true of ours.
_STALE = (
    "BPS", "BPS-eng", "DURATION", "DURATION-eng", "ENCODER", "NUMBER_OF_BYTES",
    "NUMBER_OF_BYTES-eng", "NUMBER_OF_FRAMES", "NUMBER_OF_FRAMES-eng", "_STATISTICS_TAGS",
    "_STATISTICS_TAGS-eng", "_STATISTICS_WRITING_APP", "_STATISTICS_WRITING_APP-eng",
    "_STATISTICS_WRITING_DATE_UTC", "_STATISTICS_WRITING_DATE_UTC-eng", "alpha_mode", "encoder",
)  # fmt: skip
_OPUS_LAYOUTS = "aformat=channel_layouts=7.1|6.1|5.1|5.0|quad|3.0|stereo|mono"


def mux(
    picture: Picture,
    source: SourceInfo,
    target: Path,
    container: Container,
    *,
    pieces: Sequence[Piece] = (),
    sink: Sink,
) -> None:
    """Write `target`: the picture, then the source's other streams in their order.

    `pieces`: the parts of the source that the picture shows; none: all of it.

    Audio, subtitles, chapters, attachments, tags and dispositions are copied; what does not
    fit the container is converted or left out with a note. Uses `target`'s folder for files
    of its own. Raises FfmpegError, or OutputError if the written file is not complete.
    """
    carried = _carried(source, container, sink)
    if pieces:
        carried = [one for one in carried if _can_be_cut(one, sink)]
    cuts = cut(
        source,
        [s.index for s, _ in carried if s.kind in ("audio", "subtitle")],
        pieces,
        target.parent,
        hides=container.muxer in ("mp4", "mov"),
    )
    if cuts is not None:
        carried = [one for one in carried if _was_cut(one, cuts, target, picture, sink)]
    work = _Work(picture=picture, source=source, target=target, container=container, cuts=cuts)
    try:
        _join(work, carried)
    except (FfmpegError, OutputError) as error:
        # Damage in the source's other streams must not cost the work on the picture.
        if not carried or _disk_is_full(error, target, picture):
            raise
        sound = []
        for one in carried:
            if (trouble := _trouble_with(work, one)) is None:
                sound.append(one)
            else:
                stream, _ = one
                why = trouble if reads(source, stream.index) else "is damaged"
                sink(Note(text=f"stream {stream.index}: {stream.kind} {why}: left out"))
        _join(work, sound)


def _can_be_cut(one: Carried, sink: Sink) -> bool:
    stream, _ = one
    if stream.kind in ("video", "data"):
        sink(Note(text=f"stream {stream.index}: {stream.kind} cannot be cut: left out"))
        return False
    return True


def _was_cut(one: Carried, cuts: Cuts, target: Path, picture: Picture, sink: Sink) -> bool:
    stream, _ = one
    if (why := cuts.missing.get(stream.index)) is None:
        return True
    if why.startswith("writing") and _disk_is_full(why, target, picture):
        raise OutputError(f"{target.parent.parent}: {why}")
    sink(Note(text=f"stream {stream.index}: {stream.kind} {why}: left out"))
    return False


def _disk_is_full(error: Exception | str, target: Path, picture: Picture) -> bool:
    free = shutil.disk_usage(target.parent).free
    return "No space left" in str(error) or free < picture.path.stat().st_size // 2


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is joined with what, and where to."""

    picture: Picture
    source: SourceInfo
    target: Path
    container: Container
    cuts: Cuts | None  # None: the source's streams are wanted whole


def _trouble_with(work: _Work, one: Carried) -> str | None:
    try:
        _join(work, [one])
    except (FfmpegError, OutputError) as error:
        return f"cannot be joined ({error})"
    return None


def _join(work: _Work, carried: list[Carried]) -> None:
    picture, source, target, cuts = work.picture, work.source, work.target, work.cuts
    container = work.container
    target.unlink(missing_ok=True)  # or an earlier try's file would be taken for this one's
    pictures = ffmpeg.input(file_argument(picture.path))
    streams, extra = [pictures["v:0"]], list[str]()
    options: dict[str, Any] = {"f": container.muxer, "codec:0": "copy"}
    # ffmpeg cannot open WebP, nor pictures, nor what came through a pipe; they hold nothing else.
    if source.format != "webp" and source.pipe is None and source.pictures is None:
        others = ffmpeg.input(
            file_argument(_plain_name(source.path, target.parent)),
            **input_options(source.path),
            **_shift(source.start),
        )
        covers = [s for s, _ in carried if s.kind == "cover"] if container.attachments else []
        carried = [(s, fate) for s, fate in carried if s not in covers]
        # ffmpeg-python forgets an input of which nothing is mapped; its tags and chapters are
        # wanted all the same. "?" lets a mapping find nothing.
        nothing = f"{len(source.streams)}?"
        streams.append(others[nothing])
        streams += [_read_from(others, stream, cuts) for stream, _ in carried]
        options |= _copied(source, carried) | _dispositions(source, container, carried)
        if cuts is not None:
            streams.append(ffmpeg.input(file_argument(cuts.chapters), f="ffmetadata")[nothing])
            options["map_chapters"] = 2 + len({s.index for s, _ in carried} & set(cuts.files))
        extra += _forgotten(carried, cuts) + _attached(source, covers, carried, target.parent)
    if picture.hidden_alpha:
        extra += ["-metadata:s:0", "alpha_mode=1"]
    options |= _details(picture, container)
    failure: FfmpegError | None = None
    try:
        # Timestamps are ours to keep: no shifting of either input to zero.
        run(streams, target, options, extra=["-copyts", *extra])
    except FfmpegError as error:
        if not target.exists():
            raise
        failure = error  # damage that it passed over, perhaps: what it wrote will tell
    wanted = Counter({"video": 1})
    wanted.update(s.kind for s, _ in carried if s.kind != "attachment")
    try:
        verify(
            target,
            picture,
            wanted,
            moved=container.muxer == "mpegts",
            early=earliness(source, {s.index for s, _ in carried}),
        )
    except OutputError as error:
        raise (failure or error) from error


def _read_from(others: Any, stream: StreamInfo, cuts: Cuts | None) -> Any:
    """The stream in the source, or in the file that holds the cut of it."""
    if cuts is None or stream.index not in cuts.files:
        return others[str(stream.index)]
    path = file_argument(cuts.files[stream.index])
    return ffmpeg.input(path, itsoffset=str(-cuts.later))["0"]


def left_out(source: SourceInfo, container: Container, *, sink: Sink) -> None:
    """Say which streams a container of pictures alone leaves out."""
    _carried(source, container, sink)


def _plain_name(path: Path, folder: Path) -> Path:
    """A name that ffmpeg-python can hold: a link, where the file's own is no text at all."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        link = folder / f"source{os.fsdecode(path.suffix.encode(errors='ignore'))}"
        if not link.is_symlink():
            link.symlink_to(path.absolute())
        return link
    return path


def _shift(start: Fraction) -> dict[str, str]:
    return {"itsoffset": f"{float(-start):.6f}"} if start else {}


def _carried(source: SourceInfo, container: Container, sink: Sink) -> list[Carried]:
    carried = []
    for stream in source.streams:
        if stream.index == source.video.index:
            continue
        fate = _fate(stream, source, container)
        if fate.note is not None:
            sink(Note(text=f"stream {stream.index}: {fate.note}"))
        if fate.codec is not None:
            carried.append((stream, fate))
    return carried


def _fate(  # noqa: PLR0911 (a table of kinds)
    stream: StreamInfo, source: SourceInfo, container: Container
) -> Fate:
    gone = f"does not fit {container.muxer}: left out"
    if stream.kind in ("audio", "subtitle") and not stream.codec:
        return Fate(codec=None, note=f"{stream.kind} of an unknown codec is left out")
    if stream.kind == "audio":
        return audio_fate(container, stream.codec)
    # From elsewhere they come without durations, and MP4 would lose the last one.
    if stream.codec == "dvd_subtitle" and "mp4" in source.format and container.muxer == "mp4":
        return Fate(codec="copy")
    if stream.kind == "subtitle":
        return subtitle_fate(container, stream.codec)
    if stream.kind == "cover":
        if container.covers:
            return Fate(codec="copy")
        return Fate(codec=None, note=f"cover art {gone}")
    if stream.kind == "attachment":
        if container.attachments:
            return Fate(codec="copy")
        return Fate(codec=None, note=f"an attachment (a font?) {gone}; an .mkv would keep it")
    if stream.kind == "video":
        return video_fate(container, stream.codec)
    if stream.codec == "tmcd" and container.muxer in ("mp4", "mov", "matroska", "webm"):
        return Fate(codec=None)  # it is a tag of the video, too, and written anew from that
    if "mp4" in source.format and source.chapters and stream.codec == "bin_data":
        return Fate(codec=None)  # the text track of the chapters, which are carried as chapters
    if stream.codec in container.data:
        return Fate(codec="copy")
    return Fate(codec=None, note=f"data ({stream.codec or 'unknown'}) {gone}")


def _copied(source: SourceInfo, carried: list[Carried]) -> dict[str, Any]:
    # Naming one stream's tags ends ffmpeg's own copying of all others', so all are named.
    options: dict[str, Any] = {
        "map_metadata": "1",
        "map_chapters": "1",
        "map_metadata:s:0": f"1:s:{source.video.index}",
    }
    for n, (stream, fate) in enumerate(carried, start=1):
        options[f"map_metadata:s:{n}"] = f"1:s:{stream.index}"
        options[f"codec:{n}"] = fate.codec
        if fate.codec == "aac":
            options[f"b:{n}"] = "320k"
        if fate.codec == "libopus":
            options[f"b:{n}"] = "192k"
            options[f"filter:{n}"] = _OPUS_LAYOUTS
    return options


def _dispositions(
    source: SourceInfo, container: Container, carried: list[Carried]
) -> dict[str, str]:
    """The source's flags (forced, default, ...), as they are; the upscaled video is the default.

    A source that has none, as MPEG-TS, leaves them to ffmpeg.
    """
    main = next(s for s in source.streams if s.index == source.video.index)
    several = any(stream.kind == "video" for stream, _ in carried)
    if not several and not any(s.disposition for s in source.streams):
        return {}
    flags = [main.disposition | ({"default"} if several else set())]
    for stream, _ in carried:
        flags.append(stream.disposition - ({"default"} if stream.kind == "video" else set()))
    options = {f"disposition:{n}": "+".join(sorted(f)) or "0" for n, f in enumerate(flags)}
    says_default = any("default" in f for f in flags)
    if says_default and container.muxer in ("matroska", "webm"):
        options["default_mode"] = "passthrough"  # or the first of a kind is made the default
    return options


def _forgotten(carried: list[Carried], cuts: Cuts | None) -> list[str]:
    """Arguments that drop the stale tags of every stream that is not a whole copy."""
    changed = set(cuts.files if cuts is not None else ())
    ours = [0]
    for n, (stream, fate) in enumerate(carried, start=1):
        if fate.codec != "copy" or stream.index in changed:
            ours.append(n)
    return [word for n in ours for name in _STALE for word in (f"-metadata:s:{n}", f"{name}=")]


def _attached(
    source: SourceInfo,
    covers: list[StreamInfo],
    carried: list[Carried],
    folder: Path,
) -> list[str]:
    """Cover art as Matroska wants it: an attached file, not one more video track."""
    arguments: list[str] = []
    before = sum(stream.kind == "attachment" for stream, _ in carried)
    for n, stream in enumerate(covers):
        suffix, mime = ("png", "png") if stream.codec == "png" else ("jpg", "jpeg")
        file = folder / f"cover{n}.{suffix}"
        path = file_argument(_plain_name(source.path, folder))
        whole = ffmpeg.input(path, **input_options(source.path))
        single = {"codec": "copy", "f": "image2", "frames": 1, "update": 1}
        run([whole[str(stream.index)]], file, single)
        name = "cover" if n == 0 else f"cover{n + 1}"
        tag = f"-metadata:s:t:{before + n}"
        arguments += ["-attach", str(file)]
        arguments += [tag, f"mimetype=image/{mime}", tag, f"filename={name}.{suffix}"]
    return arguments


def _details(picture: Picture, container: Container) -> dict[str, Any]:
    options: dict[str, Any] = {"max_interleave_delta": "0"}  # late streams are not pushed on
    if container.muxer in ("mp4", "mov"):
        if picture.codec == "hevc":
            options["tag:0"] = "hvc1"  # the name that Apple's players know
        options |= movie_timescale(picture.first)
    return options | dict(container.options)


def movie_timescale(first: Fraction) -> dict[str, str]:
    """MP4 counts a late start in this, in milliseconds unless it is told otherwise."""
    return {"movie_timescale": str(max(first.denominator, 1000))} if (first * 1000) % 1 else {}
