"""Boxes and elements that ffmpeg does not write, put into files that it wrote."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from tests.cases.case import X264, X265, Case, bars, command, moving, tone
from tests.support import judge
from tests.support.boxes import boxes, grown_element, with_box


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def _element(name: str, content: bytes) -> bytes:
    return bytes.fromhex(name) + (0x10000000 | len(content)).to_bytes(4, "big") + content


def _edited(file: str, graphs: list[str], how: str, edit: Callable[[bytes], bytes]) -> Case:
    def make(folder: Path) -> None:
        path = folder / file
        command(path, graphs, how)
        path.write_bytes(edit(path.read_bytes()))

    return Case(file=file, make=make)


# --- MP4 and MOV ---


def _dolby(profile: int, level: int, base: int) -> bytes:
    flags = (profile << 9) | (level << 3) | 0b101
    record = bytes([1, 0]) + struct.pack(">H", flags) + bytes([base << 4]) + bytes(19)
    return _box(b"dvcC" if profile < 8 else b"dvvC", record)


_WINDOW = _box(b"clap", struct.pack(">8i", 128, 1, 64, 1, 0, 1, 0, 1))
_AROUND = (  # a film of 360 degrees, one eye above the other
    _box(b"st3d", b"\0\0\0\0\1")
    + _box(b"sv3d", _box(b"svhd", b"\0\0\0\0cases\0")
           + _box(b"proj", _box(b"prhd", bytes(16)) + _box(b"equi", bytes(20))))
)  # fmt: skip


def _two_at_one_time(data: bytes) -> bytes:
    """Give the fifth frame no time, and the rest theirs."""
    start, end = next((a, b) for name, a, b in boxes(data) if name == b"stts")
    table = _box(b"stts", struct.pack(">8I", 0, 3, 4, 512, 2, 0, 4, 512))
    changed = bytearray(data)
    for name, a, b in boxes(data):
        if name != b"stts" and a < start < b:
            struct.pack_into(">I", changed, a, b - a + len(table) - (end - start))
    return bytes(changed[:start]) + table + bytes(changed[end:])


def _empty_sound(data: bytes) -> bytes:
    """An audio track without a sample in it."""
    changed = bytearray(data)
    for name, a, _ in boxes(data):  # the later of each name is the sound's
        if name in (b"stts", b"stsc", b"stco", b"stsz"):
            last = [x for found, x, _ in boxes(data) if found == name][-1]
            if a == last:
                struct.pack_into(">I", changed, a + (16 if name == b"stsz" else 12), 0)
    return bytes(changed)


def _captions_track(folder: Path) -> None:
    """QuickTime's captions (CEA-608), which say Hello."""
    words = "00:00:00:05\t9420 9420 9470 9470 c8e5 ecec ef80 942f 942f"
    gone = "00:00:00:20\t942c 942c"
    (folder / "words.scc").write_text(f"Scenarist_SCC V1.0\n\n{words}\n\n{gone}\n")
    judge.ffmpeg("-f", "lavfi", "-i", moving(1), "-i", str(folder / "words.scc"), "-map", "0",
                 "-map", "1", *X264.split(), "-c:s", "copy",
                 str(folder / "c608_mov.mov"))  # fmt: skip


# --- Matroska ---

_SEGMENT, _TRACKS, _TRACK, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0


def _ordered(data: bytes) -> bytes:
    """Ordered chapters, the first of which lies in another file."""

    def atom(number: int, start: int, end: int, title: str, elsewhere: bytes = b"") -> bytes:
        return _element("b6", _element("73c4", number.to_bytes(8, "big"))
                        + _element("91", start.to_bytes(8, "big"))
                        + _element("92", end.to_bytes(8, "big"))
                        + (_element("6e67", elsewhere) if elsewhere else b"")
                        + _element("80", _element("85", title.encode())
                                   + _element("437c", b"eng")))  # fmt: skip

    half = 500_000_000
    edition = (
        _element("45bc", (77).to_bytes(8, "big")) + _element("45db", b"\1")
        + _element("45dd", b"\1") + atom(1, 0, 2 * half, "Opening (elsewhere)", bytes(range(16)))
        + atom(2, 0, half, "Part A") + atom(3, half, 2 * half, "Part B")
    )  # fmt: skip
    chapters = _element("1043a770", _element("45b9", edition))
    return grown_element(data, [_SEGMENT], chapters, behind=_TRACKS)


def _displayed(data: bytes) -> bytes:
    """DisplayUnit 3: the numbers are an aspect ratio, 16 by 9, and no pixels."""
    display = _element("54b0", b"\x10") + _element("54ba", b"\x09") + _element("54b2", b"\x03")
    return grown_element(data, [_SEGMENT, _TRACKS, _TRACK, _VIDEO], display)


