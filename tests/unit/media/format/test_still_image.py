"""Promises for pictures: depth, grey, alpha, profile and camera notes stay; a PNG stays a PNG."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

import vsr
from tests.conftest import SAMPLES
from tests.support import judge
from vsr.errors import InputError, UsageError


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


@pytest.mark.parametrize("source", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("target", [".png", ".jpg", ".webp"])
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
        for image in (result, want):
            image.load()
        upright = [ImageOps.exif_transpose(image) for image in (result, want)]
    assert [image.size for image in upright] == [(180, 320)] * 2
    a, b = (np.asarray(image.convert("RGB")).astype(int) for image in upright)
    assert np.abs(a - b).mean() < 2.5


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_stays_a_still_and_as_exact_as_it_was(
    tmp_path: Path, mode: str, lossless: bool
) -> None:
    source = tmp_path / "s.webp"
    with Image.open(SAMPLES / "squirrel.png") as image:
        picture = image.convert(mode)
    if mode == "RGBA":
        picture.putalpha(picture.getchannel("R").point(lambda v: 255 - v // 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(source, lossless=lossless, quality=90, exif=exif)
    output = run(source)
    assert output == tmp_path / "s_1x.webp"
    assert (b"VP8L" in output.read_bytes()[:64]) == lossless
    with Image.open(output) as result, Image.open(source) as want:
        assert (result.mode, result.size) == (mode, want.size)
        assert getattr(result, "n_frames", 1) == 1
        assert result.getexif()[0x0112] == 6
        a, b = (np.asarray(i).astype(int) for i in (result, want))
        assert np.abs(a - b).max() == 0 if lossless else np.abs(a - b).mean() < 2
    assert judge.size_of(output) == picture.size  # ffmpeg takes it for a WebP as well


@pytest.mark.parametrize("kind", ["rgb.tif", "lzw.tif", "gray16.tif", "rgb48.tif", "rgb.bmp"])
def test_tiff_and_bmp_become_png(tmp_path: Path, kind: str) -> None:
    name, suffix = kind.split(".")
    pix_fmt = {"gray16": "gray16le", "rgb48": "rgb48le"}.get(name, "rgb24")
    pix_fmt = "bgr24" if suffix == "bmp" else pix_fmt
    source = tmp_path / f"s.{suffix}"
    packed = ["-compression_algo", "lzw"] if name == "lzw" else []
    judge.make(source, "testsrc2=s=61x47", "-frames:v", "1", "-pix_fmt", pix_fmt, *packed,
               "-update", "1")  # fmt: skip
    output = run(source)
    assert output == tmp_path / "s_1x.png"
    as_is = ("-f", "rawvideo", "-pix_fmt", pix_fmt, "-")
    assert judge.ffmpeg("-i", str(source), *as_is) == judge.ffmpeg("-i", str(output), *as_is)


def test_what_a_tiff_holds_beside_its_first_picture_is_told(tmp_path: Path) -> None:
    source = tmp_path / "s.tif"
    with Image.open(SAMPLES / "squirrel.png") as image:
        pages = [image.convert("RGB"), image.convert("RGB").rotate(180)]
    pages[0].save(source, save_all=True, append_images=pages[1:])
    result = vsr.upscale(source, None, vsr.UpscaleOptions(model=vsr.ModelOptions(name="nearest")))
    assert "2 pages" in result.notes[0]


def test_a_tiff_that_would_be_read_in_wrong_colours_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "s.tif"
    with Image.open(SAMPLES / "squirrel.png") as image:
        image.convert("RGB").save(source, compression="jpeg")
    with pytest.raises(InputError, match="TIFF"):
        run(source)


def test_a_picture_through_the_network(tmp_path: Path) -> None:
    output = run(SAMPLES / "squirrel.png", tmp_path / "o.png", "4", "realesr-animevideov3")
    a, b = (judge.rgb(p, size=(320, 180)) for p in (output, SAMPLES / "squirrel.png"))
    assert judge.size_of(output) == (1280, 720)
    assert np.abs(a - b).mean() < 3


def test_a_film_is_no_picture(tmp_path: Path, bunny: Path) -> None:
    with pytest.raises(UsageError, match="one picture"):
        run(bunny, tmp_path / "o.png")
