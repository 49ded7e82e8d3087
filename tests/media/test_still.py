"""Promises for pictures: depth, grey, alpha, profile and camera notes stay; a PNG stays a PNG."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import vsr
from tests import judge
from tests.conftest import SAMPLES
from vsr.errors import UsageError


def run(source: Path, output: Path | None = None, scale: str = "1", model: str = "bicubic") -> Path:
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=model), size=vsr.SizeOptions(scale=Fraction(scale))
    )
    return vsr.upscale(source, output, options).output


@pytest.mark.parametrize("pix_fmt", ["rgb24", "rgba", "gray", "rgb48be", "rgba64be", "gray16be"])
def test_png_of_every_kind_comes_back_exactly(tmp_path: Path, pix_fmt: str) -> None:
    source = tmp_path / "s.png"
    judge.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=61x47,format=rgba64le,colorchannelmixer=aa=0.6",
                 "-frames:v", "1", "-pix_fmt", pix_fmt, str(source))  # fmt: skip
    output = run(source)
    assert output == tmp_path / "s_1x.png"
    assert pix_fmt in judge.video_line(output)
    a, b = (judge.ffmpeg("-i", str(p), "-f", "rawvideo", "-") for p in (source, output))
    assert a == b


def test_palette_png(tmp_path: Path) -> None:
    source = tmp_path / "p.png"
    Image.open(SAMPLES / "squirrel.png").quantize(64).save(source)
    with Image.open(run(source)) as image, Image.open(source) as want:
        assert (np.asarray(image.convert("RGB")) == np.asarray(want.convert("RGB"))).all()


@pytest.mark.parametrize("source", [".png", ".jpg"])
@pytest.mark.parametrize("target", [".png", ".jpg"])
def test_profile_and_camera_notes_stay(tmp_path: Path, source: str, target: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation
    exif[0x010F] = "Camera"
    path, output = tmp_path / f"s{source}", tmp_path / f"o{target}"
    with Image.open(SAMPLES / "squirrel.png") as image:
        image.convert("RGB").save(path, icc_profile=profile, exif=exif, quality=95, subsampling=0)
    run(path, output)
    with Image.open(output) as result, Image.open(path) as want:
        assert result.info["icc_profile"] == profile
        assert (result.getexif()[0x0112], result.getexif()[0x010F]) == (6, "Camera")
        assert result.size == want.size
        a, b = (np.asarray(i.convert("RGB")).astype(int) for i in (result, want))
        assert np.abs(a - b).mean() < 1.5


def test_a_picture_through_the_network(tmp_path: Path) -> None:
    output = run(SAMPLES / "squirrel.png", tmp_path / "o.png", "4", "realesr-animevideov3")
    a, b = (judge.rgb(p, size=(320, 180)) for p in (output, SAMPLES / "squirrel.png"))
    assert judge.size_of(output) == (1280, 720)
    assert np.abs(a - b).mean() < 3


def test_a_film_is_no_picture(tmp_path: Path, bunny: Path) -> None:
    with pytest.raises(UsageError, match="one picture"):
        run(bunny, tmp_path / "o.png")
