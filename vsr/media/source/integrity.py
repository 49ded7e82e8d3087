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

import numpy as np

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_CHAPTERS, _EDITION, _ORDERED = 0x1043A770, 0x45B9, 0x45DD
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
    """Return where each of the files begins and ends that were joined to this one.

    Of Matroska: ffmpeg's demuxer reads the first two. Of MPEG-TS: where its programme goes on
    under other PIDs, of which a demuxer does not know when it begins. One pair for what is one
    file, nothing for other containers.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if "matroska" in demuxer:
            begins = [at for kind, at, *_ in _elements(file, size) if kind == _EBML]
            return tuple(itertools.pairwise([*begins, size]))
        return tuple(_programmes(file, size)) if demuxer == "mpegts" else ()


def named_streams(path: Path) -> set[int]:
    """Return the PIDs of all video and sound that MPEG-TS names anywhere."""
    with path.open("rb") as file:
        return {pid for _, _, pids in _maps(file) for pid in pids}


def _programmes(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Yield where the sole programme of MPEG-TS begins and ends; one pair where there are more."""
    begin, videos = 0, frozenset[int]()
    for at, latest, pids in _maps(file):
        found = frozenset(pid for pid, kind in pids.items() if kind in _VIDEO_TYPES)
        if latest < 0:
            break
        if found and videos and not found & videos:
            yield begin, at
            begin = latest
        videos = found or videos
    yield begin, size


def _maps(file: BinaryIO) -> Iterator[tuple[int, int, dict[int, int]]]:
    """Yield the place of each PMT, that of the PAT before it, and the kinds of its streams by PID.

    -1 for the PAT, where that names several programmes. ISO/IEC 13818-1, 2.4.4.
    """
    latest, maps = -1, frozenset[int]()
    for at, packet in _tables(file):
        pid, table = (packet[1] & 0x1F) << 8 | packet[2], packet[5:]
        length = min(((table[1] & 0x0F) << 8 | table[2]) - 1, len(table))
        if pid == 0:
            named = [table[n : n + 4] for n in range(8, length - 3, 4)]
            maps = frozenset((x[2] & 0x1F) << 8 | x[3] for x in named if x[:2] != b"\0\0")
            latest = at if len(maps) == 1 else -1
        elif pid in maps:
            pids, n = dict[int, int](), 12 + ((table[10] & 0x0F) << 8 | table[11])
            while n + 5 <= length:
                if table[n] in _VIDEO_TYPES | _AUDIO_TYPES:
                    pids[(table[n + 1] & 0x1F) << 8 | table[n + 2]] = table[n]
                n += 5 + ((table[n + 3] & 0x0F) << 8 | table[n + 4])
            yield at, latest, pids


_VIDEO_TYPES = frozenset({0x01, 0x02, 0x10, 0x1B, 0x24, 0x33, 0x42, 0xD1, 0xEA})
_AUDIO_TYPES = frozenset({0x03, 0x04, 0x0F, 0x11, 0x81, 0x87})
_SYNC, _TS = ord("G"), 188


def _tables(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the place and the bytes of each packet of MPEG-TS that may begin a PAT or a PMT."""
    head = file.read(4 + 192 + 1)
    step, mark = (192, 4) if head[4:5] == head[196:197] == b"G" else (_TS, 0)
    at = 0
    while True:
        file.seek(at)
        data = file.read(step * 50_000)
        rows = np.frombuffer(data, np.uint8, len(data) // step * step).reshape(-1, step)
        if not len(rows):
            return
        torn = np.flatnonzero(rows[:, mark] != _SYNC)
        whole = rows[: torn[0] if len(torn) else None, mark : mark + _TS]
        # A section begins in it, right behind the header: a PAT, or a PMT.
        begins = (whole[:, 1] & 0x40 > 0) & (whole[:, 3] & 0x20 == 0) & (whole[:, 4] == 0)
        is_pat = (whole[:, 1] & 0x1F == 0) & (whole[:, 2] == 0) & (whole[:, 5] == 0)
        for n in np.flatnonzero(begins & (is_pat | (whole[:, 5] == 2))):
            yield at + int(n) * step, whole[n].tobytes()
        at += len(whole) * step
        if len(torn):  # some bytes are lost, or too many
            after = data.find(b"G", len(whole) * step + 1 + mark)
            while after >= 0 and data[after + step : after + step + 1] not in (b"G", b""):
                after = data.find(b"G", after + 1)
            at += (
                (after - mark - len(whole) * step) if after >= 0 else len(data) - len(whole) * step
            )


def has_ordered_chapters(path: Path, demuxer: str) -> bool:
    """Whether chapters of a Matroska file say in which order to play it, or parts of others."""
    if "matroska" not in demuxer:
        return False
    with path.open("rb") as file:
        for kind, at, end in _elements(file, path.stat().st_size):
            if kind == _CLUSTER:
                return False  # they lie before it, nearly always; a film is not read for this
            if kind == _CHAPTERS:
                file.seek(at)
                return _is_ordered(file.read(min(end - at, _CHUNK)))
    return False


def _is_ordered(data: bytes) -> bool:
    """Whether EditionFlagOrdered is set in an edition of these chapters (RFC 9559, 5.1.7.1)."""
    at = 0
    while at < len(data):
        kind, width = _number(data[at:], keep_mark=True)
        length, more = _number(data[at + width :], keep_mark=False)
        if not width or not more:
            return False
        at += width + more
        if kind == _ORDERED and any(data[at : at + length]):
            return True
        if kind not in (_CHAPTERS, _EDITION):
            at += length
    return False


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
