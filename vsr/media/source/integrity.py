"""Whether a file is all there, by what its own structure says of its end and its inside.

ffmpeg reads on behind whatever is broken and ends where the file does, without a word that a
program could hear. The containers say how long their elements are: that is compared here.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
# What lies beside clusters and in them (RFC 9559, sections 5.1 and 27.1).
_ELEMENTS = frozenset(
    {_EBML, _SEGMENT, _CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469,
     0x1043A770, 0x1254C367, 0xEC, 0xBF, 0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF}
)  # fmt: skip
_OPENED = frozenset({_SEGMENT, _CLUSTER})  # whose elements are looked at, one by one
_CHUNK = 1 << 20  # bytes in which the next cluster is looked for
_LAST_PAGE = 1 << 17  # bytes that hold the last page of an Ogg file, and more
_TOO_SHORT = "is cut short: at least {} bytes are missing behind its {}"
_PASSED = "is damaged in {} place{}: {} bytes are passed over"


def flaws(path: Path, demuxer: str) -> tuple[str, ...]:
    """Return in words what is missing at the file's end, or broken between.

    `demuxer`: ffmpeg's name of the container. Nothing for those that do not tell.
    """
    for names, look in _LOOKS.items():
        if set(names.split(",")) & set(demuxer.split(",")):
            with suppress(OSError), path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                return tuple(look(file, size))
    return ()


def _boxes(file: BinaryIO, size: int) -> Iterator[str]:
    """Walk the boxes of MP4 and MOV: ISO/IEC 14496-12, section 4.2."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:16])
        if length < 8:  # to the end; or nothing that can be read
            return
        at += length
    if at > size:
        yield _TOO_SHORT.format(at - size, size)


def _riff(file: BinaryIO, size: int) -> Iterator[str]:
    """Walk the chunks of an AVI, of which large ones have several (OpenDML)."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(8)
        if head[:4] != b"RIFF" or len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little")
        if length in (0, 0xFFFFFFFF):
            yield "was never finished: its header does not know its length"
            return
        at += 8 + length + (length & 1)
    if at > size + 1:
        yield _TOO_SHORT.format(at - size, size)


def _ogg(file: BinaryIO, size: int) -> Iterator[str]:
    """Check whether the last page says that it is the last (RFC 3533, section 6)."""
    file.seek(max(size - _LAST_PAGE, 0))
    data = file.read()
    page = data.rfind(b"OggS")
    if page >= 0 and not data[page + 5 : page + 6] >= b"\x04":
        yield "is cut short: it has no end mark"


def _packets(file: BinaryIO, size: int) -> Iterator[str]:
    """Walk MPEG-TS, whose packets have one length (ISO/IEC 13818-1, 2.4.3.2; with a stamp, 192)."""
    head = file.read(4 + 192 + 1)
    for length, mark in ((188, 0), (192, 4)):
        if head[mark : mark + 1] == head[mark + length : mark + length + 1] == b"G":
            if size % length:
                yield "is cut short: it ends within a packet"
            return


def _gif(file: BinaryIO, size: int) -> Iterator[str]:
    """Walk the blocks of a GIF: GIF89a, sections 18 to 26."""
    data = memoryview(file.read())

    def table(packed: int) -> int:
        return 3 << ((packed & 7) + 1) if packed & 0x80 else 0

    with suppress(IndexError):
        at = 13 + table(data[10])
        while data[at] != 0x3B:
            if data[at] == 0x21:  # an extension
                at += 2
            elif data[at] == 0x2C:  # a picture
                at += 11 + table(data[at + 9])
            else:
                yield _PASSED.format(1, "", size - at)
                return
            while data[at]:
                at += 1 + data[at]
            at += 1
        return
    yield "is cut short: it has no end mark"


def joined_files(path: Path, demuxer: str) -> tuple[tuple[int, int], ...]:
    """Return where each of the Matroska files begins and ends that were joined to this one.

    ffmpeg's demuxer reads the first two. One pair for what is one file, nothing for what is no
    Matroska.
    """
    if "matroska" not in demuxer:
        return ()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        begins = [at for kind, at, *_ in _elements(file, size) if kind == _EBML]
    return tuple(itertools.pairwise([*begins, size]))


def _matroska(file: BinaryIO, size: int) -> Iterator[str]:
    """Walk Matroska and WebM: EBML (RFC 8794, sections 4 and 5)."""
    end = places = passed = 0
    for kind, at, last in _elements(file, size):
        if kind is None:
            places, passed = places + 1, passed + last - at
        else:
            end = max(end, last)
    if places:
        yield _PASSED.format(places, "" if places == 1 else "s", passed)
    if end > size:
        yield _TOO_SHORT.format(end - size, size)


def _elements(file: BinaryIO, size: int) -> Iterator[tuple[int | None, int, int]]:
    """Yield the ID, the place and the end of each element; None for what is none."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(12)
        kind, width = _number(head, keep_mark=True)
        length, more = _number(head[width:], keep_mark=False)
        if width > 4 or kind not in _ELEMENTS or not more:
            if at + 12 > size:
                break
            found = _next_cluster(file, at + 1)
            yield None, at, found or size
            if found is None:
                break
            at = found
            continue
        inside = at + width + more
        # All ones: nobody knew when it was begun.
        last = inside + length if length != (1 << 7 * more) - 1 else inside
        yield kind, at, last
        at = inside if kind in _OPENED else last


def _number(data: bytes, *, keep_mark: bool) -> tuple[int, int]:
    """Return a number of variable length and its bytes; (0, 0) for none."""
    width = 9 - data[0].bit_length() if data else 0
    if not data or width > 8 or len(data) < width:
        return 0, 0
    value = int.from_bytes(data[:width])
    return value if keep_mark else value & ((1 << 7 * width) - 1), width


def _next_cluster(file: BinaryIO, at: int) -> int | None:
    mark = _CLUSTER.to_bytes(4)
    while True:
        file.seek(at)
        data = file.read(_CHUNK)
        if (found := data.find(mark)) >= 0:
            return at + found
        if len(data) < _CHUNK:
            return None
        at += _CHUNK - len(mark)


_LOOKS: dict[str, Callable[[BinaryIO, int], Iterator[str]]] = {
    "mov,mp4": _boxes,
    "avi": _riff,
    "mpegts": _packets,
    "ogg": _ogg,
    "gif": _gif,
    "matroska,webm": _matroska,
}
