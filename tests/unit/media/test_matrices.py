"""Promise 2: every coding of colours that H.273 has a formula for is read by it, or refused."""

from __future__ import annotations

import dataclasses
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import vsr
from tests.support import judge
from tests.support.boxes import with_box
from vsr.errors import InputError

Array = NDArray[np.float64]

# R'G'B' of eight bars, of 255, each 16 columns wide.
BARS = np.array([
    [191, 191, 191], [191, 191, 40], [40, 191, 191], [40, 191, 40],
    [191, 40, 191], [191, 40, 40], [40, 40, 191], [30, 60, 90],
])  # fmt: skip
WIDTH, HEIGHT = 128, 32


# --- from R'G'B' to Y, Cb, Cr by the letter of H.273 8.3, BT.2020 and BT.2100, in float64 ---


def camera(light: Array) -> Array:
    alpha, beta = 1.09929682680944, 0.018053968510807
    return np.where(light < beta, 4.5 * light, alpha * light**0.45 - (alpha - 1))


def pq(light: Array) -> Array:
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    return ((c1 + c2 * light**m1) / (1 + c3 * light**m1)) ** m2


def hlg(light: Array) -> Array:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    bright = a * np.log(np.maximum(12 * light - b, 1e-9)) + c
    return np.where(light <= 1 / 12, np.sqrt(3 * light), bright)


def light_of(curve: Any, signal: Array) -> Array:
    """The inverse, by looking: no formula that could be wrong in the same way twice."""
    low, high = np.zeros_like(signal), np.ones_like(signal)
    for _ in range(60):
        middle = (low + high) / 2
        low = np.where(curve(middle) < signal, middle, low)
        high = np.where(curve(middle) < signal, high, middle)
    return (low + high) / 2


def differences(rgb: Array, kr: float, kb: float) -> Array:
    r, g, b = rgb.T
    y = kr * r + (1 - kr - kb) * g + kb * b
    return np.stack([y, (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))])


def constant_luminance(rgb: Array) -> Array:
    red, green, blue = light_of(camera, rgb).T
    y = camera(0.2627 * red + 0.6780 * green + 0.0593 * blue)
    b, r = rgb[:, 2] - y, rgb[:, 0] - y
    return np.stack([
        y, np.where(b <= 0, b / (2 * 0.9702), b / (2 * 0.7910)),
        np.where(r <= 0, r / (2 * 0.8591), r / (2 * 0.4969)),
    ])  # fmt: skip


def ictcp(curve: Any, rows: list[list[int]], rgb: Array) -> Array:
    lms = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
    return np.asarray((np.array(rows) / 4096) @ curve(lms @ light_of(curve, rgb).T))


def ycgco(rgb: Array) -> Array:
    r, g, b = rgb.T
    return np.stack([g / 2 + (r + b) / 4, g / 2 - (r + b) / 4, (r - b) / 2])


@dataclasses.dataclass(frozen=True)
class Coding:
    """A matrix with all that goes with it; ffmpeg's numbers (H.273's)."""

    matrix: int
    transfer: int
    primaries: int
    formula: Any
    written: str  # ffmpeg's name of the matrix in the result
    chroma: int = 224  # span of limited range at 8 bits
    zimg: str | None = None  # its names, where it goes by the standard, too


CODINGS = {
    "fcc": Coding(4, 4, 4, lambda x: differences(x, 0.30, 0.11), "fcc"),
    "240m": Coding(7, 7, 7, lambda x: differences(x, 0.212, 0.087), "smpte240m"),
    "ycgco": Coding(8, 1, 1, ycgco, "bt709", chroma=219, zimg="ycgco:709:709"),
    "constant luminance": Coding(10, 14, 9, constant_luminance, "bt2020nc"),
    "of P3": Coding(12, 1, 12, lambda x: differences(x, 0.228975, 0.079287), "bt709",
                    zimg="chroma-derived-nc:709:smpte432"),
    "derived constant luminance": Coding(13, 15, 9, constant_luminance, "bt2020nc"),
    "ictcp pq": Coding(14, 16, 9, lambda x: ictcp(pq, [[2048, 2048, 0], [6610, -13613, 7003],
                       [17933, -17390, -543]], x), "bt2020nc", zimg="ictcp:smpte2084:2020"),
    "ictcp hlg": Coding(14, 18, 9, lambda x: ictcp(hlg, [[2048, 2048, 0], [3625, -7465, 3840],
                        [9500, -9212, -288]], x), "bt2020nc"),
}  # fmt: skip


