"""Encodes frames into a file that holds nothing but the picture."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.codec.context import Flags

from vsr.errors import OutputError, UsageError, VsrError
from vsr.frame import Colour, Frame
from vsr.machine import codec_threads, scheduled_as_before
from vsr.media.format.captions import carrier
from vsr.media.format.encoders import EncoderPlan
from vsr.media.format.pixel_formats import fill, pix_fmt_of
from vsr.media.source.opening import reason
from vsr.media.write.live_audio import LiveAudio
from vsr.media.write.palette import PaletteFilter

# Frames that x265 reads before it knows by how much decoding runs ahead. Where a film ends before,
# its dts are made of memory that was never written.
_X265_DELAY = 2


@dataclass(frozen=True, kw_only=True)
class VideoFormat:
    """What a video stream says of itself."""

    width: int
    height: int
    colour: Colour
    rate: Fraction | None  # frames per second
    time_base: Fraction
    sample_aspect_ratio: Fraction | None = None
    display_matrix: tuple[int, ...] | None = None


def write_frames(
    frames: Iterable[Frame],
    target: Path | BinaryIO,
    plan: EncoderPlan,
    video: VideoFormat,
    *,
    muxer_options: Mapping[str, str],
    muxer: str | None = None,
    sound: LiveAudio | None = None,
) -> Generator[Frame, None, None]:
    """Write `frames` to `target`; yields each one as it goes to the encoder.

    `muxer`: other than the encoder's own. `sound` is written beside the picture.

    Closed properly only if the iterator is run to its end. Raises OutputError
    (disk full, folder gone) and UsageError (the encoder refuses its options or
    its hardware is not there).
    """
    name: Any = str(target.absolute()) if isinstance(target, Path) else target
    where = target.parent.parent if isinstance(target, Path) else "standard output"
    try:
        container = av.open(
            name, "w", format=muxer or plan.encoder.container, options=dict(muxer_options)
        )
    except (av.FFmpegError, OSError) as error:
        raise OutputError(f"{where}: cannot be written to ({reason(error)})") from error
    try:
        stream = _stream(container, plan, video)
        _open(stream, plan, video)  # before any frame is worked on
        if sound is not None:
            sound.attach(container)
        reduce = PaletteFilter(plan.encoder.palette) if plan.encoder.palette else None
        encode = _EncoderLoop(stream)
        for frame in frames:
            picture = _picture(frame, plan, video.colour)
            for ready in reduce(picture) if reduce else (picture,):
                container.mux(encode(ready))
            if sound is not None:
                container.mux(list(sound.until(frame.pts * frame.time_base)))
            yield frame
        for ready in reduce(None) if reduce else ():
            container.mux(encode(ready))
        container.mux(encode(None))
        if sound is not None:
            container.mux(list(sound.until(None)))
        container.close()
    except VsrError:
        raise  # of an earlier stage: reading, upscaling
    except (av.FFmpegError, OSError) as error:
        raise OutputError(f"{where}: writing failed ({reason(error)})") from error
    finally:
        if sound is not None:
            sound.close()
        # After a failure the trailer cannot be written either; the file is thrown away.
        with suppress(av.FFmpegError, OSError, ValueError):
            container.close()


class _EncoderLoop:
    """Encodes, and gives each packet what some encoders forget: its frame's duration, and a dts."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._stream = stream
        self._durations: dict[int | None, int] = {}
        self._count = 0
        self._forgets_dts = stream.codec_context.codec.name == "libx265"

    def __call__(self, picture: av.VideoFrame | None) -> list[av.Packet[av.VideoStream]]:
        if picture is not None:
            self._durations[picture.pts] = picture.duration
            self._count += 1
        packets = self._stream.encode(picture)
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts, None) or packet.duration or 0
            if picture is None and self._forgets_dts and self._count <= _X265_DELAY:
                packet.dts = packet.pts  # so few are coded as they are shown
        return packets


def _stream(
    container: av.container.OutputContainer, plan: EncoderPlan, video: VideoFormat
) -> av.VideoStream:
    """Add the stream to the file. Raises UsageError for an option that the encoder refuses."""
    try:
        return _added(container, plan, video)
    except (av.FFmpegError, ValueError) as error:
        raise UsageError(
            f"<encode.encoder_options>: {plan.encoder.name} refuses one ({reason(error)})"
        ) from error


def _added(
    container: av.container.OutputContainer, plan: EncoderPlan, video: VideoFormat
) -> av.VideoStream:
    colour = video.colour
    # SVT-AV1 prints its configuration unless its own variable says: errors only.
    os.environ.setdefault("SVT_LOG", "1")
    settings = dict(plan.settings)
    if plan.layout.family == "yuv" and (plan.layout.sub_x or plan.layout.sub_y):
        settings["chroma_sample_location"] = colour.siting.name.lower()  # ffmpeg's names
    stream = container.add_stream(plan.encoder.name, rate=video.rate or 25, options=settings)
    assert isinstance(stream, av.VideoStream)
    context = stream.codec_context
    # Both, or the encoder counts frames at the nominal rate and VFR is lost.
    stream.time_base = context.time_base = video.time_base
    context.flags |= Flags.frame_duration  # else the last frame's duration is lost
    context.pix_fmt = "pal8" if plan.encoder.palette else plan.pix_fmt
    context.colorspace = int(colour.matrix)
    context.color_range = int(colour.range)
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer
    if "threads" not in settings:
        context.thread_count = codec_threads()
    if video.sample_aspect_ratio is not None:
        context.sample_aspect_ratio = video.sample_aspect_ratio
    if video.display_matrix is not None:
        stream.set_display_matrix(video.display_matrix)
    return stream


def _open(stream: av.VideoStream, plan: EncoderPlan, video: VideoFormat) -> None:
    context, width, height = stream.codec_context, video.width, video.height
    context.width, context.height = width, height
    try:
        with scheduled_as_before():
            context.open()
    except (av.FFmpegError, OSError, ValueError) as error:
        if plan.encoder.hardware:
            raise UsageError(
                f"<encode.codec> {plan.encoder.name}: no encoder of that kind on this machine"
            ) from error
        settings = ", ".join("=".join(pair) for pair in plan.settings.items())
        raise UsageError(
            f"<encode.codec>: {plan.encoder.name} refuses {width}x{height} {plan.pix_fmt} with "
            f"{float(video.rate or 25):g} frames a second, or one of {settings or 'its options'} "
            f"({reason(error)})"
        ) from error


def _picture(frame: Frame, plan: EncoderPlan, colour: Colour) -> av.VideoFrame:
    native = pix_fmt_of(plan.layout)
    if frame.captions and plan.encoder.captions:
        picture = carrier(frame.width, frame.height, plan.layout, frame.captions)
    else:
        picture = av.VideoFrame(frame.width, frame.height, native)
    fill(picture, frame.planes, plan.layout)
    picture.colorspace = int(colour.matrix)
    picture.color_range = int(colour.range)
    if colour.hdr:  # which PNG says by its frames; of others a profile says more
        picture.color_primaries, picture.color_trc = colour.primaries, colour.transfer
    if native != plan.pix_fmt:  # p010le for the hardware encoders: the same samples, interleaved
        picture = picture.reformat(format=plan.pix_fmt)
    picture.pts = frame.pts
    picture.duration = frame.duration
    picture.time_base = frame.time_base
    return picture
