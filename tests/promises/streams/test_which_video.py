"""Of several videos, the film is what lasts; a programme that goes on under new PIDs is one."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

import vsr
from tests.support import judge

FRAME = Fraction(1, 25)
X264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "12")


def run(source: Path, output: Path, *, stream: int | None = None) -> vsr.Result:
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1)),
        encode=vsr.EncodeOptions(crf=0, encoder_options=(("qp", "0"),)),
        source=vsr.SourceOptions(stream=stream),
    )  # fmt: skip
    return vsr.upscale(source, output, tree)


@pytest.mark.parametrize("kind", [".mp4", ".mov", ".mkv", ".ts"])
def test_a_preview_is_not_the_film(tmp_path: Path, kind: str) -> None:
    """It comes first, is larger and is the default, and is over after two frames."""
    source, output = tmp_path / f"s{kind}", tmp_path / "o.mkv"
    judge.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=128x96:r=25:d=0.08",
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-map", "0", "-map", "1",
        *X264, "-disposition:v:0", "default", "-disposition:v:1", "0", str(source),
    )  # fmt: skip
    run(source, output)
    want, got = judge.frames(source, "v:1"), judge.frames(output, "v:0")
    assert [f.digest for f in got] == [f.digest for f in want]
    assert len(judge.packets(output, "v:1")) == 2  # it is copied
    run(source, tmp_path / "asked.mkv", stream=0)
    assert judge.size_of(tmp_path / "asked.mkv") == (128, 96)


@pytest.mark.parametrize("second", ["0.64", "3", "0"])
def test_a_programme_goes_on_under_new_pids(tmp_path: Path, second: str) -> None:
    """As from a receiver, whose clock overlaps, goes on, or starts anew."""
    parts = [tmp_path / f"{n}.ts" for n in range(2)]
    for n, (part, offset) in enumerate(zip(parts, ("0", second), strict=True)):
        judge.ffmpeg(
            "-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d=0.6,hue=h={90 * n}",
            "-f", "lavfi", "-i", f"sine=f={n + 1}40:r=48000:d=0.6", *X264, "-c:a", "mp2",
            "-output_ts_offset", offset, "-mpegts_start_pid", f"0x{n + 1}00", str(part),
        )  # fmt: skip
    source, output = tmp_path / "s.ts", tmp_path / "o.mkv"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    run(source, output)
    assert judge.describe(output).count("Stream #") == 2
    got, sound = judge.frames(output), judge.packets(output, "a:0")
    assert [f.digest for f in got] == [f.digest for part in parts for f in judge.frames(part)]
    heard = [judge.packets(part, "a:0") for part in parts]
    assert [p.digest for p in sound] == [p.digest for part in heard for p in part]
    longest = Fraction(5, 2) if second == "3" else FRAME + Fraction(1, 10)
    assert all(FRAME * 9 / 10 <= b.pts - a.pts <= longest for a, b in pairwise(got))
    beside = [
        (a.pts - b.pts) for a, b in ((sound[0], got[0]), (sound[len(heard[0])], got[len(got) // 2]))
    ]
    assert abs(beside[1] - beside[0]) <= Fraction(1, 100)
