"""Promises for many pictures: they become a film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import vsr
from tests.conftest import SAMPLES
from tests.support import judge
from tests.support.pictures import names, refused, shots, upscale
from vsr.errors import InputError, UsageError
from vsr.events import Note, Started


def make_bars(folder: Path, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The same eight flat colours in each picture."""
    levels = [(r, g, b) for r in (16, 235) for g in (16, 235) for b in (16, 235)]
    colours = np.array(levels, np.uint8)
    pixels = np.repeat(np.repeat(colours[None], 16, 1), 64, 0)
    folder.mkdir()
    for n in range(count):
        Image.fromarray(pixels).save(folder / f"{n + 1}.png")
    return colours


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_pictures_become_a_film_of_their_colours(tmp_path: Path, suffix: str) -> None:
    colours = make_bars(tmp_path / "bars", 12)
    output = tmp_path / f"o{suffix}"
    done = upscale(tmp_path / "bars", "-o", output, "--fps", "24000/1001", "-m", "bicubic", "-s",
                   "2", "--crf", "10")  # fmt: skip
    assert (done.exit_code, done.stdout) == (0, f"{output}\n"), done.output
    frames = judge.frames(output)
    assert len(frames) == 12
    tick = Fraction(1, 900)
    for n, frame in enumerate(frames):
        assert abs(frame.pts - n * Fraction(1001, 24000)) < tick
    film = judge.rgb(output, size=(128, 64))
    middle = film[:, 32, 8::16]
    assert np.abs(middle - colours).max() <= 2


def test_no_picture_is_lost_or_changed_on_the_way_into_a_film(tmp_path: Path) -> None:
    pattern = shots(tmp_path / "in", 12)
    for n in (3, 4, 9):
        pattern.with_name(f"{n:05d}.png").unlink()
    heard: list[object] = []
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1)),
        encode=vsr.EncodeOptions(codec="ffv1"),
    )  # fmt: skip
    result = vsr.upscale(pattern, tmp_path / "o.mkv", options, sink=heard.append)
    assert result.frames == 9
    texts = [event.text for event in heard if isinstance(event, Note)]
    assert any("25 pictures a second" in text for text in texts)
    assert any("numbers that are missing: 3" in text for text in texts)
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    ours = judge.ffmpeg("-i", str(result.output), *raw)
    theirs = b"".join(
        judge.ffmpeg("-i", str(pattern.with_name(f"{n:05d}.png")), *raw)
        for n in (1, 2, 5, 6, 7, 8, 10, 11, 12)
    )
    assert ours == theirs


def test_grey_and_palette_among_the_pictures_cost_no_colour(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with Image.open(SAMPLES / "squirrel.png") as image:
        picture = image.convert("RGB").resize((64, 36))
    pictures = [picture.convert("L"), picture, picture.quantize(32), picture.convert("RGBA")]
    for n, one in enumerate(pictures):
        one.save(folder / f"{n}.png")
    picture.save(folder / "4.webp", lossless=True)
    judge.make(folder / "5.png", "testsrc2=s=64x36", "-frames:v", "1", "-pix_fmt", "rgb48be",
               "-update", "1")  # fmt: skip
    done = upscale(folder, "-o", tmp_path / "o.mkv", "--codec", "ffv1")
    assert done.exit_code == 0, done.output
    deep = ("-f", "rawvideo", "-pix_fmt", "rgb48le", "-")
    frames = np.frombuffer(judge.ffmpeg("-i", str(tmp_path / "o.mkv"), *deep), "<u2")
    wanted = [np.asarray(one.convert("RGB"), np.uint16) * 257 for one in (*pictures, picture)]
    wanted.append(np.frombuffer(judge.ffmpeg("-i", str(folder / "5.png"), *deep), np.uint16))
    assert np.array_equal(frames, np.concatenate([one.ravel() for one in wanted]))


@pytest.mark.parametrize("suffix", [".gif", ".apng", ".webp"])
def test_pictures_become_an_animation(tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"o{suffix}"
    done = upscale(shots(tmp_path / "in", 5), "-o", output, "--fps", "10")
    assert done.exit_code == 0, done.output
    with Image.open(output) as image:
        assert getattr(image, "n_frames", 1) == 5
        image.load()
        assert round(image.info["duration"]) == 100


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_that_are_turned_become_a_film_that_is(tmp_path: Path, orientation: int) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with Image.open(SAMPLES / "squirrel.png") as image:
        picture = image.convert("RGB").resize((64, 36))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for n in range(2):
        picture.save(folder / f"{n}.jpg", exif=exif, quality=95)
    output = tmp_path / "o.mp4"
    done = upscale(folder, "-o", output)
    assert done.exit_code == 0, done.output
    with Image.open(folder / "0.jpg") as image:
        upright = ImageOps.exif_transpose(image)
    shown = judge.rgb(output, size=upright.size)  # ffmpeg turns what is to be turned
    assert np.abs(shown[0] - np.asarray(upright)).mean() < 4


def test_pictures_that_do_not_go_together_are_told_before_any_work(tmp_path: Path) -> None:
    folder = shots(tmp_path / "in", 4).parent
    output = tmp_path / "o.mp4"
    judge.make(folder / "00003.png", "testsrc2=s=64x50", "-frames:v", "1", "-update", "1")
    refused(InputError, "00003.png: is 64x50, but 00001.png is 64x48", folder, "-o", output)
    (folder / "00003.png").unlink()
    judge.make(folder / "2.webp", "testsrc2=s=64x48:r=2", "-frames:v", "3")
    refused(InputError, "2.webp: holds 3 pictures", folder, "-o", output)
    (folder / "2.webp").write_bytes(b"")
    refused(InputError, "2.webp", folder, "-o", output)
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mkv").touch()
    refused(InputError, "no pictures", tmp_path / "films", "-o", output)
    refused(UsageError, "--fps", SAMPLES / "bunny.mp4", "-o", output, "--fps", "24")
    refused(UsageError, "--fps", folder, "-o", output, "--fps", "0")
    assert names(tmp_path) == ["films", "in"]


def test_a_picture_that_is_damaged_inside_is_told_and_keeps_its_place(tmp_path: Path) -> None:
    pattern = shots(tmp_path / "in", 6)
    torn = pattern.with_name("00003.png")
    torn.write_bytes(torn.read_bytes()[:200])
    done = upscale(pattern, "-o", tmp_path / "o.mkv")
    assert done.exit_code == 0, done.output
    assert "00003.png: damaged" in done.stderr
    times = [round(frame.pts * 25) for frame in judge.frames(tmp_path / "o.mkv")]
    assert times == [0, 1, 3, 4, 5]


def test_a_picture_that_changes_on_the_way_is_told(tmp_path: Path) -> None:
    pattern = shots(tmp_path / "in", 9)
    other = shots(tmp_path / "other", 1, size="32x32").with_name("00001.png")

    def sabotage(event: object) -> None:
        if isinstance(event, Started):
            other.replace(pattern.with_name("00008.png"))

    options = vsr.UpscaleOptions(model=vsr.ModelOptions(name="nearest"))
    with pytest.raises(InputError, match=r"00008.png: is 32x32, but 00001.png is 64x48"):
        vsr.upscale(pattern, tmp_path / "o.mp4", options, sink=sabotage)
    assert names(tmp_path) == ["in", "other"]
