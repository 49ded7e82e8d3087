"""Edges that a container hides stay hidden: MP4's clean aperture, Matroska's PixelCrop."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import vsr
from tests.support import judge
from tests.support.boxes import with_box

_EDGES = {"even": (0, 0, 16, 16), "each": (8, 4, 6, 2), "odd": (5, 3, 7, 1)}  # l, r, t, b


def hiding(path: Path, left: int, right: int, top: int, bottom: int) -> Path:
    """A film of 96x64 with a grey inside, and white where a player does not show it."""
    inside = f"{96 - left - right}:{64 - top - bottom}"
    plain = judge.make(
        path.with_name("plain.mp4"), "color=white:s=96x64:r=25:d=0.4", "-vf",
        f"format=yuv444p,drawbox={left}:{top}:{inside}:0x606060:fill,format=yuv420p",
        "-c:v", "libx264", "-crf", "1",
    )  # fmt: skip
    across, down = 96 - left - right, 64 - top - bottom
    box = struct.pack(
        ">I4s8i", 40, b"clap", across, 1, down, 1, left - right, 2, top - bottom, 2
    )  # ISO/IEC 14496-12, 12.1.4: size, and how far the middle lies off
    mp4 = path.with_suffix(".mp4")
    mp4.write_bytes(with_box(plain.read_bytes(), box))
    if path.suffix == ".mkv":
        judge.ffmpeg("-i", str(mp4), "-c", "copy", str(path))
    assert "Cropping" in judge.describe(path)
    return path


@pytest.mark.parametrize("kind", [".mp4", ".mkv"])
@pytest.mark.parametrize("edges", _EDGES)
def test_what_was_hidden_stays_hidden(tmp_path: Path, kind: str, edges: str) -> None:
    left, right, top, bottom = _EDGES[edges]
    source, output = hiding(tmp_path / f"s{kind}", left, right, top, bottom), tmp_path / "o.mkv"
    result = vsr.upscale(source, output, model="nearest", scale=Fraction(2), crf=1)
    size = 2 * (96 - left - right), 2 * (64 - top - bottom)
    assert judge.size_of(output) == size == (result.width, result.height)
    assert np.abs(judge.rgb(output, size=size) - 0x60).max() <= 4
    assert "Cropping" not in judge.describe(output)
    assert any("hides edges of the picture" in note for note in result.notes)


def test_a_part_that_was_not_hidden_is_where_it_was(tmp_path: Path) -> None:
    source = hiding(tmp_path / "s.mp4", 8, 4, 6, 2)
    moved = tmp_path / "m.mp4"
    judge.ffmpeg("-i", str(tmp_path / "plain.mp4"), "-vf", "drawbox=20:30:10:8:black:fill",
                 "-c:v", "libx264", "-crf", "1", str(moved))  # fmt: skip
    data = source.read_bytes()
    clap = data[data.index(b"clap") - 4 :][:40]
    moved.write_bytes(with_box(moved.read_bytes(), clap))
    vsr.upscale(moved, tmp_path / "o.mkv", model="nearest", scale=Fraction(1), crf=1)
    picture = judge.rgb(tmp_path / "o.mkv", size=(84, 56))[0, ..., 1]
    assert np.abs(picture[24:32, 12:22] - 0).max() < 16
    assert np.abs(picture[20:23, 8:26] - 0x60).max() < 16