def film(path: Path, codes: NDArray[Any], tags: str, *, pix_fmt: str = "yuv444p16le") -> Path:
    """Two frames of the bars, (3, 8) code values, without loss."""
    raw = np.repeat(np.repeat(codes.astype("<u2"), 16, 1)[:, None], HEIGHT, 1)
    judge.ffmpeg(
        "-f", "rawvideo", "-pix_fmt", pix_fmt, "-s", f"{WIDTH}x{HEIGHT}", "-i", "-",
        "-vf", f"setparams={tags}", "-c:v", "ffv1", str(path), stdin=raw.tobytes() * 2,
    )  # fmt: skip
    return path


def bars(path: Path, coding: Coding) -> Path:
    """The bars as `coding` has them in limited range."""
    parts = coding.formula(BARS / 255)
    spans, zeros = (219, coding.chroma, coding.chroma), (16, 128, 128)
    codes = [np.rint(256 * (s * p + z)) for s, p, z in zip(spans, parts, zeros, strict=True)]
    tags = f"range=tv:colorspace={coding.matrix}:color_trc={coding.transfer}"
    return film(path, np.stack(codes), f"{tags}:color_primaries={coding.primaries}")


def by_zimg(path: Path, names: str) -> Path:
    """The bars as zimg codes them, which shares no code with ours and none with this file."""
    matrix, transfer, primaries = names.split(":")
    chain = (
        f"zscale=matrixin=gbr:rangein=full:transferin={transfer}:primariesin={primaries}:"
        f"matrix={matrix}:range=limited:transfer={transfer}:primaries={primaries},"
        "format=yuv444p16le"
    )
    raw = np.repeat(np.repeat(BARS, 16, 0)[None], HEIGHT, 0).astype("<u2") * 257
    judge.ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", f"{WIDTH}x{HEIGHT}", "-i", "-",
        "-vf", f"format=gbrp16le,{chain}", "-c:v", "ffv1", str(path), stdin=raw.tobytes() * 2,
    )  # fmt: skip
    return path


def seen(path: Path, coding: Coding) -> Array:
    """The middle of each bar, (8, 3) of 255: by zimg's reading of the matrix that is tagged."""
    raw = judge.ffmpeg(
        "-i", str(path), "-vf",
        # The transfer stays as it is; those that zimg has no name for are nothing to it.
        f"setparams=color_trc={coding.transfer if coding.transfer > 7 else 1}:color_primaries="
        f"{max(coding.primaries, 1) if coding.primaries > 7 else 1},"
        "zscale=matrix=gbr:range=full,format=gbrp16le,format=rgb48le",
        "-frames:v", "1", "-f", "rawvideo", "-",
    )  # fmt: skip
    picture = np.frombuffer(raw, "<u2").reshape(HEIGHT, 8, 16, 3)
    return np.asarray(picture[8:24, :, 4:12].mean((0, 2)) / 257)


def run(source: Path, output: Path, **colour: Any) -> vsr.Result:
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="bicubic"), size=vsr.SizeOptions(scale=Fraction(1)),
        colour=vsr.ColourOptions(**colour), encode=vsr.EncodeOptions(codec="ffv1"),
    )  # fmt: skip
    return vsr.upscale(source, output, options)


def tags(path: Path) -> list[str]:
    """[matrix, primaries, transfer] of a file, by ffmpeg's names; one name stands for all."""
    match = re.search(r"\((?:tv|pc), ([^,)]*)", judge.video_line(path))
    assert match is not None
    names = match[1].split("/")
    return names if len(names) == 3 else names * 3


# By the formulas above; and by zimg where it goes by the standard, too, not by a display's curve.
MADE = [(name, maker) for name, coding in CODINGS.items() for maker in ("standard", coding.zimg)]


@pytest.mark.parametrize(("name", "maker"), [(name, maker) for name, maker in MADE if maker])
def test_colours_are_read_by_the_standard_and_tagged_as_what_they_are(
    tmp_path: Path, name: str, maker: str
) -> None:
    coding, source, output = CODINGS[name], tmp_path / "s.mkv", tmp_path / "o.mkv"
    if maker == "standard":
        bars(source, coding)
    else:
        by_zimg(source, maker)
    result = run(source, output)
    assert tags(output) == [coding.written, *tags(source)[1:]]
    error = np.abs(seen(output, coding) - BARS)
    print(f"{name}: worst {error.max():.3f} of 255")
    assert error.max() <= 0.6  # 16 bits say a saturated colour of PQ no finer
    changed = any("are written as" in note for note in result.notes)
    assert changed == (tags(source)[0] != coding.written)


