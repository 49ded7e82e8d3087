"""Joins the upscaled picture with everything else that was in the source, by stream copy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg

from vsr.errors import OutputError
from vsr.events import Note, Sink
from vsr.media.containers import Container, Fate, audio_fate, subtitle_fate
from vsr.media.ffmpeg import file_argument, run
from vsr.media.probe import SourceInfo, StreamInfo, reason
from vsr.media.trust import input_options
from vsr.timing import to_fraction


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The encoded picture that is to be joined, and what it must contain."""

    path: Path
    codec: str
    frames: int
    first: Fraction  # seconds
    last: Fraction  # seconds, the last frame's pts


def mux(
    picture: Picture, source: SourceInfo, target: Path, container: Container, *, sink: Sink
) -> None:
    """Write `target`: the picture, then the source's other streams in their order.

    Audio, subtitles, chapters, attachments, tags and dispositions are copied;
    what does not fit the container is converted or left out with a note. Raises
    FfmpegError, or OutputError if the written file is not complete.
    """
    carried = _carried(source, container, sink)
    pictures = ffmpeg.input(file_argument(picture.path))
    others = ffmpeg.input(
        file_argument(source.path), **input_options(source.path), **_shift(source.start)
    )
    streams = [pictures["v:0"], *(others[str(stream.index)] for stream, _ in carried)]
    if source.format != "webp":  # which ffmpeg cannot open, and which holds nothing else
        # ffmpeg-python forgets an input of which nothing is mapped; its tags and chapters
        # are wanted all the same. "?" lets a mapping find nothing.
        streams.append(others[f"{len(source.streams)}?"])
    options = _options(picture, source, container, carried)
    graph = ffmpeg.output(*streams, file_argument(target), **options)
    # Timestamps are ours to keep: no shifting of either input to zero.
    run(graph.global_args("-copyts", "-y"))
    verify(target, picture, streams=1 + len(carried))


def left_out(source: SourceInfo, container: Container, *, sink: Sink) -> None:
    """Say which streams a container of pictures alone leaves out."""
    _carried(source, container, sink)


def _shift(start: Fraction) -> dict[str, str]:
    return {"itsoffset": f"{float(-start):.6f}"} if start else {}


def _carried(source: SourceInfo, container: Container, sink: Sink) -> list[tuple[StreamInfo, Fate]]:
    carried = []
    for stream in source.streams:
        if stream.index == source.video.index:
            continue
        fate = _fate(stream, container)
        if fate.note is not None:
            sink(Note(text=f"stream {stream.index}: {fate.note}"))
        if fate.codec is not None:
            carried.append((stream, fate))
    return carried


def _fate(stream: StreamInfo, container: Container) -> Fate:
    gone = f"does not fit {container.muxer}: left out"
    if stream.kind == "audio":
        return audio_fate(container, stream.codec)
    if stream.kind == "subtitle":
        return subtitle_fate(container, stream.codec)
    if stream.kind == "cover":
        return (
            Fate(codec="copy") if container.covers else Fate(codec=None, note=f"cover art {gone}")
        )
    if stream.kind == "attachment":
        if container.attachments:
            return Fate(codec="copy")
        return Fate(codec=None, note=f"an attachment (a font?) {gone}; an .mkv would keep it")
    if stream.kind == "video":
        return Fate(codec=None, note="another video stream is left out")
    return Fate(codec=None, note=f"data ({stream.codec or 'unknown'}) {gone}")


def _options(
    picture: Picture,
    source: SourceInfo,
    container: Container,
    carried: list[tuple[StreamInfo, Fate]],
) -> dict[str, Any]:
    options: dict[str, Any] = {"f": container.muxer, "codec:0": "copy"}
    if source.format != "webp":
        # Naming one stream's tags ends ffmpeg's copying of all others', so all are named.
        options["map_metadata:s:0"] = f"1:s:{source.video.index}"
    for n, (stream, fate) in enumerate(carried, start=1):
        options[f"map_metadata:s:{n}"] = f"1:s:{stream.index}"
        options[f"codec:{n}"] = fate.codec
        if fate.codec in ("aac", "libopus"):
            options[f"b:{n}"] = "320k" if fate.codec == "aac" else "192k"
    if source.format != "webp":
        options["map_metadata"] = "1"
        options["map_chapters"] = "1"
    options["max_interleave_delta"] = "0"  # late streams are not pushed forward
    if container.muxer in ("mp4", "mov") and picture.codec == "hevc":
        options["tag:0"] = "hvc1"  # the name that Apple's players know
    return options | dict(container.options)


def verify(path: Path, picture: Picture, *, streams: int) -> None:
    """Read `path` back, without decoding; raises OutputError unless all of it is there."""
    try:
        with av.open(str(path.absolute())) as container:
            video = container.streams.video[0]
            base = to_fraction(video.time_base) or Fraction(1)
            stamps = [p.pts * base for p in container.demux(video) if p.size and p.pts is not None]
            found = len(container.streams)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise OutputError(f"{path.name}: cannot be read back ({reason(error)})") from error
    if len(stamps) != picture.frames:
        raise OutputError(
            f"{path.name}: holds {len(stamps)} frames instead of {picture.frames}; "
            f"the disk may be full"
        )
    tick = max(base, Fraction(1, 1000))  # no container here is coarser than a millisecond
    if abs(min(stamps) - picture.first) > tick or abs(max(stamps) - picture.last) > tick:
        raise OutputError(f"{path.name}: its timestamps are not the source's")
    if found < streams:
        raise OutputError(f"{path.name}: holds {found} streams instead of {streams}")
    with path.open("rb") as file:
        os.fsync(file.fileno())
