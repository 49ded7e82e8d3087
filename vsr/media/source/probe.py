"""What is in a file: container, streams, and how its pictures look."""

from __future__ import annotations

import contextlib
import dataclasses
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.stream import VideoStream

from vsr.errors import NO_MEMORY, InputError, OutOfMemory, cause
from vsr.frame import Colour, Layout
from vsr.machine import is_short_of_memory
from vsr.media.format.animation import MILLISECOND, is_webp, webp_pictures
from vsr.media.format.colour_tags import UnreadColours, describe, tags_of
from vsr.media.format.decoder import decoded, has_hidden_alpha, most_pixels
from vsr.media.format.hdr import HdrMetadata, hdr_of, is_dolby_alone, layers_beside, side_data
from vsr.media.format.pixel_formats import planes_of, working_format
from vsr.media.format.still_image import told_of_tiff
from vsr.media.format.stream_dump import dumped
from vsr.media.source.image_list import ImageList
from vsr.media.source.pipe import Pipe
from vsr.media.source.protocols import PLAYLISTS, input_options
from vsr.media.source.streams import Kind, StreamInfo, main_video, stream_info
from vsr.options import ColourOptions
from vsr.timing import to_fraction

# Demuxers whose clock starts anywhere and may jump (broadcast and streaming).
_ANY_START = frozenset({"mpegts", "mpeg", "hls", "rtp", "rtsp", "flv", "live_flv"})


_MOST_RATE = 2000  # frames per second: more than cameras of slow motion play back at


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """The stream that is upscaled, as its first frame shows it."""

    index: int
    codec: str
    width: int
    height: int
    pix_fmt: str
    layout: Layout
    colour: Colour
    siting: str | None  # as tagged
    guesses: tuple[str, ...]  # in words, what was not tagged, or is not read
    sample_aspect_ratio: Fraction | None
    rate: Fraction | None  # average frames per second
    time_base: Fraction
    frames: int | None  # estimate
    end: int | None  # in ticks: where the container says that the picture ends
    display_matrix: tuple[int, ...] | None  # how a player turns and mirrors the picture
    rotation: int  # degrees, counter-clockwise, as a player would have to turn the picture
    interlaced: bool
    hdr: HdrMetadata | None  # static metadata of the first frame
    transparent: bool  # whether anything is seen through, as far as the first frame tells
    beside: tuple[str, ...] = ()  # in words, what goes with the picture and is lost
    hidden_alpha: bool  # VP8 and VP9 carry it beside the picture; no decoder here reads it


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """A file that vsr can read."""

    path: Path
    format: str  # ffmpeg's name of the demuxer
    pipe: Pipe | None = None  # where its bytes come from, if they come only once
    size: int  # bytes; 0 if they come through a pipe
    duration: float | None  # seconds
    any_start: bool  # whether its clock may start anywhere, and jump
    start: Fraction  # seconds that are taken off every timestamp; 0 unless it has to be moved
    begin: Fraction  # seconds; the timestamp, less `start`, that players show as 0:00
    streams: tuple[StreamInfo, ...]
    chapters: int
    video: VideoInfo
    pictures: ImageList | None = None  # files that are read as the frames of one film

    def of_kind(self, *kinds: Kind) -> tuple[StreamInfo, ...]:
        """Return the streams of these kinds, in the order of the file."""
        return tuple(s for s in self.streams if s.kind in kinds)


@contextlib.contextmanager
def open_source(path: Path, pipe: Pipe | None = None) -> Iterator[InputContainer]:
    """Open the file, or what comes through `pipe`, as a container.

    Raises InputError in one line, whatever is wrong.
    """
    # A picture's name with a % in it is a name, not a pattern of many.
    options = input_options(path) | {"pattern_type": "none", "max_pixels": str(most_pixels())}
    reader = pipe.reader() if pipe is not None else None
    # Absolute, so that no name can look like an option or a protocol.
    name: Any = reader or str(path.absolute())
    try:
        container = av.open(name, options=options, **LENIENT)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder, not a video") from error
    except PermissionError as error:
        raise InputError(f"{path}: may not be read (no permission)") from error
    except av.ArgumentError as error:
        raise InputError(
            f"{path}: not a media file, or a playlist that names others; "
            f"a playlist is read when its name ends in {', '.join(sorted(PLAYLISTS))}"
        ) from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a media file that can be read ({reason(error)})") from error
    try:
        yield container
    finally:
        container.close()
        if reader is not None:
            reader.close()


