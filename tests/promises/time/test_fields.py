"""Promise: with `--deinterlace bob` each field becomes a frame, shown when it was filmed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vsr
from tests.support import judge


def _interlaced(path: Path, *codec: str) -> Path:
    """A bar that moves 2 columns with each field, 50 fields a second, and a tone of two seconds."""
    return judge.make(
        path, "color=black:s=96x64:r=50:d=2[b];color=white:s=8x64:r=50:d=2[w];"
        "[b][w]overlay=x='mod(n*2,80)':eval=frame,interlace=scan=tff:lowpass=off",
        *codec, "-c:a", "flac", "-map", "0", "-map", "1",
        inputs=["-f", "lavfi", "-i", "sine=d=2"],
    )  # fmt: skip


def _bob(source: Path, output: Path, **more: Any) -> Any:
    return vsr.upscale(
        source, output, model="nearest", scale=1, deinterlace="bob", codec="ffv1", **more
    )


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_fifty_fields_become_fifty_frames_in_time_with_the_sound(
    tmp_path: Path, suffix: str
) -> None:
    reordered = ("-bf", "2") if suffix == ".ts" else ()
    codec = ("-c:v", "mpeg2video", "-q:v", "2", *reordered)
    source = tmp_path / f"s{suffix}"
    judge.make(
        source, "testsrc2=s=96x64:r=50:d=2,interlace=scan=tff", *codec, "-c:a", "mp2",
        "-map", "0", "-map", "1", inputs=["-f", "lavfi", "-i", "sine=d=2"],
    )  # fmt: skip
    output = tmp_path / "o.mkv"
    _bob(source, output)
    before, after = judge.frames(source), judge.frames(output)
    assert len(after) == 2 * len(before)
    moved = after[0].pts - before[0].pts
    for n, field in enumerate(after):
        exact = before[n // 2].pts + (n % 2) * Fraction(1, 50) + moved
        assert abs(field.pts - exact) <= Fraction(1, 1000)  # Matroska's own ticks
    starts = [judge.decoded_sound(path)[0] for path in (source, output)]
    assert abs((starts[1] - after[0].pts) - (starts[0] - before[0].pts)) <= Fraction(1, 500)


def test_each_frame_shows_its_own_field(tmp_path: Path) -> None:
    source = _interlaced(tmp_path / "s.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv420p")
    output = tmp_path / "o.mkv"
    _bob(source, output)
    fields, frames = (judge.rgb(path, size=(96, 64)).mean(-1) for path in (output, source))
    assert len(fields) == 100
    before = -1
    for n, field in enumerate(fields):
        own = slice(8 + n % 2, 56, 2)  # the field's lines; those between are made
        assert abs(field[own] - frames[n // 2, own]).max() <= 2
        bar = np.flatnonzero(field[own].mean(0) > 128)
        assert bar.min() != before
        before = bar.min()


def test_segments_and_clips_are_those_of_the_whole(tmp_path: Path) -> None:
    source = _interlaced(
        tmp_path / "s.mkv", "-c:v", "mpeg2video", "-q:v", "2", "-g", "10", "-pix_fmt", "yuv420p"
    )
    whole, parted, clip = (tmp_path / name for name in ("a.mkv", "b.mkv", "c.mkv"))
    _bob(source, whole, segment=60)
    _bob(source, parted, segment=0.4)
    assert judge.frames(parted) == judge.frames(whole)
    _bob(source, clip, clip=["0.4+20f"])
    assert [f.digest for f in judge.frames(clip)] == [f.digest for f in judge.frames(whole)[20:60]]


def test_it_is_said(tmp_path: Path) -> None:
    source = _interlaced(tmp_path / "s.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv420p")
    result = _bob(source, tmp_path / "o.mkv", clip=["0+2f"])
    assert result.frames == 4
    assert any("each field becomes a frame" in note for note in result.notes)
