"""Promise: a picture keeps its shape on the screen, and its pixels become square if asked for."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vsr
from tests.support import judge


def _ring(path: Path, sar: str) -> Path:
    """A ring of 40 lines, in pixels that are wider (PAL's 16:9) or narrower (NTSC's) than high."""
    y, x = np.mgrid[:64, :72] - np.array([32, 36])[:, None, None]
    far = np.hypot(x * float(Fraction(sar)), y)
    ring = np.where(abs(far - 20) < 3, 235, 16).astype(np.uint8)
    raw = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", "72x64", "-r", "10", "-i", "-")
    written = ("-c:v", "ffv1", "-pix_fmt", "yuv420p", "-vf", f"setsar={sar}", str(path))
    judge.ffmpeg(*raw, *written, stdin=ring.tobytes() * 3)
    return path


@pytest.mark.parametrize("sar", ["64/45", "8/9"])
@pytest.mark.parametrize("square", [False, True])
def test_a_ring_stays_round(tmp_path: Path, sar: str, square: bool) -> None:
    output = tmp_path / "o.mp4"
    vsr.upscale(
        _ring(tmp_path / "s.mkv", sar), output, model="bicubic", scale=2, square=square, crf=1
    )

    pixels = Fraction(1) if square else Fraction(sar)
    assert f"SAR {pixels.numerator}:{pixels.denominator}" in judge.video_line(output)
    width, height = judge.size_of(output)
    picture = judge.rgb(output, size=(width, height))[0].mean(-1)
    across = np.flatnonzero(picture[height // 2] > 120)
    down = np.flatnonzero(picture[:, round(width / 2)] > 120)
    wide, high = (float(at.max() - at.min() + 1) for at in (across, down))
    assert wide * float(pixels) == pytest.approx(high, abs=5)
    assert high == pytest.approx(2 * 46, abs=3)


@pytest.mark.parametrize(
    ("asked", "size"),
    [({"height": 128}, (204, 128)), ({"size": (204, 500)}, (204, 128)), ({"scale": 1}, (104, 64))],
)
def test_sizes_are_those_of_what_is_shown(
    tmp_path: Path, asked: dict[str, Any], size: tuple[int, int]
) -> None:
    source = judge.make(
        tmp_path / "s.mkv", "testsrc2=s=72x64:r=10:d=0.1", "-c:v", "ffv1", "-vf", "setsar=64/45"
    )
    output = tmp_path / "o.mp4"
    vsr.upscale(source, output, model="bicubic", square=True, **asked)
    width, height = judge.size_of(output)
    assert height == size[1]
    assert abs(width - size[0]) <= 2


@pytest.mark.parametrize("codec", ["av1", "vp9"])
@pytest.mark.parametrize("suffix", [".webm", ".mkv", ".mp4"])
def test_codecs_that_cannot_say_it_leave_it_to_the_container(
    tmp_path: Path, suffix: str, codec: Any
) -> None:
    source = _ring(tmp_path / "s.mkv", "64/45")
    output = tmp_path / f"o{suffix}"
    vsr.upscale(source, output, model="nearest", scale=1, codec=codec, crf=40)
    wide, high = map(int, re.findall(r"DAR (\d+):(\d+)", judge.video_line(output))[-1])
    # WebM says it in whole pixels of the screen.
    assert wide / high == pytest.approx(8 / 5, abs=0.5 / 64 if suffix == ".webm" else 0)


def _barred(path: Path, *arguments: str) -> Path:
    """A picture of 48x32 in black bars: 8 columns on either side, 6 rows above and 10 below."""
    return judge.make(
        path, "testsrc2=s=48x32:r=10:d=2,pad=64:48:8:6:black", "-c:v", "ffv1", *arguments
    )


@pytest.mark.parametrize("crop", ["auto", "48:32:8:6"])
def test_bars_are_cut_off_before_the_network(tmp_path: Path, crop: str) -> None:
    source, output = _barred(tmp_path / "s.mkv", "-pix_fmt", "yuv420p"), tmp_path / "o.mkv"
    result = vsr.upscale(source, output, model="nearest", scale=1, crop=crop, codec="ffv1")
    assert judge.size_of(output) == (48, 32)
    whole = judge.rgb(source, size=(64, 48))
    kept = judge.rgb(output, size=(48, 32))
    assert abs(kept[:, 4:-4, 4:-4] - whole[:, 10:34, 12:52]).max() <= 2  # colour reaches over edges
    cut = "8 left, 8 right, 6 top, 10 bottom"
    assert [n for n in result.notes if "bars" in n] == (
        [f"s.mkv: black bars are cut off: {cut}"] if crop == "auto" else []
    )


def test_a_dark_film_keeps_all_its_picture(tmp_path: Path) -> None:
    """Bars are what is black everywhere, not what is black in one scene."""
    source = judge.make(
        tmp_path / "s.mkv", "color=black:s=64x48:r=10:d=20,drawbox=x=0:y=0:w=64:h=4:c=white:"
        "t=fill:enable='gt(t,12)',drawbox=x=20:y=20:w=8:h=8:c=white:t=fill",
        "-c:v", "libx264", "-g", "10",
    )  # fmt: skip
    output = tmp_path / "o.mkv"
    vsr.upscale(source, output, model="nearest", scale=1, crop="auto", codec="ffv1", clip=["0-1"])
    width, height = judge.size_of(output)
    assert (width, height) == (64, 28)  # to the box's last row; the bar above is a scene's


@pytest.mark.parametrize(
    ("crop", "told"),
    [
        ("64:48:8:6", "64x48 pixels large"),
        ("32:32:3:6", "multiples of 2 and 2"),
        ("all", "neither auto nor W:H:X:Y"),
        ("0:4:0:0", "sides are at least 1"),
    ],
)
def test_what_cannot_be_cut_is_refused(tmp_path: Path, crop: str, told: str) -> None:
    source = _barred(tmp_path / "s.mkv", "-pix_fmt", "yuv420p")
    with pytest.raises(vsr.errors.UsageError, match=told):
        vsr.upscale(source, tmp_path / "o.mkv", model="nearest", crop=crop)