def reason(error: BaseException) -> str:
    """Return the core of an ffmpeg or system error, without numbers and file names.

    Raises OutOfMemory for one that says nothing of the file.
    """
    if isinstance(error, MemoryError | BlockingIOError) and is_short_of_memory():
        raise OutOfMemory(NO_MEMORY) from error
    said = cause(error) if isinstance(error, OSError) else getattr(error, "strerror", None)
    return (said or str(error) or type(error).__name__).splitlines()[0]


# Tags in an old 8-bit encoding are no reason to refuse a film; PyAV 19 is lenient by itself.
LENIENT: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)


def probe(
    path: Path,
    colour: ColourOptions | None = None,
    stream_index: int | None = None,
    *,
    pipe: Pipe | None = None,
) -> SourceInfo:
    """Read the headers and one frame of `path`. Raises InputError, UsageError.

    `stream_index`: the video that is meant; None: the main one. `pipe`: where the bytes come
    from in place of the file.
    """
    options = colour or ColourOptions()
    if pipe is None and is_webp(path):
        return _probe_webp(path, options)
    with open_source(path, pipe) as container:
        stream = main_video(container, path, stream_index)
        frame = _first_frame(container, stream, path)
        rate = _rate(stream)
        time_base = to_fraction(stream.time_base) or Fraction(1, 1000)
        duration = _duration(container, stream, time_base)
        codec = stream.codec_context.codec.canonical_name
        told = dumped(container, stream.index)
        reads = codec not in _WITH_EXIF and options.matrix == "auto"
        if reads and is_dolby_alone(frame, told.dolby):
            profile = f" (profile {told.dolby[0]})" if told.dolby else ""
            raise InputError(f"{path}: is Dolby Vision{profile} {_DOLBY_ALONE}")
        streams, beside = _streams(container, stream)
        any_start = bool(set(container.format.name.split(",")) & _ANY_START)
        first = Fraction(container.start_time or 0, 1_000_000)
        # A picture before zero is moved, too: hardly any container can say it.
        moved = any_start or (first < 0 and (frame.pts is None or frame.pts < 0))
        estimated = round(duration * rate) if duration is not None and rate else None
        return SourceInfo(
            path=path,
            format=container.format.name,
            pipe=pipe,
            size=path.stat().st_size if pipe is None else 0,
            duration=duration,
            any_start=any_start,
            start=first if moved else Fraction(0),
            begin=Fraction(0) if moved else max(first, Fraction(0)),
            streams=streams,
            chapters=len(container.chapters()),
            video=_video_info(
                path,
                frame,
                options,
                index=stream.index,
                codec=codec,
                said=told_of_tiff(path) if codec == "tiff" else (),
                siting=told.siting,
                dolby=told.dolby,
                beside=beside,
                sample_aspect_ratio=to_fraction(stream.sample_aspect_ratio)
                or to_fraction(stream.codec_context.sample_aspect_ratio),
                rate=rate,
                time_base=time_base,
                frames=stream.frames or estimated,
                end=(stream.start_time or 0) + stream.duration if stream.duration else None,
                has_alpha=has_hidden_alpha(stream),
                film=not container.format.name.endswith(_PICTURES),
            ),
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


_DOLBY_ALONE = (
    "without a picture that other players read; convert it with a program that knows Dolby Vision, "
    "or name what its colours are to be read as with <colour.matrix>"
)


def _probe_webp(path: Path, options: ColourOptions) -> SourceInfo:
    try:
        count, duration, first = 0, 0, None
        for picture in webp_pictures(path):
            count, duration = count + 1, duration + (picture.duration or 0)
            first = first or picture
    except OSError as error:
        raise InputError(f"{path}: not a WebP that can be read ({reason(error)})") from error
    assert first is not None
    video = _video_info(
        path,
        first,
        options,
        index=0,
        codec="webp",
        siting=None,
        sample_aspect_ratio=None,
        rate=Fraction(1000 * count, duration) if duration else None,
        time_base=MILLISECOND,
        frames=count,
    )
    stream = StreamInfo(index=0, kind="video", codec="webp", language=None, title=None)
    return SourceInfo(
        path=path,
        format="webp",
        size=path.stat().st_size,
        duration=duration / 1000,
        any_start=False,
        start=Fraction(0),
        begin=Fraction(0),
        streams=(stream,),
        chapters=0,
        video=video,
    )


def _video_info(
    path: Path,
    frame: av.VideoFrame,
    options: ColourOptions,
    *,
    index: int,
    codec: str,
    siting: str | None,
    sample_aspect_ratio: Fraction | None,
    rate: Fraction | None,
    time_base: Fraction,
    frames: int | None,
    end: int | None = None,
    has_alpha: bool = False,
    film: bool = False,
    dolby: tuple[int, int] | None = None,
    said: tuple[str, ...] = (),
    beside: tuple[str, ...] = (),
) -> VideoInfo:
    """Return what the first frame shows, beside what the container says."""
    try:
        working, layout = working_format(frame.format.name)
    except ValueError as error:
        raise InputError(f"{path}: pixel format {frame.format.name} cannot be read") from error
    meant = has_alpha or (film and codec != "rawvideo")
    if layout.alpha and codec == "rawvideo" and _is_unused(frame, working, layout):
        layout, said = layout.replace(alpha=False), (*said, "what would be its alpha is unused")
    try:
        look, guesses = describe(
            tags_of(frame, siting),
            layout,
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.format.name,
            options=options,
        )
    except UnreadColours as error:
        raise InputError(f"{path}: {error}") from error
    return VideoInfo(
        index=index,
        codec=codec,
        width=frame.width,
        height=frame.height,
        pix_fmt=frame.format.name,
        layout=layout,
        colour=look,
        siting=siting,
        guesses=(*guesses, *said),
        sample_aspect_ratio=sample_aspect_ratio,
        rate=rate,
        time_base=time_base,
        frames=frames,
        end=end,
        display_matrix=None if codec in _WITH_EXIF else _display_matrix(frame),
        rotation=frame.rotation,
        interlaced=frame.interlaced_frame,
        hdr=None if codec in _WITH_EXIF else hdr_of(frame),
        beside=beside if codec in _WITH_EXIF else (*beside, *layers_beside(frame, dolby, look)),
        hidden_alpha=has_alpha and not layout.alpha,
        # Whoever gives a film alpha means it, whatever the first frame shows.
        transparent=layout.alpha and (meant or _shows_through(frame, working, layout)),
    )


def _first_frame(container: InputContainer, stream: VideoStream, path: Path) -> av.VideoFrame:
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


# PyAV 18 has no name for EXIF and crashes on a frame that carries it, whatever is asked for.
_WITH_EXIF = frozenset({"mjpeg", "png", "apng", "webp", "tiff", "jpegxl", "jpeg2000"})


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


_AVIF = ("avif", "avis")  # brands: of a picture, of an animation
_PICTURES = ("_pipe", "image2", "gif", "apng")  # carry an alpha channel that is mostly solid


def _shows_through(frame: av.VideoFrame, working: str, layout: Layout) -> bool:
    """Return whether anything is seen through."""
    if working != frame.format.name:
        frame = frame.reformat(format=working)
    return bool(planes_of(frame, layout)[-1].int().min() < (1 << layout.bits) - 1)


def _rate(stream: VideoStream) -> Fraction | None:
    """Return frames per second: the average, unless it is a clock's ticks, as of raw DV."""
    average, guessed = (to_fraction(r) for r in (stream.average_rate, stream.guessed_rate))
    believable = [rate for rate in (average, guessed) if rate is not None and rate <= _MOST_RATE]
    return believable[0] if believable else None


def _duration(container: InputContainer, stream: VideoStream, time_base: Fraction) -> float | None:
    if stream.duration:
        return float(stream.duration * time_base)
    return container.duration / 1_000_000 if container.duration else None
