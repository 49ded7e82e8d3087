"""Subtitles of rare kinds: kept where they fit, converted, or named with the truth."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.promises.streams.test_streams import blu_ray_subtitles
from tests.support import judge

_PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2")
_H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
_DVB, _TELETEXT = 0x59, 0x56  # descriptors of EN 300 468


def run(source: Path, output: Path) -> list[str]:
    """Upscale it; returns what is said of streams."""
    result = vsr.upscale(source, output, model="nearest", scale=Fraction(2))
    return [note for note in result.notes if "stream " in note]


def caption_track(path: Path) -> Path:
    """A film with a track of CEA-608 captions, from a Scenarist file."""
    text = path.with_suffix(".scc")
    shown = "9420 9420 9470 9470 c8e5 ecec ef80 942f 942f"  # Hello
    text.write_text(f"Scenarist_SCC V1.0\n\n00:00:00:05\t{shown}\n\n00:00:00:20\t942c 942c\n\n")
    judge.ffmpeg(*_PICTURE, "-i", str(text), "-map", "0", "-map", "1", *_H264, "-c:s", "copy",
                 str(path))  # fmt: skip
    return path


def test_a_caption_track_stays_in_mov(tmp_path: Path) -> None:
    source, output = caption_track(tmp_path / "s.mov"), tmp_path / "o.mov"
    assert not run(source, output)
    assert judge.packets(output, "s:0") == judge.packets(source, "s:0")
    assert "(c608 /" in judge.describe(output)


@pytest.mark.parametrize(("suffix", "text"), [(".mp4", "mov_text"), (".mkv", "subrip")])
def test_a_caption_track_becomes_text(tmp_path: Path, suffix: str, text: str) -> None:
    source, output = caption_track(tmp_path / "s.mov"), tmp_path / f"o{suffix}"
    (note,) = run(source, output)
    assert f"converted to {text} (its placing is lost)" in note
    shown = judge.ffmpeg("-i", str(output), "-map", "0:s", "-f", "srt", "-").decode()
    assert "Hello" in shown
    assert "00:00:00,165 --> " in shown


def test_a_caption_track_that_does_not_fit(tmp_path: Path) -> None:
    (note,) = run(caption_track(tmp_path / "s.mov"), tmp_path / "o.ts")
    assert note.endswith("eia_608 subtitles do not fit mpegts: left out; a .mov would keep them")


# --- teletext ---


def _crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return struct.pack(">I", crc)


def _starts(data: bytes) -> list[tuple[int, int]]:
    """(PID, offset of what begins in it) of each packet in which something begins."""
    found = []
    for at in range(0, len(data), 188):
        if data[at + 1] & 0x40:
            skipped = 1 + data[at + 4] if data[at + 3] & 0x20 else 0
            found.append(((data[at + 1] & 31) << 8 | data[at + 2], at + 4 + skipped))
    return found


def teletext(path: Path) -> Path:
    """A broadcast whose DVB subtitles are called teletext by its table of streams."""
    subtitles = blu_ray_subtitles(path.with_suffix(".sup"))
    judge.ffmpeg(*_PICTURE, "-i", str(subtitles), "-map", "0", "-map", "1", "-c:v", "mpeg2video",
                 "-c:s", "dvbsub", "-muxdelay", "0", "-muxpreload", "0", str(path))  # fmt: skip
    data = bytearray(path.read_bytes())
    for pid, at in _starts(bytes(data)):
        if pid > 17 and data[at : at + 2] == b"\0\2":  # the table of a programme
            end = at + 1 + 3 + (((data[at + 2] & 15) << 8) | data[at + 3]) - 4
            found = data.index(bytes([_DVB, 8]), at, end)
            page = bytes([0x10, 0x88, 0xFE, 1, 0])  # subtitles, page 888; and an empty descriptor
            data[found : found + 10] = bytes([_TELETEXT, 5]) + b"deu" + page
            data[end : end + 4] = _crc(bytes(data[at + 1 : end]))
    path.write_bytes(data)
    assert "dvb_teletext" in judge.describe(path)
    return path


def packets(path: Path) -> list[tuple[float, str]]:
    """(seconds behind the first picture, hash) of each packet of the subtitles."""
    begin = judge.packets(path, "v:0")[0].pts
    return [(round(float(p.pts - begin), 2), p.digest) for p in judge.packets(path, "s:0")]


def test_teletext_stays_in_a_broadcast(tmp_path: Path) -> None:
    source, output = teletext(tmp_path / "s.ts"), tmp_path / "o.ts"
    assert not run(source, output)
    assert re.search(r"\(deu\): Subtitle: dvb_teletext", judge.describe(output))
    assert packets(output) == packets(source)
    assert len(packets(output)) == 4


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_teletext_elsewhere_is_named_so(tmp_path: Path, suffix: str) -> None:
    (note,) = run(teletext(tmp_path / "s.ts"), tmp_path / f"o{suffix}")
    assert "dvb_teletext subtitles do not fit" in note
    assert note.endswith("left out; a .ts would keep them")


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_nothing_is_promised_that_no_container_keeps(tmp_path: Path, suffix: str) -> None:
    """DivX's subtitles, which only AVI holds."""
    source, subtitles = tmp_path / "s.avi", tmp_path / "d.mkv"
    judge.ffmpeg("-i", str(blu_ray_subtitles(tmp_path / "a.sup")), "-c:s", "dvdsub",
                 str(subtitles))  # fmt: skip
    judge.ffmpeg(*_PICTURE, "-i", str(subtitles), "-map", "0", "-map", "1", "-c:v", "mpeg4",
                 "-c:s", "xsub", str(source))  # fmt: skip
    (note,) = run(source, tmp_path / f"o{suffix}")
    assert "xsub subtitles do not fit" in note
    assert note.endswith(": left out")
