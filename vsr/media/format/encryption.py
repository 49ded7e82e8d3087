"""Whether a file is protected by DRM, and by whose, as its container says.

Decoders only find such data damaged, or make noise of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

_SYSTEMS = {  # of `pssh` boxes (dashif.org/identifiers/content_protection)
    UUID("edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"): "Widevine",
    UUID("9a04f079-9840-4286-ab92-e65be0885f95"): "PlayReady",
    UUID("94ce86fb-07ff-4f43-adb8-93d2fa968ca2"): "FairPlay",
}
_AROUND = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})  # boxes that hold boxes
_ENTRIES = {  # of encrypted samples (ISO/IEC 23001-7; those of Apple's shop)
    b"encv": "Common Encryption", b"enca": "Common Encryption",
    b"drmi": "FairPlay", b"drms": "FairPlay",
}  # fmt: skip
_EBML = {0x18538067, 0x1654AE6B, 0xAE, 0x6D80, 0x6240}  # Segment to ContentEncoding
_CONTENT_ENCRYPTION, _CLUSTER = 0x5035, 0x1F43B675
_ASF = {  # objects in the header (ASF specification, sections 3.14 to 3.16)
    UUID("2211b3fb-bd23-11d2-b4b7-00a0c955fc6e"),
    UUID("298ae614-2622-4c17-b935-dae07ee9289c"),
    UUID("43058533-6981-49e6-9b74-ad12cb86d58c"),
}
_HEAD = 1 << 21  # bytes that are looked at where packets say it, or a header's end is not known


def drm_of(path: Path, demuxer: str) -> str | None:
    """Return the names of what encrypts the file, or None.

    `demuxer`: ffmpeg's name of the container; of others than MP4, Matroska, ASF, MPEG-TS and
    HLS nothing is known.
    """
    for name, look in _LOOKS.items():
        if name in demuxer.split(","):
            with suppress(OSError, IndexError, ValueError), path.open("rb") as file:
                return ", ".join(dict.fromkeys(look(file))) or None
    return None


def _boxes(file: BinaryIO) -> Iterator[str]:
    """Look into MP4 and MOV: sample entries, then who has the key."""
    while len(head := file.read(8)) == 8:
        length, start = int.from_bytes(head[:4]), 8
        if length == 1:
            length, start = int.from_bytes(file.read(8)), 16
        if length < start:
            return
        if head[4:] == b"moov":
            data = memoryview(file.read(length - start))
            found = list(_in_boxes(data))
            named = [name for name in found if name != "Common Encryption"]
            yield from named or found
            return
        file.seek(length - start, 1)


def _in_boxes(data: memoryview) -> Iterator[str]:
    entries, systems = list[str](), list[str]()
    pending = [data]
    while pending:
        at, inside = 0, pending.pop()
        while at + 8 <= len(inside):
            length, name = int.from_bytes(inside[at : at + 4]), bytes(inside[at + 4 : at + 8])
            if length < 8:
                break
            if name in _AROUND:
                pending.append(inside[at + 8 : at + length])
            elif name == b"stsd":
                pending.append(inside[at + 16 : at + length])
            elif name in _ENTRIES:
                entries.append(_ENTRIES[name])
            elif name == b"pssh":
                systems.append(_SYSTEMS.get(UUID(bytes=bytes(inside[at + 12 : at + 28])), ""))
            at += length
    if entries:
        yield from [*entries, *filter(None, systems)]


def _elements(file: BinaryIO) -> Iterator[str]:
    """Look into Matroska and WebM (RFC 9559, section 5.1.4.1.31.8)."""
    data = file.read(_HEAD)
    at = 0
    while at < len(data):
        width = 9 - data[at].bit_length()
        name = int.from_bytes(data[at : at + width])
        at += width
        width = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + width]) & ((1 << 7 * width) - 1)
        at += width
        if name == _CONTENT_ENCRYPTION:
            yield "Common Encryption"
        if name == _CLUSTER:
            return
        at += 0 if name in _EBML else size


def _objects(file: BinaryIO) -> Iterator[str]:
    """Look into WMV and WMA."""
    head = file.read(30)
    data = file.read(min(int.from_bytes(head[16:24], "little"), _HEAD))
    at = 0
    while at + 24 <= len(data):
        if UUID(bytes_le=data[at : at + 16]) in _ASF:
            yield "Windows Media"
        at += max(int.from_bytes(data[at + 16 : at + 24], "little"), 24)


def _packets(file: BinaryIO) -> Iterator[str]:
    """Look at the scrambling of MPEG-TS's packets (ISO/IEC 13818-1, 2.4.3.3)."""
    data = file.read(_HEAD)
    step, at = (192, 4) if data[4:5] == data[196:197] == b"G" else (188, 0)
    marks = [data[n + 3] for n in range(at, len(data) - 4, step) if data[n] == ord("G")]
    if sum(mark & 0x80 > 0 for mark in marks) * 2 > len(marks):
        yield "a broadcaster's scrambling"


def drm_of_playlist(text: bytes) -> str | None:
    """Return the names of who has the keys to what a playlist lists, or None.

    HLS (RFC 8216, section 4.3.2.4) and DASH; a key that lies at an address is no DRM.
    """
    names = [name for mark, name in _IN_PLAYLISTS.items() if mark in text.lower()]
    return ", ".join(dict.fromkeys(names)) or None


_IN_PLAYLISTS = {
    b"com.apple.streamingkeydelivery": "FairPlay", b"com.microsoft.playready": "PlayReady",
    **{str(system).encode(): name for system, name in _SYSTEMS.items()},
}  # fmt: skip


def _playlist(file: BinaryIO) -> Iterator[str]:
    if (names := drm_of_playlist(file.read(_HEAD))) is not None:
        yield names


_LOOKS: dict[str, Callable[[BinaryIO], Iterator[str]]] = {
    "mov": _boxes, "matroska": _elements, "asf": _objects, "mpegts": _packets,
    "hls": _playlist,
}  # fmt: skip
