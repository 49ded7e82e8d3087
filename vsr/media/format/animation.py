"""GIF, APNG and animated WebP: what their formats have that films do not.

PyAV writes all three, but forgets how long the last frame of an APNG or WebP is shown;
that is put right in the finished file. It cannot read animated WebP; Pillow can, and also
knows how often each of the three wants to be played.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from vsr.media.format.decoder import most_pixels

MILLISECOND = Fraction(1, 1000)


# What Pillow raises for files that are damaged, or that claim to be enormous.
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


def loops_of(path: Path) -> int:
    """Return how often the animation is to be played: 0 for ever; 1 where the file does not say."""
    try:
        with Image.open(path) as image:
            loop = image.info.get("loop")
    except UNREADABLE:
        return 1
    if loop is None:
        return 0 if image.format == "AVIF" else 1  # browsers repeat AVIF, which cannot say it
    # A GIF says how often to repeat, the others how often to play.
    return int(loop) + 1 if image.format == "GIF" and loop else int(loop)


def muxer_options(muxer: str, loops: int) -> dict[str, str]:
    """Return the muxer's own option for `loops` plays."""
    if muxer == "apng":
        return {"plays": str(loops)}
    if muxer == "gif":
        return {"loop": str(-1 if loops == 1 else max(loops - 1, 0))}
    return {"loop": str(loops)}


def is_webp(path: Path) -> bool:
    """Return whether the file is a WebP, by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


def webp_pictures(path: Path) -> Iterator[av.VideoFrame]:
    """Yield the frames of a WebP as RGBA pictures with pts and duration in milliseconds.

    Raises OSError for a file that cannot be decoded.
    """
    try:
        yield from _webp_pictures(path)
    except UNREADABLE as error:
        raise OSError(str(error)) from error


def _webp_pictures(path: Path) -> Iterator[av.VideoFrame]:
    pts = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is no crime here
        image = Image.open(path, formats=["WEBP"])
    with image:
        if image.width * image.height > most_pixels():
            raise OSError(f"{image.width}x{image.height} pixels are more than memory holds here")
        for n in range(getattr(image, "n_frames", 1)):
            image.seek(n)
            image.load()
            picture = av.VideoFrame.from_ndarray(np.asarray(image.convert("RGBA")), format="rgba")
            picture.pts, picture.time_base = pts, MILLISECOND
            picture.duration = int(image.info.get("duration") or 0)
            pts += max(picture.duration, 1)
            yield picture


def set_last_duration(path: Path, muxer: str, seconds: Fraction) -> None:
    """Write how long the last frame of the finished animation is shown."""
    data = bytearray(path.read_bytes())
    milliseconds = round(seconds * 1000)
    if muxer == "apng":
        at = data.rfind(b"fcTL")
        # After the name: sequence, width, height, x, y (4 bytes each), then the delay.
        struct.pack_into(">HH", data, at + 24, min(milliseconds, 65535), 1000)
        struct.pack_into(">I", data, at + 30, zlib.crc32(data[at : at + 30]))
    elif muxer == "webp":
        at = data.rfind(b"ANMF")
        if at < 0:
            return  # a single picture has no duration
        # After the name and size: x, y, width, height (3 bytes each), then the duration.
        data[at + 20 : at + 23] = milliseconds.to_bytes(3, "little")
    path.write_bytes(data)
