"""Promise: combed pictures are never enlarged unasked, and progressive ones are left alone."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.support import judge
from vsr.media.read.interlace import ScanMode, detect_scan
from vsr.media.source.probe import probe

MAKE = {
    ScanMode.INTERLACED: "fps=50,scale=720:576,interlace=scan=tff",
    ScanMode.TELECINED: "fps=24000/1001,scale=720:480,telecine",
    ScanMode.PROGRESSIVE: "fps=25,scale=720:576",
}
MPEG2 = ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-b:v", "6M")
H264 = ("-c:v", "libx264", "-preset", "ultrafast")  # says nothing of fields


def make(path: Path, bunny: Path, scan: ScanMode, *codec: str) -> Path:
    judge.ffmpeg("-i", str(bunny), "-vf", MAKE[scan], "-an", *codec, str(path))
    return path


@pytest.mark.parametrize("codec", [MPEG2, H264], ids=["flagged", "unflagged"])
@pytest.mark.parametrize("scan", MAKE)
def test_it_is_found_in_the_pictures(
    tmp_path: Path, bunny: Path, scan: ScanMode, codec: tuple[str, ...]
) -> None:
    source = make(tmp_path / "s.mkv", bunny, scan, *codec)
    assert detect_scan(probe(source)) is scan


def combed(path: Path) -> int:
    """Combed frames by ffmpeg's own count."""
    text = judge.ffmpeg_log("-i", str(path), "-vf", "idet,scale=-2:96,idet", "-f", "null", "-")
    counts = re.findall(r"Multi frame detection: TFF:\s*(\d+) BFF:\s*(\d+)", text)
    return max(int(a) + int(b) for a, b in counts)


@pytest.mark.parametrize(
    ("scan", "rate", "frames"),
    [(ScanMode.INTERLACED, Fraction(25), 125), (ScanMode.TELECINED, Fraction(24000, 1001), 120)],
)
def test_combing_is_taken_out(
    tmp_path: Path, bunny: Path, scan: ScanMode, rate: Fraction, frames: int
) -> None:
    source = make(tmp_path / "s.mp4", bunny, scan, *MPEG2)
    output = tmp_path / "o.mp4"
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=vsr.SizeOptions(scale=Fraction(1)),
        encode=vsr.EncodeOptions(preset="ultrafast"),
    )
    result = vsr.upscale(source, output, options)
    assert abs(result.frames - frames) <= 2
    assert any(scan.value in note for note in result.notes)
    assert combed(source) > 40
    assert combed(output) <= 2
    stamps = [p.pts for p in judge.packets(output, "v:0")]
    steps = [b - a for a, b in itertools.pairwise(stamps)]
    assert all(abs(step - 1 / rate) < Fraction(1, 10000) for step in steps)


def test_off_means_off(tmp_path: Path, bunny: Path) -> None:
    source = make(tmp_path / "s.mp4", bunny, ScanMode.INTERLACED, *MPEG2)
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=vsr.SizeOptions(scale=Fraction(1)),
        source=vsr.SourceOptions(deinterlace="off"),
        encode=vsr.EncodeOptions(preset="ultrafast"),
    )
    result = vsr.upscale(source, tmp_path / "o.mp4", options)
    assert result.notes == () or not any("interlaced" in n for n in result.notes)
    assert combed(tmp_path / "o.mp4") > 40


def test_a_rate_is_judged_not_believed(tmp_path: Path) -> None:
    """ffmpeg calls the ticks of a raw DV file's clock its rate: 60000 frames a second."""
    source, output = tmp_path / "tape.dv", tmp_path / "o.mkv"
    judge.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=720x480:r=30000/1001:d=0.2", "-f", "lavfi", "-i",
        "sine=r=48000:d=0.2", "-ac", "2", "-c:v", "dvvideo", "-pix_fmt", "yuv411p", str(source),
    )  # fmt: skip
    assert probe(source).video.frames == len(judge.frames(source))
    vsr.upscale(source, output, vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1)),
        encode=vsr.EncodeOptions(preset="ultrafast"),
        source=vsr.SourceOptions(deinterlace="off"),
    ))  # fmt: skip
    assert "29.97 fps" in judge.video_line(output)
    assert len(judge.frames(output)) == len(judge.frames(source))


@pytest.mark.parametrize("codec", [("-c:v", "mjpeg"), ("-c:v", "mpeg4", "-bf", "2")])
def test_a_deinterlaced_avi_keeps_its_times(tmp_path: Path, codec: tuple[str, ...]) -> None:
    source, output = tmp_path / "s.avi", tmp_path / "o.mkv"
    judge.make(source, "testsrc2=s=64x48:r=25:d=0.6", *codec, "-q:v", "4")
    result = vsr.upscale(source, output, vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1)),
        encode=vsr.EncodeOptions(preset="ultrafast"),
        source=vsr.SourceOptions(deinterlace="bwdif"),
    ))  # fmt: skip
    assert not any("backwards" in note for note in result.notes)
    got = judge.packets(output, "v:0")
    assert len(got) == 15
    assert all(b.pts - a.pts == Fraction(1, 25) for a, b in itertools.pairwise(got))


def test_a_telecined_broadcast_begins_where_it_did(tmp_path: Path) -> None:
    """Frames that are counted anew are counted from the first one, whatever its clock says."""
    plain, source, output = tmp_path / "p.mkv", tmp_path / "s.ts", tmp_path / "o.mkv"
    judge.make(plain, "testsrc=s=64x48:r=24000/1001:d=2", "-vf", "telecine", *MPEG2)
    judge.ffmpeg("-i", str(plain), "-c", "copy", "-output_ts_offset", "10.01", str(source))
    vsr.upscale(source, output, model="nearest", scale=2, deinterlace="ivtc")
    times = [frame.pts for frame in judge.frames(output)]
    assert times[0] == 0
    rate = Fraction(24000, 1001)
    assert all(abs(time - n / rate) <= Fraction(1, 500) for n, time in enumerate(times))
