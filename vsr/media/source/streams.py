"""The streams of a file: what each of them is, and which one is upscaled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vsr.errors import InputError, UsageError
from vsr.media.format.stream_dump import dumped
from vsr.timing import to_fraction

Kind = Literal["video", "cover", "audio", "subtitle", "attachment", "data"]

_Flag = av.stream.Disposition


@dataclass(frozen=True, kw_only=True)
class StreamInfo:
    """One stream, as the source's container lists it."""

    index: int
    kind: Kind
    codec: str  # ffmpeg's name; "" where it has none
    language: str | None
    title: str | None
    file_name: str | None = None  # of an attachment or a cover, as Matroska has it
    disposition: frozenset[str] = frozenset()  # ffmpeg's names: default, forced, ...


def main_video(container: InputContainer, path: Path, index: int | None = None) -> VideoStream:
    """Return the stream to upscale: `index`, or of those that last the largest; never cover art.

    A preview of a moment does not last, whatever its flags say. Raises UsageError where
    `index` is no video.
    """
    videos = [
        s for s in container.streams.video if kind_of(s) == "video" and s.codec_context is not None
    ]
    if not videos:
        raise InputError(f"{path}: has no video in it")
    if index is not None:
        if (found := next((s for s in videos if s.index == index), None)) is None:
            listed = ", ".join(f"#{s.index}" for s in videos)
            raise UsageError(f"<source.stream> {index}: is no video; {path.name} has {listed}")
        return found
    if container.metadata.get("major_brand") == "avis":
        return _track_of_avif(videos, path)
    lengths = {s.index: length_of(s) for s in videos}
    longest = max((length for length in lengths.values() if length is not None), default=0)
    lasting = [s for s in videos if (lengths[s.index] or longest) * 2 >= longest]
    return max(
        lasting, key=lambda s: (s.width * s.height, bool(s.disposition & _Flag.default), -s.index)
    )


def _track_of_avif(videos: list[VideoStream], path: Path) -> VideoStream:
    """Return the animation in an AVIF, beside which lies a picture for those who show but one."""
    tracks = [s for s in videos if s.frames > 1] or videos
    if len({(s.width, s.height) for s in tracks}) == 1 < len(tracks):
        raise InputError(
            f"{path}: is an animation with transparency, which lies in a track of its own that is "
            f"not read; convert it to WebP or APNG"
        )
    return tracks[0]


def length_of(stream: VideoStream) -> Fraction | None:
    """Return seconds, as the header says; None where it does not, as in MPEG-TS."""
    # Of Matroska without such a tag each stream is said to be as long as the whole.
    if match := re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = (Fraction(part) for part in match.groups())
        return hours * 3600 + minutes * 60 + seconds
    if stream.duration and (base := to_fraction(stream.time_base)) is not None:
        return stream.duration * base
    rate = to_fraction(stream.average_rate)
    return stream.frames / rate if stream.frames and rate else None


def kind_of(stream: av.stream.Stream) -> Kind:
    """Return a stream's kind: cover art is video to ffmpeg, and what it has no name for is data to
    us.
    """
    if stream.type == "video":
        return "cover" if stream.disposition & _Flag.attached_pic else "video"
    if stream.type in ("audio", "subtitle", "attachment"):
        return stream.type
    return "data"


def family(codec: str) -> str:
    """Return the codec as all containers can tell it: MP4 and MPEG-TS have one name for MPEG's
    layers.
    """
    return "mp3" if codec in ("mp1", "mp2") else codec


def stream_info(stream: av.stream.Stream) -> StreamInfo:
    """Return the stream as the container lists it."""
    context = getattr(stream, "codec_context", None)
    metadata = stream.metadata
    return StreamInfo(
        index=stream.index,
        kind=kind_of(stream),
        codec=context.codec.canonical_name if context is not None else _unopened_codec(stream),
        language=metadata.get("language"),
        title=metadata.get("title") or metadata.get("name"),  # as MP4 calls it
        file_name=metadata.get("filename"),
        disposition=frozenset(str(d.name) for d in _Flag if d & stream.disposition),
    )


def _unopened_codec(stream: av.stream.Stream) -> str:
    """Return what a stream holds that no decoder here reads, as teletext."""
    if kind_of(stream) == "data":
        return _data_codec(stream)
    container = stream.container
    return (isinstance(container, InputContainer) and dumped(container, stream.index).codec) or ""


def _data_codec(stream: av.stream.Stream) -> str:
    """Return what a data stream holds; MP4 tells timecode and GoPro's telemetry apart by tags
    alone.
    """
    if "timecode" in stream.metadata:
        return "tmcd"
    if "GoPro MET" in stream.metadata.get("handler_name", ""):
        return "gpmd"
    return getattr(stream, "name", None) or ""
