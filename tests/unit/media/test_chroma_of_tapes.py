"""Promise: 4:2:2 of a tape does not become what hardware refuses without a word."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import vsr
from tests.support import judge
from vsr.errors import UsageError


@pytest.mark.parametrize("chroma", ["auto", "420"])
def test_a_tape_stays_422_with_a_word_or_becomes_420(tmp_path: Path, chroma: Any) -> None:
    source, output = tmp_path / "s.mkv", tmp_path / "o.mp4"
    judge.make(source, "smptebars=s=64x48:r=25:d=0.2", "-c:v", "ffv1", "-pix_fmt", "yuv422p")
    result = vsr.upscale(source, output, vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1)),
        encode=vsr.EncodeOptions(crf=1, chroma=chroma),
    ))  # fmt: skip
    assert any("chroma 420" in note for note in result.notes) == (chroma == "auto")
    assert ("High 4:2:2" in judge.video_line(output)) == (chroma == "auto")
    seen = [judge.rgb(p, size=(7, 1), matrix="bt601") for p in (source, output)]
    assert abs(seen[0] - seen[1]).mean() < 2


def test_what_cannot_be_420_is_refused(tmp_path: Path) -> None:
    source = judge.make(tmp_path / "s.mkv", "testsrc2=s=64x48:r=25:d=0.1", "-c:v", "ffv1")
    with pytest.raises(UsageError, match="chroma 420"):
        vsr.upscale(source, tmp_path / "o.mov", vsr.UpscaleOptions(
            model=vsr.ModelOptions(name="nearest"),
            encode=vsr.EncodeOptions(codec="prores", chroma="420"),
        ))  # fmt: skip
