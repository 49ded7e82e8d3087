"""The streams of a file: what each of them is, and which one is upscaled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vsr.errors import InputError, UsageError

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
    disposition: frozenset[str] = frozenset()  # ffmpeg's names: default, forced, ...


def main_video(container: InputContainer, path: Path, index: int | None = None) -> VideoStream:
    """The stream to upscale: `index`, or the default one, else the largest; never cover art.

    Raises UsageError where `index` is no video.
    """
    videos = [
        s for s in container.streams.video if kind_of(s) == "video" and s.codec_context is not None
    ]
    if not videos:
        raise InputError(f"{path}: has no video in it")
    if index is not None:
        if (found := next((s for s in videos if s.index == index), None)) is None:
            listed = ", ".join(f"#{s.index}" for s in videos)
            raise UsageError(f"--stream {index}: is no video; {path.name} has {listed}")
        return found
    return max(
        videos, key=lambda s: (bool(s.disposition & _Flag.default), s.width * s.height, -s.index)
    )


def kind_of(stream: av.stream.Stream) -> Kind:
    """Cover art is video to ffmpeg, and what it has no name for is data to us."""
    if stream.type == "video":
        return "cover" if stream.disposition & _Flag.attached_pic else "video"
    if stream.type in ("audio", "subtitle", "attachment"):
        return stream.type
    return "data"


def family(codec: str) -> str:
    """The codec as all containers can tell it: MP4 and MPEG-TS have one name for MPEG's layers."""
    return "mp3" if codec in ("mp1", "mp2") else codec


def stream_info(stream: av.stream.Stream) -> StreamInfo:
    """The stream as the container lists it."""
    context = getattr(stream, "codec_context", None)
    metadata = stream.metadata
    return StreamInfo(
        index=stream.index,
        kind=kind_of(stream),
        codec=context.codec.canonical_name if context is not None else _data_codec(stream),
        language=metadata.get("language"),
        title=metadata.get("title"),
        disposition=frozenset(str(d.name) for d in _Flag if d & stream.disposition),
    )


def _data_codec(stream: av.stream.Stream) -> str:
    """What a data stream holds; MP4 tells timecode and GoPro's telemetry apart by tags alone."""
    if "timecode" in stream.metadata:
        return "tmcd"
    if "GoPro MET" in stream.metadata.get("handler_name", ""):
        return "gpmd"
    return getattr(stream, "name", None) or ""
