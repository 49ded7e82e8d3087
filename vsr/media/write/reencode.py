"""What a lossy encoder leaves of pictures: a clip through a real one and its decoder, in memory."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from vsr.errors import VsrError
from vsr.media.source.opening import reason

_LAMBDA = 118  # of ffmpeg's for one step of a quantiser
_NAMES = {
    "x264": "libx264", "x265": "libx265", "mpeg2": "mpeg2video", "mpeg4": "mpeg4",
    "vp9": "libvpx-vp9",
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
    """Map (T, H, W, 3) RGB -> the same, coded as 4:2:0 and decoded.

    `codec`: x264, x265, mpeg2, mpeg4 or vp9. `quality`: crf, or the quantiser of the MPEGs.
    `profile`: of x264. One thread, so that every machine gives the same. Raises VsrError.
    """
    height, width = pictures.shape[1:3]
    data = written(pictures, codec, quality=quality, profile=profile, rate=rate)
    try:
        found = _decode(io.BytesIO(data))
    except (av.FFmpegError, ValueError) as error:
        raise VsrError(f"{codec}: what it wrote cannot be read ({reason(error)})") from error
    if len(found) != len(pictures):
        raise VsrError(f"{codec}: of {len(pictures)} pictures {len(found)} came back")
    return np.stack(found)[:, :height, :width]


def written(
    pictures: NDArray[np.uint8],
    codec: str,
    *,
    quality: float,
    profile: str | None = None,
    rate: int = 25,
) -> bytes:
    """Return the file that `reencoded` makes in between, in NUT. Raises VsrError."""
    height, width = pictures.shape[1:3]
    down, right = (max(_SIDE, side + -side % _STEP) - side for side in (height, width))
    whole = np.pad(pictures, ((0, 0), (0, down), (0, right), (0, 0)), mode="edge")
    memory = io.BytesIO()
    try:
        _encode(memory, whole, codec, quality, profile, rate)
    except (av.FFmpegError, ValueError) as error:
        raise VsrError(f"{codec}: does not take {width}x{height} ({reason(error)})") from error
    return memory.getvalue()


def _encode(  # noqa: PLR0917 (private, and each is named as where it comes from)
    memory: io.BytesIO,
    pictures: NDArray[np.uint8],
    codec: str,
    quality: float,
    profile: str | None,
    rate: int,
) -> None:
    options = dict(_ALWAYS.get(codec, {}))
    if codec in ("x264", "x265", "vp9"):
        options["crf"] = f"{quality:.2f}" if codec != "vp9" else str(round(quality))
    if profile is not None:
        options["profile"] = profile
    with av.open(memory, "w", format="nut") as container:
        stream = cast("av.VideoStream", container.add_stream(_NAMES[codec], rate, options=options))
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        if codec in ("mpeg2", "mpeg4"):
            stream.codec_context.qmin = stream.codec_context.qmax = max(round(quality), 1)
            stream.codec_context.options = {"global_quality": str(round(quality * _LAMBDA))}
            stream.codec_context.flags |= av.codec.context.Flags.qscale
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _decode(memory: io.BytesIO) -> Sequence[NDArray[np.uint8]]:
    with av.open(memory, "r", format="nut") as container:
        return [
            np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            for frame in container.decode(video=0)
        ]
