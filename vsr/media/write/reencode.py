"""What a lossy encoder leaves of pictures: through a real one and its decoder, in memory."""

from __future__ import annotations

import io
import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import Literal, cast

import av
import numpy as np
from numpy.typing import NDArray

from vsr.errors import VsrError
from vsr.media.source.opening import reason

_LAMBDA = 118  # of ffmpeg's for one step of a quantiser
_NAMES = {  # of ffmpeg's encoders and decoders
    "x264": ("libx264", "h264"), "x265": ("libx265", "hevc"),
    "mpeg2": ("mpeg2video", "mpeg2video"), "mpeg4": ("mpeg4", "mpeg4"),
    "vp9": ("libvpx-vp9", "vp9"),
}  # fmt: skip
_ALWAYS: Mapping[str, Mapping[str, str]] = {
    "x264": {"preset": "faster", "x264-params": "no-mbtree=1"},
    "x265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    "vp9": {"b": "0", "deadline": "realtime", "cpu-used": "6"},
}
# Sides are multiples of this, and there is no mbtree: else x264 gives other bits from run to run
# (measured).
_STEP = 16
_SIDE = 64  # of the smallest picture: at 48x48 x265 writes beyond its memory (measured)


def reencoded(
    pictures: NDArray[np.uint8],
    codec: str,
    *,
    quality: float,
    profile: str | None = None,
    rate: int = 25,
) -> NDArray[np.uint8]:
    """Map (T, H, W, 3) RGB -> the same, as `reencoded_frames` does it."""
    return np.stack(
        list(reencoded_frames(pictures, codec, quality=quality, profile=profile, rate=rate))
    )


def reencoded_frames(
    pictures: Iterable[NDArray[np.uint8]],
    codec: str,
    *,
    quality: float,
    profile: str | None = None,
    rate: int = 25,
) -> Generator[NDArray[np.uint8], None, None]:
    """Yield pictures of one size, (H, W, 3) RGB, coded as 4:2:0 and decoded, in their order.

    One encoder and one decoder see all of them, and hold back as many as the encoder looks ahead.
    `codec`: x264, x265, mpeg2, mpeg4 or vp9. `quality`: crf, or the quantiser of the MPEGs.
    `profile`: of x264. One thread, so that every machine gives the same. Raises VsrError.
    """
    rest = iter(pictures)
    first = next(rest, None)
    if first is None:
        return
    height, width = first.shape[:2]
    encoder = _context(_NAMES[codec][0], "w")
    decoder = _context(_NAMES[codec][1], "r")
    with _encoding(codec, width, height):
        _configure(encoder, codec, (height, width), quality, profile, rate)
        # As for a container, whose header says what the packets have in common.
        encoder.flags |= av.codec.context.Flags.global_header
        encoder.open()
    decoder.thread_count = 1
    decoder.extradata = encoder.extradata
    given = taken = 0
    for picture in itertools.chain((first,), rest, (None,)):
        given += picture is not None
        with _encoding(codec, width, height):
            packets = encoder.encode(None if picture is None else _padded(picture))
        for packet in packets if picture is not None else (*packets, None):
            with _decoding(codec):
                found = decoder.decode(packet)
            for frame in found:
                if frame.pts != taken:
                    raise VsrError(f"{codec}: picture {taken} came back as {frame.pts}")
                taken += 1
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)[:height, :width]
    if taken != given:
        raise VsrError(f"{codec}: of {given} pictures {taken} came back")


def written(
    pictures: NDArray[np.uint8],
    codec: str,
    *,
    quality: float,
    profile: str | None = None,
    rate: int = 25,
) -> bytes:
    """Return what the same encoder makes of pictures (T, H, W, 3), as a file in NUT.

    Raises VsrError.
    """
    height, width = pictures.shape[1:3]
    memory = io.BytesIO()
    with _encoding(codec, width, height), av.open(memory, "w", format="nut") as container:
        stream = cast("av.VideoStream", container.add_stream(_NAMES[codec][0], rate))
        _configure(stream.codec_context, codec, (height, width), quality, profile, rate)
        for picture in pictures:
            container.mux(stream.encode(_padded(picture)))
        container.mux(stream.encode())
    return memory.getvalue()


def _context(name: str, mode: Literal["r", "w"]) -> av.VideoCodecContext:
    return cast("av.VideoCodecContext", av.CodecContext.create(name, mode))


def _configure(  # noqa: PLR0917 (private, and each is named as where it comes from)
    context: av.VideoCodecContext,
    codec: str,
    size: tuple[int, int],
    quality: float,
    profile: str | None,
    rate: int,
) -> None:
    """Set up an encoder for pictures of `size`, (height, width)."""
    down, right = _padding(size)
    context.height, context.width = size[0] + down, size[1] + right
    context.pix_fmt = "yuv420p"
    context.framerate = Fraction(rate)
    context.bit_rate = 0
    context.thread_count = 1
    options = dict(_ALWAYS.get(codec, {}))
    if codec in ("x264", "x265", "vp9"):
        options["crf"] = f"{quality:.2f}" if codec != "vp9" else str(round(quality))
    if profile is not None:
        options["profile"] = profile
    if codec in ("mpeg2", "mpeg4"):
        context.qmin = context.qmax = max(round(quality), 1)
        options["global_quality"] = str(round(quality * _LAMBDA))
        context.flags |= av.codec.context.Flags.qscale
    context.options = options


def _padding(size: tuple[int, int]) -> tuple[int, int]:
    """Return how many lines and columns there are to be more."""
    down, right = (max(_SIDE, side + -side % _STEP) - side for side in size)
    return down, right


def _padded(picture: NDArray[np.uint8]) -> av.VideoFrame:
    down, right = _padding(picture.shape[:2])
    whole = np.pad(picture, ((0, down), (0, right), (0, 0)), mode="edge")
    return av.VideoFrame.from_ndarray(whole, format="rgb24")


@contextmanager
def _encoding(codec: str, width: int, height: int) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        raise VsrError(f"{codec}: does not take {width}x{height} ({reason(error)})") from error


@contextmanager
def _decoding(codec: str) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        raise VsrError(f"{codec}: what it wrote cannot be read ({reason(error)})") from error
