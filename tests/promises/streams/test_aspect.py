"""A broadcast whose pixels change their shape on the way, as from 4:3 to 16:9."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.support import judge


def switching(path: Path) -> Path:
    """15 frames of 4:3, then 15 of 16:9; the size stays."""
    parts = []
    for n, aspect in enumerate(("4:3", "16:9")):
        parts.append(path.with_name(f"{n}.ts"))
        judge.make(parts[-1], "testsrc2=s=180x144:r=25:d=0.6", "-c:v", "mpeg2video", "-aspect",
                   aspect, "-output_ts_offset", str(0.6 * n))  # fmt: skip
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def shown(path: Path) -> str:
    found = re.search(r"DAR (\d+:\d+)", judge.video_line(path))
    assert found is not None
    return found[1]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_what_the_result_cannot_say_is_named(tmp_path: Path, suffix: str) -> None:
    source, output = switching(tmp_path / "s.ts"), tmp_path / f"o{suffix}"
    result = vsr.upscale(source, output, model="nearest", scale=Fraction(2))
    (said,) = (note for note in result.notes if "aspect of its pixels" in note)
    assert "(16:15 becomes 64:45)" in said
    assert shown(output) == "4:3"


@pytest.mark.parametrize(("clip", "aspect"), [("2f+8f", "4:3"), ("18f+8f", "16:9")])
def test_each_part_has_its_own(tmp_path: Path, clip: str, aspect: str) -> None:
    source, output = switching(tmp_path / "s.ts"), tmp_path / "o.mkv"
    result = vsr.upscale(source, output, model="nearest", scale=Fraction(2), clip=[clip])
    assert shown(output) == aspect
    assert len(judge.frames(output)) == 8
    assert not [note for note in result.notes if "aspect of its pixels" in note]
