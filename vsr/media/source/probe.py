"""What is in a file: container, streams, and how its pictures look."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.container import InputContainer
from av.video.stream import VideoStream

from vsr.errors import InputError
from vsr.media.format.animation import is_webp
from vsr.media.format.decoder import has_hidden_alpha
from vsr.media.format.encryption import drm_of
from vsr.media.format.hdr import is_dolby_alone
from vsr.media.format.still_image import told_of_tiff
from vsr.media.format.stream_dump import dumped
from vsr.media.source.cropping import NOTHING_HIDDEN, HiddenEdges
from vsr.media.source.first_frame import WITH_EXIF, StreamFacts, first_frame, video_info
from vsr.media.source.integrity import has_ordered_chapters
from vsr.media.source.kinds.base import Source
from vsr.media.source.kinds.file import FileSource
from vsr.media.source.kinds.piped import PipedSource
from vsr.media.source.kinds.webp import probe_webp
from vsr.media.source.opening import open_source
from vsr.media.source.pipe import Pipe
from vsr.media.source.protocols import PLAYLISTS
from vsr.media.source.streams import StreamInfo, main_video, stream_info
from vsr.options import ColourOptions
from vsr.timing import to_fraction

# Demuxers whose clock starts anywhere and may jump (broadcast and streaming).
_ANY_START = frozenset({"mpegts", "mpeg", "hls", "rtp", "rtsp", "flv", "live_flv"})


_MOST_RATE = 2000  # frames per second: more than cameras of slow motion play back at


_DOLBY_ALONE = (
    "without a picture that other players read; convert it with a program that knows Dolby Vision, "
    "or name what its colours are to be read as with <colour.matrix>"
)


_ORDERED = (
    "its chapters stay as marks, without the order in which they play it, and parts of other files"
)


def probe(
    path: Path,
    colour: ColourOptions | None = None,
    stream_index: int | None = None,
    *,
    pipe: Pipe | None = None,
) -> Source:
    """Read the headers and one frame of `path`. Raises InputError, UsageError.

    `stream_index`: the video that is meant; None: the main one. `pipe`: where the bytes come
    from in place of the file.
    """
    options = colour or ColourOptions()
    if pipe is None and is_webp(path):
        return probe_webp(path, options)
    if path.suffix.lower() in PLAYLISTS and pipe is None:
        _check_keys(path, "hls")
    with open_source(path, pipe) as container:
        if pipe is None:
            _check_keys(path, container.format.name)
        stream = main_video(container, path, stream_index)
        frame = first_frame(container, stream, path)
        streams, beside = _streams(container, stream)
        if pipe is None and has_ordered_chapters(path, container.format.name):
            beside = (*beside, _ORDERED)
        facts = _facts(path, container, stream, beside)
        reads = facts.codec not in WITH_EXIF and options.matrix == "auto"
        if reads and is_dolby_alone(frame, facts.dolby):
            profile = f" (profile {facts.dolby[0]})" if facts.dolby else ""
            raise InputError(f"{path}: is Dolby Vision{profile} {_DOLBY_ALONE}")
        any_start = bool(set(container.format.name.split(",")) & _ANY_START)
        first = Fraction(container.start_time or 0, 1_000_000)
        # A picture before zero is moved, too: hardly any container can say it.
        moved = any_start or (first < 0 and (frame.pts is None or frame.pts < 0))
        known: dict[str, Any] = {
            "path": path,
            "format": container.format.name,
            "duration": _duration(container, stream, facts.time_base),
            "any_start": any_start,
            "start": first if moved else Fraction(0),
            "begin": Fraction(0) if moved else max(first, Fraction(0)),
            "streams": streams,
            "chapters": len(container.chapters()),
            "video": video_info(path, frame, options, facts),
            "tags": dict(container.metadata),
        }
        if pipe is not None:
            return PipedSource(**known, size=0, pipe=pipe)
        return FileSource(**known, size=path.stat().st_size)


def _check_keys(path: Path, demuxer: str) -> None:
    """Raise InputError for what is protected by DRM."""
    if (drm := drm_of(path, demuxer)) is not None:
        raise InputError(f"{path}: is encrypted (DRM: {drm}); vsr cannot read it without a key")


def _facts(
    path: Path, container: InputContainer, stream: VideoStream, beside: tuple[str, ...]
) -> StreamFacts:
    """Return what the container says of `stream`."""
    context, told = stream.codec_context, dumped(container, stream.index)
    codec, rate = context.codec.canonical_name, _rate(stream)
    time_base = to_fraction(stream.time_base) or Fraction(1, 1000)
    duration = _duration(container, stream, time_base)
    estimated = round(duration * rate) if duration is not None and rate else None
    return StreamFacts(
        index=stream.index,
        codec=codec,
        siting=told.siting,
        sample_aspect_ratio=to_fraction(stream.sample_aspect_ratio)
        or to_fraction(context.sample_aspect_ratio),
        rate=rate,
        time_base=time_base,
        frames=stream.frames or estimated,
        end=(stream.start_time or 0) + stream.duration if stream.duration else None,
        has_alpha=has_hidden_alpha(stream),
        is_film=not container.format.name.endswith(_PICTURES),
        dolby=told.dolby,
        hidden=HiddenEdges(*told.cropping) if told.cropping is not None else NOTHING_HIDDEN,
        said=told_of_tiff(path) if codec == "tiff" else (),
        beside=beside,
    )


def _streams(
    container: InputContainer, main: VideoStream
) -> tuple[tuple[StreamInfo, ...], tuple[str, ...]]:
    """Return all streams, and in words what one of them would add to the picture of `main`."""
    streams = tuple(stream_info(s) for s in container.streams)
    if container.metadata.get("major_brand") not in _AVIF:
        return streams, ()
    # A picture beside the animation, or the alpha of a picture: no films of their own.
    streams = tuple(
        s if s.index == main.index else dataclasses.replace(s, kind="data") for s in streams
    )
    if len(streams) == 1 or main.frames != 1:
        return streams, ()
    return streams, ("its transparency lies in a picture of its own, which is not read",)


_AVIF = ("avif", "avis")  # brands: of a picture, of an animation
_PICTURES = ("_pipe", "image2", "gif", "apng")  # carry an alpha channel that is mostly solid


def _rate(stream: VideoStream) -> Fraction | None:
    """Return frames per second: the average, unless it is a clock's ticks, as of raw DV."""
    average, guessed = (to_fraction(r) for r in (stream.average_rate, stream.guessed_rate))
    believable = [rate for rate in (average, guessed) if rate is not None and rate <= _MOST_RATE]
    return believable[0] if believable else None


def _duration(container: InputContainer, stream: VideoStream, time_base: Fraction) -> float | None:
    if stream.duration:
        return float(stream.duration * time_base)
    return container.duration / 1_000_000 if container.duration else None