GREY = np.full((3, 8), 32768)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("colorspace=11", "Y'D'zD'x"),
        ("colorspace=15", "IPT-C2"),
        ("colorspace=16", "YCgCo-Re"),
        ("colorspace=14:color_trc=bt709:color_primaries=bt2020", "ICtCp"),
        ("colorspace=14", "ICtCp"),
        ("colorspace=12", "derived"),
        ("colorspace=10:color_trc=smpte2084:color_primaries=bt2020", "constant luminance"),
    ],
)
def test_what_has_no_formula_is_refused_with_the_way_out(
    tmp_path: Path, said: str, name: str
) -> None:
    source = film(tmp_path / "s.mkv", GREY, f"range=tv:{said}")
    with pytest.raises(InputError, match=rf"s\.mkv: .*{name}.*matrix") as caught:
        run(source, tmp_path / "o.mkv")
    assert caught.value.exit_code == 3
    result = run(source, tmp_path / "o.mkv", matrix="bt709")
    assert tags(result.output)[0] == "bt709"


def test_yuv_that_is_tagged_as_rgb_is_told(tmp_path: Path) -> None:
    source = film(tmp_path / "s.mkv", GREY, "range=tv:colorspace=gbr")
    result = run(source, tmp_path / "o.mkv")
    assert any("is tagged as RGB and is not: read as BT.601" in note for note in result.notes)


def test_a_film_and_its_copy_in_another_coding_are_found_alike(tmp_path: Path) -> None:
    source = bars(tmp_path / "s.mkv", CODINGS["ictcp hlg"])
    run(source, tmp_path / "o.mkv")
    for pair in ((tmp_path / "o.mkv", source), (source, tmp_path / "o.mkv")):
        report = vsr.metrics(*pair, vsr.MetricsOptions(metrics=("psnr",)))
        assert min(report.score("psnr_y").mean, report.score("psnr_rgb").mean) > 70


def dolby(path: Path, profile: int, base: int, *x265: str) -> Path:
    """H.265 with the record that Dolby Vision's files have; the pictures are plain bars."""
    plain = path.with_name("plain.mp4")
    judge.ffmpeg(
        "-f", "lavfi", "-i", "smptebars=s=64x48:r=25:d=0.2", "-pix_fmt", "yuv420p10le",
        "-c:v", "libx265", "-x265-params", ":".join(("log-level=none", *x265)), "-tag:v", "hvc1",
        str(plain),
    )  # fmt: skip
    record = bytes([1, 0]) + ((profile << 9) | (1 << 3) | 0b101).to_bytes(2, "big")
    content = record + bytes([base << 4]) + bytes(19)
    kind = b"dvcC" if profile < 8 else b"dvvC"
    path.write_bytes(
        with_box(plain.read_bytes(), (len(content) + 8).to_bytes(4, "big") + kind + content)
    )
    return path


def test_dolby_vision_without_a_base_layer_is_refused(tmp_path: Path) -> None:
    source = dolby(tmp_path / "s.mp4", 5, 0, "range=full")
    assert "profile: 5" in judge.describe(source)
    with pytest.raises(InputError, match=r"s\.mp4: is Dolby Vision .profile 5.*matrix"):
        run(source, tmp_path / "o.mkv")
    result = run(source, tmp_path / "o.mkv", matrix="bt2020")
    assert any("colours are not right" in note for note in result.notes)


def test_of_dolby_vision_on_hlg_the_base_layer_stays(tmp_path: Path) -> None:
    hlg_tags = "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"
    source, output = dolby(tmp_path / "s.mp4", 8, 4, hlg_tags), tmp_path / "o.mkv"
    result = run(source, output)
    assert any("Dolby Vision layer (profile 8) is left out; the HLG" in n for n in result.notes)
    assert tags(output) == ["bt2020nc", "bt2020", "arib-std-b67"]
    assert np.abs(judge.rgb(output, size=(64, 48)) - judge.rgb(source, size=(64, 48))).max() < 2
