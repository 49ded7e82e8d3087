"""Single pictures: PNG, JPEG and WebP, with the colour profile and camera notes of the source.

PyAV writes the picture, 16 bits deep where the source is; what lies around it, the ICC
profile and EXIF (with its orientation, which is kept, not applied), is put in afterwards,
because no encoder takes it.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from vsr.errors import InputError

_SEGMENT = 65519  # bytes of a profile that fit into one segment of a JPEG, behind its header
_ORIENTATION = 0x0112  # EXIF's tag
# EXIF tags that a TIFF may carry over: how it is turned, and who took it with what and when.
# Its others describe how its own samples lie in the file.
_WORDS = (_ORIENTATION, 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
# EXIF's orientations as the matrices that a film says the same with: (a, b, c, d).
_TURNS = {
    1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1),
    5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0),
}  # fmt: skip


class ImageMetadata(NamedTuple):
    """What lies around a picture."""

    profile: bytes | None  # ICC
    exif: bytes | None  # as a TIFF, without the name in front that JPEG gives it


@contextmanager
def header(path: Path) -> Iterator[Image.Image]:
    """Return a picture as Pillow opens it, of which it has read no more than it must.

    Raises OSError, around the body as well, for whatever Pillow cannot make sense of.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags that are odd, of pictures that are large
            with Image.open(path) as image:
                yield image
    except Exception as error:  # damaged tags make Pillow raise anything at all
        raise OSError(str(error)) from error


def notes_of(path: Path) -> ImageMetadata:
    """Read profile and EXIF of a picture; none for what Pillow does not know as one."""
    try:
        with header(path) as image:
            profile, exif = image.info.get("icc_profile"), image.info.get("exif")
            if image.format == "TIFF":
                exif = _of_tiff(image)
    except OSError:
        return ImageMetadata(None, None)  # no picture that Pillow knows: a film, or a rare format
    if profile and profile[16:20] == b"CMYK":
        profile = None  # the result is RGB
    if isinstance(exif, bytes):
        exif = exif.removeprefix(b"Exif\0\0")
    return ImageMetadata(profile or None, exif or None)


def told_of_tiff(path: Path) -> tuple[str, ...]:
    """Return, in words, what of a TIFF is not read. Raises InputError for one that ffmpeg gets
    wrong.

    ffmpeg takes the first of several pages, and makes black of JPEG in a TIFF.
    """
    try:
        with header(path) as image:
            compression, samples = (image.getexif().get(tag, 1) for tag in (259, 262))
            pages = getattr(image, "n_frames", 1)
    except OSError:
        return ()  # the decoder will tell
    if compression in (6, 7) or samples not in (0, 1, 2, 3, 5):
        raise InputError(f"{path}: a TIFF with JPEG or YCbCr in it cannot be read; save it plainly")
    return (f"holds {pages} pages; the first is taken",) if pages > 1 else ()


def _of_tiff(image: Image.Image) -> bytes | None:
    tags, kept = image.getexif(), Image.Exif()
    for tag in _WORDS:
        if tag in tags:
            kept[tag] = tags[tag]
    return kept.tobytes() if len(kept) else None


def orientation_of(image: Image.Image) -> int:
    """Return how a picture that Pillow has open is to be turned, 1 to 8 as EXIF counts; 1: not at
    all.
    """
    if image.format != "TIFF" and not image.info.get("exif"):
        return 1  # asked for what is not in the header, Pillow would read all of a PNG
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in _TURNS else 1


def matrix_of(orientation: int) -> tuple[int, ...]:
    """Return the display matrix of a film that is turned like a picture of that orientation."""
    a, b, c, d = (n << 16 for n in _TURNS[orientation])
    return (a, b, 0, c, d, 0, 0, 0, 1 << 30)


def notes_of_matrix(matrix: tuple[int, ...]) -> ImageMetadata | None:
    """Return EXIF that turns a picture as `matrix` turns a film; None where EXIF cannot say it."""
    signs = tuple((n > 0) - (n < 0) for n in (matrix[0], matrix[1], matrix[3], matrix[4]))
    found = next((orientation for orientation, turn in _TURNS.items() if turn == signs), None)
    if found is None:
        return None
    exif = Image.Exif()
    exif[_ORIENTATION] = found
    return ImageMetadata(None, exif.tobytes().removeprefix(b"Exif\0\0"))


def put_notes(target: Path, notes: ImageMetadata) -> None:
    """Write profile and EXIF into the finished PNG, JPEG or WebP `target`."""
    if not any(notes):
        return
    data = target.read_bytes()
    if data.startswith(b"\x89PNG"):
        at = 8 + 25  # behind the signature and IHDR
        target.write_bytes(data[:at] + _png_chunks(*notes) + data[at:])
    elif data.startswith(b"\xff\xd8"):
        target.write_bytes(data[:2] + _jpeg_segments(*notes) + data[2:])
    elif data.startswith(b"RIFF"):
        target.write_bytes(_webp(data, *notes))


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


# --- WebP, a list of chunks: the first of them, VP8X, tells what the others are ---

_ICC, _ALPHA, _EXIF = 0x20, 0x10, 0x08  # its flags


def _webp(data: bytes, profile: bytes | None, exif: bytes | None) -> bytes:
    chunks = [(name, body) for name, body in _chunks(data) if name not in (b"ICCP", b"EXIF")]
    name, body = chunks[0]
    if name != b"VP8X":
        chunks.insert(0, (b"VP8X", _header(name, body)))
    head = bytearray(chunks[0][1])
    head[0] = head[0] & ~(_ICC | _EXIF) | (_ICC if profile else 0) | (_EXIF if exif else 0)
    chunks[0] = (b"VP8X", bytes(head))
    if profile:
        chunks.insert(1, (b"ICCP", profile))
    if exif:
        chunks.append((b"EXIF", exif))
    packed = b"".join(
        name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
        for name, body in chunks
    )
    return b"RIFF" + struct.pack("<I", len(packed) + 4) + b"WEBP" + packed


def _header(name: bytes, body: bytes) -> bytes:
    """Return the VP8X of a plain WebP, from the head of its one picture."""
    if name == b"VP8L":  # a byte of signature, then 14 + 14 bits of size and one of alpha
        bits = int.from_bytes(body[1:5], "little")
        flags = _ALPHA if bits >> 28 & 1 else 0
        width, height = bits & 0x3FFF, bits >> 14 & 0x3FFF
    else:  # VP8: three bytes of flags and three of signature, then 14 bits of each side
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
        flags, width, height = 0, width - 1, height - 1
    return bytes((flags, 0, 0, 0)) + width.to_bytes(3, "little") + height.to_bytes(3, "little")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and bodies of the chunks of a WebP."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def is_lossless(path: Path) -> bool:
    """Return whether every picture of the WebP `path` is coded without loss."""
    coded = []
    for name, body in _chunks(path.read_bytes()):
        if name == b"ANMF":  # a frame: 16 bytes of place and time, then chunks of its own
            coded.append(body[16:20])
        elif name in (b"VP8 ", b"VP8L"):
            coded.append(name)
    return bool(coded) and all(name == b"VP8L" for name in coded)
