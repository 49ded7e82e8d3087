"""Closed captions that ride on the picture (ATSC A/53): which frame carries what, by ffmpeg."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import vsr
from tests.support import judge

_FRAMES = 40
_PADDING = bytes([0xFA, 0, 0])


def _triplets(number: int) -> bytes:
    """Two characters of CEA-608 in the first field, others in each frame, and padding."""
    return bytes([0xFC, 0x41 + number % 26, 0x61 + number // 26]) + _PADDING


def _escaped(payload: bytes) -> bytes:
    out, zeros = bytearray(), 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = 0 if byte else zeros + 1
    return bytes(out)


def _cc_data(number: int) -> bytes:
    triplets = _triplets(number)
    return b"GA94\x03" + bytes([0x40 | len(triplets) // 3, 0xFF]) + triplets + b"\xff"


def _active_format(number: int) -> bytes:
    return b"DTG1\x41\xf9"  # 4:3 in the middle matters


def _messages(folder: Path, rate: str = "25", message: Callable[[int], bytes] = _cc_data) -> Path:
    """A raw H.264 stream with an SEI message before each picture (A/53 part 4, 6.2.3)."""
    plain = folder / "plain.h264"
    judge.make(plain, f"testsrc2=s=64x48:r={rate}:d=2", "-frames:v", str(_FRAMES), "-c:v",
               "libx264", "-pix_fmt", "yuv420p", "-bf", "0", "-g", "10")  # fmt: skip
    data, number = b"", 0
    for unit in re.split(rb"(?=\x00\x00\x00\x01|(?<!\x00)\x00\x00\x01)", plain.read_bytes()):
        if unit and unit[unit.find(b"\1") + 1] & 31 in (1, 5):
            payload = b"\xb5\0\x31" + message(number)
            data += b"\0\0\0\1\6" + _escaped(bytes([4, len(payload)]) + payload + b"\x80")
            number += 1
        data += unit
    assert number == _FRAMES
    stream = folder / "captions.h264"
    stream.write_bytes(data)
    return stream


_KINDS = {
    "h264": (".ts", ("-c:v", "libx264", "-bf", "3")),
    "hevc": (".mkv", ("-c:v", "libx265", "-a53cc", "1", "-x265-params", "bframes=3:log-level=0")),
    "mpeg2": (".ts", ("-c:v", "mpeg2video", "-bf", "2", "-q:v", "4")),
}


def film(folder: Path, kind: str, rate: str = "25") -> Path:
    suffix, encode = _KINDS[kind]
    path = folder / f"s{suffix}"
    judge.ffmpeg("-r", rate, "-i", str(_messages(folder, rate)), *encode, str(path))
    assert said(path) == b"".join(map(_triplets, range(_FRAMES)))
    return path


def _asked(path: Path, *how: str) -> bytes:
    return judge.ffmpeg("-f", "lavfi", "-i", f"movie={path}[out+subcc]", "-map", "0:s", *how, "-")


def said(path: Path) -> bytes:
    """All captions of a film, in the order of its frames."""
    return _asked(path, "-c", "copy", "-f", "data")


def each(path: Path) -> list[tuple[str, str]]:
    """(size, digest) of the captions of each frame that has any."""
    lines = _asked(path, "-c", "copy", "-f", "framehash").decode().splitlines()
    fields = [re.split(r",\s*", line) for line in lines if not line.startswith("#")]
    return [(size, digest) for _, _, _, _, size, digest in fields]


def run(source: Path, output: Path, **chosen: Any) -> vsr.Result:
    return vsr.upscale(source, output, model="nearest", scale=Fraction(2), **chosen)


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mkv", "h264"), (".mp4", "h264"), (".mov", "h265"), (".ts", "h264"), (".mkv", "h265")],
)
def test_captions_ride_on_the_same_frames(
    tmp_path: Path, kind: str, suffix: str, codec: str
) -> None:
    source, output = film(tmp_path, kind), tmp_path / f"o{suffix}"
    preset = "ultrafast" if codec == "h265" else "medium"  # which has B-frames
    result = run(source, output, codec=codec, preset=preset)
    assert each(output) == each(source)
    assert len(each(output)) == len(judge.frames(output)) == _FRAMES
    assert not any("captions" in note for note in result.notes)


@pytest.mark.parametrize("codec", ["av1", "ffv1", "gif"])
def test_what_holds_no_captions_says_so(tmp_path: Path, codec: str) -> None:
    output = tmp_path / ("o.gif" if codec == "gif" else "o.mkv")
    result = run(film(tmp_path, "h264"), output, codec=codec)
    assert [note for note in result.notes if "captions" in note] == [
        f"s.ts: its closed captions do not fit {codec}: left out; h264 or h265 would keep them"
    ]


def test_captions_of_a_part(tmp_path: Path) -> None:
    source, output = film(tmp_path, "mpeg2"), tmp_path / "o.mp4"
    run(source, output, clip=["5f+10f", "30f+3f"])
    wanted = [*range(5, 15), *range(30, 33)]
    assert said(output) == b"".join(map(_triplets, wanted))


@pytest.mark.parametrize("how", ["bwdif", "ivtc"])
def test_filters_lose_no_captions(tmp_path: Path, how: str) -> None:
    """Those of frames that inverse telecine drops go out with the next; padding may go."""
    source, output = film(tmp_path, "mpeg2", "30000/1001"), tmp_path / "o.mp4"
    run(source, output, deinterlace=how)
    frames = len(judge.frames(output))
    assert frames == _FRAMES * 4 // 5 if how == "ivtc" else frames == _FRAMES
    assert said(output).replace(_PADDING, b"") == said(source).replace(_PADDING, b"")
    assert len(each(output)) == frames


def test_what_televisions_are_told_is_named(tmp_path: Path) -> None:
    source = tmp_path / "s.mkv"
    raw = _messages(tmp_path, message=_active_format)
    judge.ffmpeg("-r", "25", "-i", str(raw), "-c", "copy", str(source))
    log = judge.ffmpeg_log(
        "-i", str(source), "-vf", "showinfo", "-frames:v", "1", "-f", "null", "-"
    )
    assert "Active format description" in log
    notes = run(source, tmp_path / "o.mkv").notes
    assert any("active format description" in note for note in notes)
