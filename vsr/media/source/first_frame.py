"""What the first frame of a video shows: its colours, its alpha, how it is turned."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.stream import VideoStream

from vsr.errors import InputError
from vsr.frame import Layout
from vsr.media.format.colour_tags import UnreadColours, describe, tags_of
from vsr.media.format.decoder import decoded, most_pixels
from vsr.media.format.hdr import hdr_of, layers_beside, side_data
from vsr.media.format.linear_light import LINEAR, SAID, Clipped
from vsr.media.format.pixel_formats import planes_of, working_format
from vsr.media.source.cropping import NOTHING_HIDDEN, HiddenEdges
from vsr.media.source.kinds.base import VideoInfo
from vsr.media.source.opening import reason
from vsr.media.source.views import views_of
from vsr.options import ColourOptions

# PyAV 18 has no name for EXIF and crashes on a frame that carries it, whatever is asked for.
WITH_EXIF = frozenset({"mjpeg", "png", "apng", "webp", "tiff", "jpegxl", "jpeg2000"})


_AFD = (
    "its active format description, by which televisions choose what to show of it, is left out: "
    "no encoder here writes it"
)


@dataclass(frozen=True, kw_only=True)
class StreamFacts:
    """What a container says of the stream that is upscaled."""

    index: int = 0
    codec: str
    siting: str | None = None  # as tagged
    sample_aspect_ratio: Fraction | None = None
    rate: Fraction | None  # average frames per second
    time_base: Fraction
    frames: int | None  # estimate
    end: int | None = None  # in ticks
    has_alpha: bool = False  # VP8 and VP9, beside the picture
    is_film: bool = False  # and no kind of picture, whose alpha is mostly solid
    dolby: tuple[int, int] | None = None  # profile and compatibility of Dolby Vision
    hidden: HiddenEdges = NOTHING_HIDDEN
    said: tuple[str, ...] = ()  # in words, what is not read
    beside: tuple[str, ...] = ()  # in words, what goes with the picture and is lost


def video_info(
    path: Path, frame: av.VideoFrame, options: ColourOptions, facts: StreamFacts
) -> VideoInfo:
    """Return what the first frame shows, beside what the container says."""
    codec = facts.codec
    said, beside = _in_words(frame, facts)
    try:
        working, layout = working_format(frame.format.name)
    except ValueError as error:
        raise InputError(f"{path}: pixel format {frame.format.name} cannot be read") from error
    meant = facts.has_alpha or (facts.is_film and codec != "rawvideo")
    if layout.alpha and codec == "rawvideo" and _is_unused(frame, working, layout):
        layout, said = layout.replace(alpha=False), (*said, "what would be its alpha is unused")
    try:
        look, guesses = describe(
            tags_of(frame, facts.siting),
            layout,
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.format.name,
            options=options,
        )
    except UnreadColours as error:
        raise InputError(f"{path}: {error}") from error
    if codec not in WITH_EXIF and side_data(frame, SideDataType.AFD) is not None:
        beside = (*beside, _AFD)
    width, height = facts.hidden.seen(frame.width, frame.height)
    return VideoInfo(
        index=facts.index,
        codec=codec,
        width=width,
        height=height,
        hidden=facts.hidden,
        pix_fmt=frame.format.name,
        layout=layout,
        colour=look,
        siting=facts.siting,
        guesses=(*guesses, *said),
        sample_aspect_ratio=facts.sample_aspect_ratio,
        rate=facts.rate,
        time_base=facts.time_base,
        frames=facts.frames,
        end=facts.end,
        display_matrix=None if codec in WITH_EXIF else _display_matrix(frame),
        rotation=frame.rotation,
        interlaced=frame.interlaced_frame,
        hdr=None if codec in WITH_EXIF else hdr_of(frame),
        views=None if codec in WITH_EXIF else views_of(frame),
        beside=beside
        if codec in WITH_EXIF
        else (*beside, *layers_beside(frame, facts.dolby, look)),
        hidden_alpha=facts.has_alpha and not layout.alpha,
        # Whoever gives a film alpha means it, whatever the first frame shows.
        transparent=layout.alpha and (meant or _shows_through(frame, working, layout)),
    )


def _in_words(frame: av.VideoFrame, facts: StreamFacts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is to be said of the picture, and what goes with it and is lost."""
    said, beside = facts.said, facts.beside
    if facts.codec in LINEAR:
        said = (*said, SAID)
    if isinstance(frame.opaque, Clipped):
        beside = (*beside, str(frame.opaque))
    if any(facts.hidden):
        hides = f"its container hides edges of the picture ({facts.hidden}), which stay hidden"
        said = (*said, hides)
    return said, beside


def first_frame(container: InputContainer, stream: VideoStream, path: Path) -> av.VideoFrame:
    """Decode the first frame that can be. Raises InputError where none can."""
    errors: list[BaseException] = []
    width, height, most = stream.width, stream.height, most_pixels()
    if width * height > most:
        raise InputError(f"{path}: {width}x{height} pixels are more than memory holds here")
    try:
        pictures = decoded(
            container, stream, lambda packet, error: errors.append(error) if error else None
        )
        if (first := next(pictures, None)) is not None:
            return first
    except (av.FFmpegError, OSError, ValueError) as error:
        errors.append(error)
    damaged = errors[-1] if errors else None
    why = f" ({reason(damaged)})" if damaged else ""
    if not width:  # the decoder knows it alone, and may have refused it
        why += f", or has more than the {most // 1_000_000} million pixels that memory holds here"
    if container.format.name == "avi" and not errors:
        why += "; its index may be broken: `ffmpeg -fflags +ignidx -i IN -c copy OUT.mkv` mends it"
    raise InputError(f"{path}: not one frame of its video can be decoded{why}") from damaged


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    data = side_data(frame, SideDataType.DISPLAYMATRIX)
    return struct.unpack_from("=9i", data) if data is not None else None


def _is_unused(frame: av.VideoFrame, working: str, layout: Layout) -> bool:
    """Return whether alpha is unused: raw pictures of 32 bits often leave the fourth byte at
    zero.
    """
    if working != frame.format.name:
        frame = frame.reformat(format=working)
    return not bool(planes_of(frame, layout)[-1].int().any())


def _shows_through(frame: av.VideoFrame, working: str, layout: Layout) -> bool:
    """Return whether anything is seen through."""
    if working != frame.format.name:
        frame = frame.reformat(format=working)
    return bool(planes_of(frame, layout)[-1].int().min() < (1 << layout.bits) - 1)
