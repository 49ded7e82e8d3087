"""Chapters where there is no place for them, and those that say in which order to play a film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.cases.edited import CASES
from tests.support import judge


def run(source: Path, output: Path) -> list[str]:
    result = vsr.upscale(source, output, model="nearest", scale=Fraction(2))
    return [note for note in result.notes if "chapter" in note]


def titles(path: Path) -> list[str]:
    text = judge.ffmpeg("-i", str(path), "-f", "ffmetadata", "-").decode()
    return [line.removeprefix("title=") for line in text.splitlines() if line.startswith("title=")]


def with_chapters(path: Path) -> Path:
    marks = path.with_suffix(".txt")
    lines = [";FFMETADATA1"]
    for n in range(2):
        lines += ["[CHAPTER]", "TIMEBASE=1/10", f"START={3 * n}", f"END={3 * n + 3}",
                  f"title=Part {n}"]  # fmt: skip
    marks.write_text("\n".join(lines))
    return judge.make(path, "testsrc2=s=64x48:r=25:d=0.6", "-map", "0", "-map_chapters", "1",
                      "-c:v", "libx264", inputs=("-i", str(marks)))  # fmt: skip


@pytest.mark.parametrize("suffix", [".ts", ".gif"])
def test_where_they_do_not_fit_they_are_named(tmp_path: Path, suffix: str) -> None:
    (said,) = run(with_chapters(tmp_path / "s.mkv"), tmp_path / f"o{suffix}")
    assert "the list of its 2 chapters does not fit" in said


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_elsewhere_they_stay(tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"o{suffix}"
    assert not run(with_chapters(tmp_path / "s.mkv"), output)
    assert titles(output) == ["Part 0", "Part 1"]


def test_an_order_of_playing_is_lost_and_named(tmp_path: Path) -> None:
    """ffmpeg writes no such chapters; the marks stay."""
    (case,) = (case for case in CASES if case.name == "ordered_mkv")
    case.make(tmp_path)
    output = tmp_path / "o.mkv"
    (said,) = run(tmp_path / case.file, output)
    assert "without the order in which they play it" in said
    assert titles(output) == ["Opening (elsewhere)", "Part A", "Part B"]
