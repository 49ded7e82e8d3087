"""Promise 2 for HDR: metadata is written, highlights are neither clipped nor tinted."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vsr
from tests import judge

MASTER = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


def make(path: Path, transfer: str, source: str) -> Path:
    tags = f"setparams=color_primaries=bt2020:colorspace=bt2020nc:range=tv:color_trc={transfer}"
    return judge.make(
        path, f"{source},format=yuv420p10le,{tags}", "-c:v", "libx265",
        "-x265-params",
        f"log-level=none:lossless=1:hdr10=1:master-display={MASTER}:max-cll=1000,400",
    )  # fmt: skip


def metadata(path: Path) -> dict[str, list[float]]:
    """What ffmpeg's showinfo reads from the first frame."""
    text = judge.ffmpeg_log("-i", str(path), "-vf", "showinfo", "-frames:v", "1", "-f", "null", "-")
    found = {}
    for name in ("has_primaries", "MaxCLL|max_content|Content light level"):
        line = next((x for x in text.splitlines() if re.search(name, x, re.IGNORECASE)), "")
        line = line.split("]", 1)[-1]
        found[name] = [float(n) for n in re.findall(r"\d+\.\d+|\d+", line)]
    return found


@pytest.mark.parametrize(("codec", "suffix"), [("h265", ".mp4"), ("av1", ".mkv"), ("h264", ".mp4")])
def test_static_metadata_and_tags_are_written(tmp_path: Path, codec: Any, suffix: str) -> None:
    source = make(tmp_path / "s.mp4", "smpte2084", "testsrc2=s=64x64:r=10:d=0.5")
    output = tmp_path / f"o{suffix}"
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="bicubic"), encode=vsr.EncodeOptions(codec=codec)
    )
    vsr.upscale(source, output, options)
    assert "yuv420p10le(tv, bt2020nc/bt2020/smpte2084" in judge.video_line(output)
    want, got = metadata(source), metadata(output)
    assert len(want["has_primaries"]) >= 10
    for name, numbers in want.items():
        assert got[name] == pytest.approx(numbers, rel=2e-3, abs=1e-4), name


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
@pytest.mark.parametrize("model", ["bicubic", "realesr-animevideov3"])
def test_highlights_are_neither_clipped_nor_tinted(
    tmp_path: Path, transfer: str, model: str
) -> None:
    """Grey steps up to the top of the range: their code values come back, and stay grey."""
    levels = [64, 300, 520, 700, 800, 880, 940]
    boxes = ",".join(f"drawbox=x={32 * n}:w=32:h=48:t=fill:c=black" for n in range(len(levels)))
    steps = "+".join(f"between(X,{32 * n},{32 * n + 31})*{v}" for n, v in enumerate(levels))
    graph = (
        f"color=black:s=224x48:r=5:d=0.4,{boxes},format=yuv420p10le,geq=lum='{steps}':cb=512:cr=512"
    )
    source = make(tmp_path / "s.mp4", transfer, graph)
    output = tmp_path / "o.mkv"
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=model), size=vsr.SizeOptions(scale=Fraction(2)),
        device=vsr.DeviceOptions(precision="fp32"), encode=vsr.EncodeOptions(codec="ffv1"),
    )  # fmt: skip
    vsr.upscale(source, output, options)
    raw = judge.ffmpeg("-i", str(output), "-pix_fmt", "yuv444p10le", "-f", "rawvideo", "-")
    planes = np.frombuffer(raw, "<u2").reshape(-1, 3, 96, 448).astype(float)
    for n, level in enumerate(levels):
        inside = planes[:, :, 24:72, 64 * n + 24 : 64 * n + 40].mean((0, 2, 3))
        assert abs(inside[0] - level) <= 4, (level, inside)  # of 1023
        assert np.abs(inside[1:] - 512).max() <= 4, (level, inside)
