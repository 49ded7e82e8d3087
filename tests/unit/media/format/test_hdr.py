"""Promise 2 for HDR: metadata is written, highlights are neither clipped nor tinted."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vsr
from tests.support import judge
from tests.support.boxes import body, elements

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


def short(tmp_path: Path, transfer: str = "smpte2084") -> Path:
    return make(tmp_path / "s.mp4", transfer, "testsrc2=s=64x64:r=10:d=0.3")


def bicubic(source: Path, output: Path, **encode: Any) -> vsr.Result:
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="bicubic"), encode=vsr.EncodeOptions(**encode)
    )
    return vsr.upscale(source, output, options)


def light_in(path: Path) -> list[float]:
    """Red, green, blue and white as x and y, both ends of luminance, both levels: of the container.

    By the letter of ISO/IEC 14496-12 and of RFC 9559.
    """
    data = path.read_bytes()
    if path.suffix in (".mkv", ".webm"):
        found = dict(elements(data))
        numbers = [struct.unpack(">d", found[name])[0] for name in range(0x55D1, 0x55DB)]
        return [*numbers, *(int.from_bytes(found[name], "big") for name in (0x55BC, 0x55BD))]
    display, level = body(data, b"mdcv"), body(data, b"clli")
    assert display is not None
    assert level is not None
    *points, high, low = struct.unpack(">8H2I", display)
    green, blue, red, white = (points[n : n + 2] for n in (0, 2, 4, 6))
    scaled = [v / 50000 for point in (red, green, blue, white) for v in point]
    return [*scaled, high / 10000, low / 10000, *struct.unpack(">2H", level)]


LIGHT = [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 1000, 0.005, 1000, 400]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("o.mkv", None), ("o.mp4", None), ("o.mov", None), ("o.webm", None), ("f.mkv", "ffv1"),
     ("p.mov", "prores")],
)  # fmt: skip
def test_the_container_tells_the_light(tmp_path: Path, name: str, codec: Any) -> None:
    output = tmp_path / name
    result = bicubic(short(tmp_path), output, codec=codec)
    assert light_in(output) == pytest.approx(LIGHT, rel=1e-4)
    assert result.notes == ()
    if codec is None:
        wanted = "av1" if name == "o.webm" else "hevc (Main 10)"
        assert f"Video: {wanted}" in judge.video_line(output)


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_hdr_becomes_what_devices_play_as_hdr(tmp_path: Path, suffix: str, transfer: str) -> None:
    source, output = short(tmp_path, transfer), tmp_path / f"o{suffix}"
    bicubic(source, output)
    line = judge.video_line(output)
    assert "Video: hevc (Main 10)" in line
    assert f"yuv420p10le(tv, bt2020nc/bt2020/{transfer}" in line
    assert metadata(output)["has_primaries"] == pytest.approx(
        metadata(source)["has_primaries"], rel=2e-3, abs=1e-4
    )


def test_what_plays_hardly_anywhere_is_told(tmp_path: Path) -> None:
    result = bicubic(short(tmp_path), tmp_path / "o.mp4", codec="h264")
    assert any("hardly any device" in note and "h265" in note for note in result.notes)
    result = bicubic(short(tmp_path), tmp_path / "o.gif")
    assert any("is HDR, which gif cannot say" in note for note in result.notes)


def test_hdr_of_pictures_is_told_by_them(tmp_path: Path) -> None:
    bicubic(short(tmp_path), tmp_path / "f" / "%02d.png")
    assert "bt2020/smpte2084" in judge.video_line(tmp_path / "f" / "01.png")


def test_metadata_of_each_scene_is_told_to_be_lost(tmp_path: Path) -> None:
    """HDR10+ as SMPTE ST 2094-40 puts it into SEI, here one that says the same all the time."""
    told = tmp_path / "told.json"
    scene = (
        '{"BezierCurveData":{"Anchors":[102,205,307,410,512,614,717,819,922],"KneePointX":0,'
        '"KneePointY":0},"LuminanceParameters":{"AverageRGB":50,"LuminanceDistributions":'
        '{"DistributionIndex":[1,5,10,25,50,75,90,95,99],"DistributionValues":'
        '[1,2,3,4,5,6,7,8,9]},"MaxScl":[100,100,100]},"NumberOfWindows":1,'
        '"TargetedSystemDisplayMaximumLuminance":400}'
    )
    told.write_text("[" + ",".join([scene] * 3) + "]")
    source = tmp_path / "s.mkv"
    judge.ffmpeg(
        "-i", str(short(tmp_path)), "-c:v", "libx265", "-x265-params",
        f"log-level=none:dhdr10-info={told}", str(source),
    )  # fmt: skip
    assert "HDR10+" in judge.ffmpeg_log("-i", str(source), "-vf", "showinfo", "-f", "null", "-")
    result = bicubic(source, tmp_path / "o.mkv")
    assert any("HDR10+ metadata is left out; the HDR10" in note for note in result.notes)
