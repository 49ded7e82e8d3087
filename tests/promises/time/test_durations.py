"""Promise 1, to the end: how long each frame stands, and with it how long a film is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

import vsr
from tests.support import judge

MILLISECOND = Fraction(1, 1000)
B_FRAMES = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "3")
# A screen recording: something moves, then nothing for 5 s, then again.
HOLD = [n * 1000 // 30 + (5000 if n >= 15 else 0) for n in range(30)]
RISING = [n * n * 7 for n in range(20)]  # each frame stands longer than the one before


def recording(path: Path, stamps: Sequence[int], last: int, *sound: str) -> Path:
    """A film of frames at `stamps`, in milliseconds; the last one stands for `last`."""
    times = "+".join(f"eq(N,{n})*{t}" for n, t in enumerate(stamps))
    between = path.with_suffix(".between.mkv")
    judge.ffmpeg(
        "-f", "lavfi", "-i", f"testsrc2=s=64x48:r=30:d={len(stamps) / 30}", *sound,
        "-vf", f"settb=1/1000,setpts='{times}'", "-fps_mode", "passthrough",
        "-enc_time_base", "1/1000", *B_FRAMES, "-c:a", "flac", str(between),
    )  # fmt: skip
    stands = f"setts=pts=PTS:dts=DTS:duration=if(eq(PTS\\,{stamps[-1]})\\,{last}\\,DURATION)"
    judge.ffmpeg("-i", str(between), "-c", "copy", "-bsf:v", stands, str(path))
    return path


def run(source: Path, output: Path, *, clip: str | None = None) -> vsr.Result:
    clips = (vsr.Clip.parse(clip),) if clip else ()
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=vsr.SizeOptions(scale=Fraction(1)),
        # Its B-frames change the order of decoding.
        encode=vsr.EncodeOptions(preset=None if output.suffix == ".webm" else "medium"),
        source=vsr.SourceOptions(clips=clips),
    )
    return vsr.upscale(source, output, tree)


def length(path: Path) -> Fraction:
    """What ffmpeg says of the whole file."""
    found = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", judge.describe(path))
    assert found is not None
    return int(found[1]) * 3600 + int(found[2]) * 60 + Fraction(found[3])


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
@pytest.mark.parametrize(("stamps", "last"), [(HOLD, 33), (RISING, 777)], ids=["hold", "rising"])
def test_a_film_is_as_long_as_its_source(
    tmp_path: Path, stamps: Sequence[int], last: int, suffix: str
) -> None:
    source = recording(tmp_path / "s.mkv", stamps, last)
    output = tmp_path / f"o{suffix}"
    run(source, output)
    want, got = judge.packets(source, "v:0"), judge.packets(output, "v:0")
    assert [p.pts for p in got] == [Fraction(t, 1000) for t in stamps]
    if suffix == ".mkv":
        assert [p.duration for p in got] == [p.duration for p in want]
    end = Fraction(stamps[-1] + last, 1000)
    assert abs(max(p.pts + p.duration for p in got) - end) <= MILLISECOND
    assert abs(length(output) - end) <= Fraction(1, 100)  # which it says in hundredths


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_each_frame_stands_until_the_next(tmp_path: Path, suffix: str) -> None:
    """MP4 says no durations, and the steps of its order of decoding are none of its pictures'."""
    first, source, output = (tmp_path / name for name in ("a.mkv", "s.mp4", f"o{suffix}"))
    judge.ffmpeg("-i", str(recording(first, RISING, 777)), "-c", "copy", str(source))
    run(source, output)
    got = judge.packets(output, "v:0")
    assert [p.pts for p in got] == [Fraction(t, 1000) for t in RISING]
    assert all(abs(a.duration - (b.pts - a.pts)) <= MILLISECOND for a, b in pairwise(got))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".gif"])
def test_an_animations_delays(tmp_path: Path, suffix: str) -> None:
    source, output = tmp_path / "s.gif", tmp_path / f"o{suffix}"
    judge.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.9", "-vf",
        "settb=1/100,setpts='N*N*3',split[a][b];[a]palettegen[p];[b][p]paletteuse",
        "-fps_mode", "passthrough", "-final_delay", "32", str(source),
    )  # fmt: skip
    run(source, output) if suffix != ".gif" else vsr.upscale(
        source, output, vsr.UpscaleOptions(model=vsr.ModelOptions(name="nearest"))
    )
    want, got = judge.packets(source, "v:0"), judge.packets(output, "v:0")
    assert want[-1].duration == Fraction(32, 100)
    assert [(p.pts, p.duration) for p in got] == [(p.pts, p.duration) for p in want]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_clip_begins_and_ends_where_a_picture_stands(tmp_path: Path, suffix: str) -> None:
    """What is on the screen then is shown, and the sound is that of the very moment."""
    sound = ("-f", "lavfi", "-i", "aevalsrc=if(between(t\\,3\\,3.1)\\,0.5*sin(2000*t)\\,0):d=6")
    source, output = recording(tmp_path / "s.mkv", HOLD, 33, *sound), tmp_path / f"o{suffix}"
    result = run(source, output, clip="2-5.6")
    got = judge.packets(output, "v:0")
    assert result.frames == len(got) == 1 + 3  # of 0.466, 5.5, 5.533, 5.566
    assert [p.pts * 1000 for p in got] == [0, 3500, 3533, 3566]
    seen = (judge.rgb(p, size=(64, 48)) for p in (source, output))
    before, now = next(seen)[14], next(seen)[0]
    assert abs(before - now).mean() < 4
    said = judge.ffmpeg_log("-i", str(output), "-af", "silencedetect=n=0.01:d=0.2", "-vn",
                            "-f", "null", "-")  # fmt: skip
    beep = float(re.findall(r"silence_end: ([\d.]+)", said)[0])
    assert abs(beep - 1) < 0.03  # three seconds on in the source
    run(source, tmp_path / f"inside{suffix}", clip="2-3.5")  # where nothing moves at all
    (only,) = judge.packets(tmp_path / f"inside{suffix}", "v:0")
    assert only.pts == 0
    assert only.duration == Fraction(3, 2)


@pytest.mark.parametrize("filling", ["90", "165"])
def test_two_frames_in_h265(bunny: Path, tmp_path: Path, filling: str) -> None:
    """X265 makes up the dts of so short a film of memory that it never wrote."""
    line = ["upscale", bunny, "-o", tmp_path / "o.mp4", "-m", "nearest", "-s", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "vsr", *map(str, line), "--clip", "0f+2f", "--codec", "h265"],
        env={**os.environ, "MALLOC_PERTURB_": filling}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = judge.frames(tmp_path / "o.mp4")
    assert abs(second.pts - first.pts - Fraction(1, 24)) < MILLISECOND
