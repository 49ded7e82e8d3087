"""Single pictures: PNG and JPEG, with the colour profile and the camera's notes of the source.

PyAV writes the picture, 16 bits deep where the source is; what lies around it, the ICC
profile and EXIF (with its orientation, which is kept, not applied), is put in afterwards,
because no encoder takes it.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image

from vsr.media.animation import UNREADABLE

STILLS = frozenset({"image2"})  # ffmpeg's name of the muxer
_SEGMENT = 65519  # bytes of a profile that fit into one segment of a JPEG, behind its header


def carry_notes(source: Path, target: Path) -> None:
    """Copy ICC profile and EXIF of the picture `source` into the PNG or JPEG `target`."""
    try:
        with Image.open(source) as image:
            profile = image.info.get("icc_profile")
            exif = image.info.get("exif")
    except UNREADABLE:
        return  # no picture that Pillow knows: a film, or a rare format
    if isinstance(exif, bytes):
        exif = exif.removeprefix(b"Exif\0\0")
    data = target.read_bytes()
    if data.startswith(b"\x89PNG"):
        at = 8 + 25  # behind the signature and IHDR
        target.write_bytes(data[:at] + _png_chunks(profile, exif) + data[at:])
    elif data.startswith(b"\xff\xd8"):
        target.write_bytes(data[:2] + _jpeg_segments(profile, exif) + data[2:])


def _png_chunks(profile: bytes | None, exif: bytes | None) -> bytes:
    chunks = []
    if profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if exif:
        chunks.append((b"eXIf", exif))
    return b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _jpeg_segments(profile: bytes | None, exif: bytes | None) -> bytes:
    segments = []
    if exif and len(exif) < 65000:
        segments.append((0xE1, b"Exif\0\0" + exif))
    parts = [profile[i : i + _SEGMENT] for i in range(0, len(profile), _SEGMENT)] if profile else []
    for n, part in enumerate(parts, start=1):
        segments.append((0xE2, b"ICC_PROFILE\0" + bytes((n, len(parts))) + part))
    return b"".join(
        struct.pack(">BBH", 0xFF, mark, len(body) + 2) + body for mark, body in segments
    )
