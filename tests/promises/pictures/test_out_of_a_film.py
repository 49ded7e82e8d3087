"""Promises for many pictures: a film becomes them, and there and back nothing is lost."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import vsr
from tests.conftest import SAMPLES
from tests.support import judge
from tests.support.pictures import NEAREST, names, refused, shots, small_disk, upscale
from tests.unit.cli.test_errors import VSR
from vsr.errors import OutputError, OutputExists, UsageError
from vsr.events import BatchProgress, Started


def clip(path: Path, *arguments: str) -> Path:
    judge.ffmpeg("-i", str(SAMPLES / "bunny.mp4"), "-t", "0.5", *arguments, str(path))
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_film_becomes_a_picture_for_each_frame(tmp_path: Path, suffix: str) -> None:
    source = clip(tmp_path / "s.mp4")
    output = tmp_path / "frames" / f"%05d.{suffix}"
    done = upscale(source, "-o", output, "--json")
    assert done.exit_code == 0, done.output
    count = len(judge.frames(source))
    data = json.loads(done.stdout)
    assert (data["frames"], data["output"]) == (count, str(output))
    assert names(output.parent) == [f"{n:05d}.{suffix}" for n in range(1, count + 1)]
    assert any("sound" in note for note in data["notes"])
    film = judge.rgb(source, size=(320, 180))
    pictures = np.stack([
        judge.rgb(output.with_name(name), size=(320, 180))[0] for name in names(output.parent)
    ])  # fmt: skip
    assert np.abs(film - pictures).mean() < 2


def test_ten_bits_stay_in_pictures_of_sixteen(tmp_path: Path) -> None:
    source = clip(tmp_path / "s.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv420p10le", "-frames:v", "2")
    assert upscale(source, "-o", tmp_path / "50% of it" / "%d.png").exit_code == 0
    assert names(tmp_path / "50% of it") == ["1.png", "2.png"]
    assert "rgb48be" in judge.video_line(tmp_path / "50% of it" / "1.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_pictures_of_a_film_that_is_turned_are_turned(tmp_path: Path, suffix: str) -> None:
    upright = clip(tmp_path / "s.mp4", "-an", "-frames:v", "1")
    source = tmp_path / "turned.mp4"
    judge.ffmpeg("-display_rotation", "90", "-i", str(upright), "-c", "copy", str(source))
    done = upscale(source, "-o", tmp_path / f"o%d.{suffix}")
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / f"o1.{suffix}") as image:
        turned = ImageOps.exif_transpose(image).convert("RGB")
    shown = judge.rgb(source, size=(180, 320))[0]
    assert np.abs(np.asarray(turned) - shown).mean() < 4


def test_so_many_pictures_a_second(tmp_path: Path) -> None:
    done = upscale(SAMPLES / "bunny.mp4", "-o", tmp_path / "%d.jpg", "--fps", "2")
    assert done.exit_code == 0, done.output
    assert names(tmp_path) == sorted(f"{n}.jpg" for n in range(1, 11))


def test_pictures_that_are_there_stay_unless_told(tmp_path: Path) -> None:
    source = clip(tmp_path / "s.mp4", "-c", "copy")
    frames = tmp_path / "frames"
    frames.mkdir()
    for n in (1, 70):
        (frames / f"{n}.png").write_bytes(b"precious")
    refused(OutputExists, "2 pictures of such names", source, "-o", frames / "%d.png")
    refused(OutputError, "no such folder", source, "-o", tmp_path / "no" / "where" / "%d.png")
    assert names(frames) == ["1.png", "70.png"]
    done = upscale(source, "-o", frames / "%d.png", "--overwrite")
    assert done.exit_code == 0, done.output
    assert "1 pictures of higher numbers" in done.stderr
    assert (frames / "70.png").read_bytes() == b"precious"
    assert judge.size_of(frames / "1.png") == (320, 180)


def test_pictures_do_not_take_the_place_of_their_source(tmp_path: Path) -> None:
    judge.make(tmp_path / "x.apng", "testsrc2=s=16x16", "-frames:v", "3")
    source = (tmp_path / "x.apng").rename(tmp_path / "1.png")
    before = source.read_bytes()
    refused(UsageError, "take the place", source, "-o", tmp_path / "%d.png", "--overwrite")
    (tmp_path / "link.apng").symlink_to(source)
    refused(UsageError, "take the place", tmp_path / "link.apng", "-o", tmp_path / "%d.png",
            "--overwrite")  # fmt: skip
    assert source.read_bytes() == before
    assert names(tmp_path) == ["1.png", "link.apng"]


def test_names_that_cannot_be_are_refused_before_the_work(tmp_path: Path) -> None:
    source = clip(tmp_path / "s.mp4", "-c", "copy")
    frames = tmp_path / "frames"
    (frames / "00002.png").mkdir(parents=True)
    refused(UsageError, "is a folder", source, "-o", frames / "%05d.png", "--overwrite")
    for name in ("%0300d.png", "%099999999999d.png"):
        refused(UsageError, "9 digits", source, "-o", frames / name)
    refused(UsageError, "too long", source, "-o", frames / f"{'x' * 244}%d.png")
    assert names(frames) == ["00002.png"]


def test_a_folder_that_comes_meanwhile_costs_no_picture(tmp_path: Path) -> None:
    source = clip(tmp_path / "s.mp4", "-c", "copy")

    def sabotage(event: object) -> None:
        if isinstance(event, Started):
            (tmp_path / "3.png").mkdir()

    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1))
    )
    with pytest.raises(OutputError, match=r"3.png: is a folder"):
        vsr.upscale(source, tmp_path / "%d.png", options, sink=sabotage)
    assert [name for name in names(tmp_path) if name[0] != "."] == ["3.png", "s.mp4"]


def test_a_film_that_fails_leaves_no_picture(tmp_path: Path) -> None:
    source = clip(tmp_path / "s.mp4", "-c", "copy")
    with small_disk(tmp_path / "small", "500k") as small:
        refused(OutputError, "space", source, "-o", small / "frames" / "%d.png")
        assert names(small) == []


def test_there_and_back(tmp_path: Path) -> None:
    """Film to pictures to film: every frame in its place, its colours within 2/255."""
    source = tmp_path / "s.mkv"
    tagged = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    graph = f"smptehdbars=s=128x96:r=25,scale=out_color_matrix=bt709,format=yuv444p,{tagged}"
    judge.make(source, graph, "-frames:v", "5", "-c:v", "ffv1")
    assert upscale(source, "-o", tmp_path / "f" / "%d.png").exit_code == 0
    done = upscale(tmp_path / "f", "-o", tmp_path / "o.mkv", "--codec", "ffv1")
    assert done.exit_code == 0, done.output
    a, b = (judge.rgb(path, size=(128, 96)) for path in (source, tmp_path / "o.mkv"))
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= 2


def test_a_batch_tells_how_far_it_is(tmp_path: Path) -> None:
    folder = shots(tmp_path / "in", 3).parent
    heard: list[object] = []
    options = vsr.UpscaleOptions(model=vsr.ModelOptions(name="nearest"))
    batch = vsr.Batch([folder], tmp_path / "out", options)
    assert (batch.total, batch.pictures) == (3, 3)
    for _ in batch.run(heard.append):
        pass
    steps = [(e.done, e.total) for e in heard if isinstance(e, BatchProgress)]
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_part_of_the_pictures_becomes_a_film(tmp_path: Path) -> None:
    pattern = shots(tmp_path / "in", 9)
    output = tmp_path / "o.mkv"
    done = upscale(pattern, "-o", output, "--codec", "ffv1", "--start", "2f", "--end", "5f")
    assert done.exit_code == 0, done.output
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    wanted = (judge.ffmpeg("-i", str(pattern.with_name(f"{n:05d}.png")), *raw) for n in (3, 4, 5))
    assert judge.ffmpeg("-i", str(output), *raw) == b"".join(wanted)


def test_a_part_of_a_film_becomes_pictures(tmp_path: Path) -> None:
    done = upscale(SAMPLES / "bunny.mp4", "-o", tmp_path / "%d.png", "--clip", "24f+3f",
                   "--clip", "48f+2f")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert names(tmp_path) == [f"{n}.png" for n in range(1, 6)]
    film = judge.rgb(SAMPLES / "bunny.mp4", size=(320, 180))
    last = judge.rgb(tmp_path / "5.png", size=(320, 180))
    assert np.abs(film[49] - last[0]).mean() < 2
    refused(UsageError, "--clip", tmp_path, "-o", tmp_path / "out", "--clip", "1-2")
    refused(
        UsageError, "--separate", tmp_path, "-o", tmp_path / "out", "--clip", "1-2", "--separate"
    )


def test_pictures_go_into_a_pipe_as_a_film(tmp_path: Path) -> None:
    folder = shots(tmp_path / "in", 4).parent
    command = [*VSR, "upscale", str(folder), "-o", "-", *NEAREST, "--fps", "10"]
    done = subprocess.run(command, capture_output=True, check=True)
    (tmp_path / "o.nut").write_bytes(done.stdout)
    assert [frame.pts for frame in judge.frames(tmp_path / "o.nut")] == [
        Fraction(n, 10) for n in range(4)
    ]
