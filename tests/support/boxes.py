"""Boxes of MP4 and elements of Matroska, read and written by the letter of their standards."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

# How many bytes of a box's own come before the boxes in it (ISO/IEC 14496-12 and -14).
_INSIDE = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"stsd": 8}
_ENTRIES = {b"hvc1", b"hev1", b"avc1", b"av01", b"apch", b"ap4h", b"ap4x", b"FFV1"}
_VISUAL = 78


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of each box, those inside of others behind them."""
    at, end = start, len(data) if end is None else end
    while at + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield name, at, at + size
        inside = _INSIDE.get(name, _VISUAL if name in _ENTRIES else None)
        if inside is not None:
            yield from boxes(data, at + 8 + inside, at + size)
        at += size


def with_box(data: bytes, box: bytes) -> bytes:
    """An MP4 whose index comes last, with one more box at the end of its first sample entry."""
    around = [(a, b) for name, a, b in boxes(data) if name in _INSIDE or name in _ENTRIES]
    entry = next(b for name, a, b in boxes(data) if name in _ENTRIES)
    grown = bytearray(data)
    for a, b in around:
        if a < entry <= b:
            struct.pack_into(">I", grown, a, b - a + len(box))
    return bytes(grown[:entry]) + box + bytes(grown[entry:])


def body(data: bytes, name: bytes) -> bytes | None:
    """What is in the first box of that name, or None."""
    return next((data[a + 8 : b] for found, a, b in boxes(data) if found == name), None)


# Segment, Tracks, TrackEntry, Video, Colour, MasteringMetadata (RFC 9559).
_MASTERS = {0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x55B0, 0x55D0}


def elements(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """(ID, content) of each element of a Matroska file down to the colours of its tracks."""
    at, end = start, len(data) if end is None else end
    while at < end:
        name, at, _, _, last = _element_at(data, at, end)
        last = min(last, end)
        yield name, data[at:last]
        if name in _MASTERS:
            yield from elements(data, at, last)
        at = last


def grown_element(data: bytes, path: Sequence[int], inner: bytes, *, behind: int = 0) -> bytes:
    """A Matroska file with `inner` at the end of the element that `path` leads to.

    `behind`: or behind the first child of that name.
    """
    at, end, sizes = 0, len(data), list[tuple[int, int, int]]()
    for wanted in [*path, behind] if behind else path:
        while True:
            name, start, size_at, length, last = _element_at(data, at, end)
            if name == wanted:
                break
            at = last
        if wanted == behind and behind:
            end = last
        else:
            sizes.append((size_at, length, last - start))
            at, end = start, last
    changed = bytearray(data)
    for size_at, length, size in sizes:
        known = (1 << 7 * length) | size + len(inner)
        changed[size_at : size_at + length] = known.to_bytes(length, "big")
    return bytes(changed[:end]) + inner + bytes(changed[end:])


def _element_at(data: bytes, at: int, end: int) -> tuple[int, int, int, int, int]:
    """(ID, where its content starts, where its size lies and how long that is, where it ends)."""
    length = 9 - data[at].bit_length()
    name = int.from_bytes(data[at : at + length], "big")
    at += length
    length = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    start = at + length
    return name, start, at, length, end if size == (1 << 7 * length) - 1 else start + size