def _attachments(folder: Path) -> None:
    """Two fonts of one name, a text, a file with an odd name, and two covers."""
    for name, content in (("a", "one"), ("b", "two-two"), ("c", "hello\n")):
        (folder / name).write_text(content)
    cover = folder / "cover.jpg"
    judge.ffmpeg("-f", "lavfi", "-i", "color=red:s=32x32", "-frames:v", "1", str(cover))
    files = [
        (folder / "a", "font/ttf", "Font.ttf"), (folder / "b", "font/ttf", "Font.ttf"),
        (folder / "c", "text/plain", "read.me"),
        (folder / "c", "application/octet-stream", "Größe ½.nfo"),
        (cover, "image/jpeg", "cover.jpg"), (cover, "image/jpeg", "small_cover.jpg"),
    ]  # fmt: skip
    how = [
        word
        for n, (path, mime, name) in enumerate(files)
        for word in ("-attach", str(path), f"-metadata:s:t:{n}", f"mimetype={mime}",
                     f"-metadata:s:t:{n}", f"filename={name}")
    ]  # fmt: skip
    judge.make(folder / "dupattach_mkv.mkv", moving(0.4), *X264.split(), *how, "-bitexact")


# --- AVI ---


def _top_down(data: bytes) -> bytes:
    """Rows from the top: a negative height."""
    at = data.index(b"strf") + 16
    (height,) = struct.unpack_from("<i", data, at)
    return data[:at] + struct.pack("<i", -abs(height)) + data[at + 4 :]


def _interleaved_dv(folder: Path) -> None:
    """DV of type 1, as Windows captured it: sound and picture in one stream, `iavs`."""
    command(folder / "x.dv", [moving(0.2, "720x576"), tone(0.2)],
            "-c:v dvvideo -pix_fmt yuv420p -ac 2 -f dv")  # fmt: skip
    raw, size = (folder / "x.dv").read_bytes(), 144000
    frames = [raw[n : n + size] for n in range(0, len(raw) // size * size, size)]

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content

    def listed(name: bytes, content: bytes) -> bytes:
        return chunk(b"LIST", name + content)

    stream = struct.pack("<4s4sIHHIIIIIIII4H", b"iavs", b"dvsd", 0, 0, 0, 0, 1, 25, 0, len(frames),
                         size, 0xFFFFFFFF, 0, 0, 0, 720, 576)  # fmt: skip
    whole = struct.pack(
        "<14I", 40000, 3600000, 0, 16, len(frames), 0, 1, size, 720, 576, 0, 0, 0, 0
    )
    track = listed(b"strl", chunk(b"strh", stream) + chunk(b"strf", bytes(32)))
    header = listed(b"hdrl", chunk(b"avih", whole) + track)
    index, movie = b"", b""
    for frame in frames:
        index += b"00__" + struct.pack("<III", 16, 4 + len(movie), size)
        movie += chunk(b"00__", frame)
    body = b"AVI " + header + listed(b"movi", movie) + chunk(b"idx1", index)
    (folder / "dvtype1_avi.avi").write_bytes(chunk(b"RIFF", body))


def _two_shapes(folder: Path) -> None:
    """The container says 16:9, the stream square pixels."""
    command(folder / "x.mp4", [moving(0.4) + ",setsar=1"], X264)
    judge.ffmpeg("-i", str(folder / "x.mp4"), "-c", "copy", "-aspect", "16:9", "-bitexact",
                 str(folder / "paspvui_mp4.mp4"))  # fmt: skip


_FRAMED = bars() + ",drawbox=0:0:128:16:white:fill,drawbox=0:80:128:16:white:fill"
_HLG = (
    "-c:v libx265 -x265-params log-level=none:colorprim=bt2020:transfer=arib-std-b67:"
    "colormatrix=bt2020nc -pix_fmt yuv420p10le -tag:v hvc1 -color_primaries bt2020 "
    "-color_trc arib-std-b67 -colorspace bt2020nc -c:a aac"
)
CASES = (
    _edited("clap_mp4.mp4", [_FRAMED], X264, lambda data: with_box(data, _WINDOW)),
    _edited("vr_mp4.mp4", [moving(0.4, "128x64")], X264, lambda data: with_box(data, _AROUND)),
    _edited("dovi5_mp4.mp4", [moving(0.4)], X265, lambda data: with_box(data, _dolby(5, 1, 0))),
    _edited("dovi84_mov.mov", [moving(0.4, rate="30"), tone(0.4, 44100)], _HLG,
            lambda data: with_box(data, _dolby(8, 4, 4))),
    Case(file="duppts_mp4.mp4", make=_edited("duppts_mp4.mp4", [moving(0.4)], f"{X264} -bf 0",
                                             _two_at_one_time).make),
    _edited("emptyaudio_mp4.mp4", [moving(0.4), tone(0.4)], f"{X264} -c:a aac", _empty_sound),
    Case(file="c608_mov.mov", make=_captions_track),
    Case(file="paspvui_mp4.mp4", make=_two_shapes),
    _edited("ordered_mkv.mkv", [moving(1)], X264, _ordered),
    _edited("displayunit_mkv.mkv", [moving(0.4)],
            "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p", _displayed),
    Case(file="dupattach_mkv.mkv", make=_attachments),
    _edited("raw_bgr24_topdown_avi.avi", [bars(0.3, "62x48", "10")],
            "-c:v rawvideo -pix_fmt bgr24", _top_down),
    Case(file="dvtype1_avi.avi", make=_interleaved_dv, frames=5, rate=Fraction(25)),
)  # fmt: skip
