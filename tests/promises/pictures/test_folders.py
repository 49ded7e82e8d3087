"""Promises for many pictures: each stays what it is."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import vsr
from tests.conftest import SAMPLES
from tests.support import judge
from tests.support.pictures import names, refused, same_pictures, shots, small_disk, upscale
from vsr.engine.cache import EngineCache
from vsr.errors import OutputError, OutputExists, UnknownModel, UsageError
from vsr.events import Sink
from vsr.nets.store import LoadedModel, load


def test_each_picture_of_a_folder_stays_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with Image.open(SAMPLES / "squirrel.png") as image:
        picture = image.convert("RGB").resize((64, 36))
    picture.save(folder / "2.png", icc_profile=profile)
    picture.resize((30, 20)).convert("L").save(folder / "10.png")
    picture.convert("RGBA").save(folder / "a.webp", lossless=True)
    picture.save(folder / "IMG.JPG", quality=95)
    picture.save(folder / "b.bmp")
    judge.make(folder / "deep.png", "testsrc2=s=40x40", "-frames:v", "1", "-pix_fmt", "rgb48be")
    (folder / "notes.txt").write_text("no picture")
    done = upscale(folder)
    assert done.exit_code == 0, done.output
    out = tmp_path / "shots_1x"
    assert done.stdout == f"{out}\n"
    assert names(out) == ["10.png", "2.png", "IMG.JPG", "a.webp", "b.png", "deep.png"]
    assert "6 of 6 pictures done" in done.stderr
    assert "passed over as no picture or film: notes.txt" in done.stderr
    assert len(done.stderr.splitlines()) == 3
    for name in ("10.png", "2.png", "a.webp", "deep.png"):
        assert same_pictures(folder / name, out / name)
        kind = judge.video_line(out / name).split("Video: ")[1].split(",")[:2]
        assert kind == judge.video_line(folder / name).split("Video: ")[1].split(",")[:2]
    with Image.open(out / "2.png") as result:
        assert result.info["icc_profile"] == profile
    with Image.open(out / "b.png") as a, Image.open(folder / "b.bmp") as b:
        assert (np.asarray(a) == np.asarray(b)).all()


def test_numbers_are_kept_from_pattern_to_pattern(tmp_path: Path) -> None:
    pattern = shots(tmp_path / "in", 6)
    (tmp_path / "in" / "00003.png").unlink()
    out = tmp_path / "out" / "p%03d.jpg"
    done = upscale(pattern, "-o", out)
    assert (done.exit_code, done.stdout) == (0, f"{out}\n"), done.output
    assert names(out.parent) == [f"p00{n}.jpg" for n in (1, 2, 4, 5, 6)]
    done = upscale(tmp_path / "in", "-o", tmp_path / "again" / "%d.webp")
    assert done.exit_code == 0, done.output
    assert names(tmp_path / "again") == [f"{n}.webp" for n in range(1, 6)]
    for path in (tmp_path / "again").iterdir():
        assert judge.size_of(path) == (64, 48)


def test_the_networks_are_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[vsr.ModelOptions] = []

    def counting(options: vsr.ModelOptions, sink: Sink) -> LoadedModel:
        loaded.append(options)
        return load(options, sink)

    monkeypatch.setattr("vsr.engine.cache.load", counting)
    folder = shots(tmp_path / "in", 2, size="24x16").parent
    judge.make(folder / "z.png", "testsrc2=s=40x24", "-frames:v", "1")
    options = vsr.UpscaleOptions(size=vsr.SizeOptions(height=48))
    outcomes = list(vsr.Batch([folder], tmp_path / "out", options).run())
    assert [o.result.width for o in outcomes if o.result] == [72, 72, 80]
    assert len(loaded) == 1
    # What was loaded for others does what it would have done alone.
    alone = vsr.upscale(folder / "z.png", tmp_path / "z.png", options).output
    assert same_pictures(alone, tmp_path / "out" / "z.png")


def test_an_engine_for_one_scale_leaves_that_for_another_as_it_was() -> None:
    model, device = vsr.ModelOptions(), vsr.DeviceOptions(device="cpu", precision="fp32")
    x, kept = torch.rand(1, 3, 16, 16), EngineCache()
    with torch.inference_mode():
        for scale in (2, 4, 1, 2):
            one = kept.engine(model, Fraction(scale), device)(x)
            assert one.shape[-1] == 16 * scale
            assert torch.equal(one, EngineCache().engine(model, Fraction(scale), device)(x))


def test_one_bad_picture_does_not_stop_the_others(tmp_path: Path) -> None:
    folder = shots(tmp_path / "in", 3).parent
    (folder / "00002.png").write_bytes(b"no picture")
    done = upscale(folder, "-o", tmp_path / "out", "--json")
    assert done.exit_code == 3
    assert done.stderr.count("vsr: ") == 1
    assert "00002.png" in done.stderr
    assert "2 of 3 pictures done" in done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(r["output"]).name for r in results] == ["00001.png", "00003.png"]
    assert all(Path(r["output"]).is_file() for r in results)


def test_a_note_for_hundreds_of_pictures_is_said_once(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with Image.open(SAMPLES / "squirrel.png") as image:
        picture = image.convert("RGB").resize((16, 16))
    for n in range(12):
        picture.save(folder / f"{n}.tif", save_all=True, append_images=[picture])
    done = upscale(folder, "-o", tmp_path / "out")
    assert "12 of 12 pictures done" in done.stderr
    assert done.stderr.count("2 pages") == 1
    assert len(done.stderr.splitlines()) == 3


def test_a_folder_of_films_is_several_films(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("b.mkv", "a.mp4"):
        judge.ffmpeg("-i", str(SAMPLES / "bunny.mp4"), "-t", "0.2", "-c", "copy",
                     str(folder / name))  # fmt: skip
    shots(folder, 1)
    done = upscale(folder, "-o", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'out'}\n"), done.output
    assert names(tmp_path / "out") == ["00001.png", "a.mp4", "b.mkv"]
    assert "3 of 3 files done" in done.stderr
    assert "Audio" in judge.describe(tmp_path / "out" / "a.mp4")


def test_an_animation_that_is_called_png_stays_one(tmp_path: Path) -> None:
    folder = shots(tmp_path / "in", 1).parent
    judge.make(tmp_path / "x.apng", "testsrc2=s=16x16", "-frames:v", "3")
    (tmp_path / "x.apng").rename(folder / "x.png")
    judge.make(folder / "x.bmp", "testsrc2=s=16x16", "-frames:v", "1")
    done = upscale(folder, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert names(tmp_path / "out") == ["00001.png", "x.bmp.png", "x.png.apng"]
    assert len(judge.frames(tmp_path / "out" / "x.png.apng")) == 3


def test_several_pictures_by_name_are_named_each(tmp_path: Path) -> None:
    folder = shots(tmp_path / "in", 2).parent
    (tmp_path / "out").mkdir()
    done = upscale(folder / "00001.png", folder / "00002.png", tmp_path / "in", "-o",
                   tmp_path / "out")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert [Path(line).name for line in done.stdout.splitlines()] == [
        "00001_1x.png", "00002_1x.png", "in_1x",
    ]  # fmt: skip
    assert names(tmp_path / "out" / "in_1x") == ["00001.png", "00002.png"]
    assert "4 of 4 pictures done" in done.stderr


def test_what_cannot_be_begun_is_refused_and_nothing_touched(tmp_path: Path) -> None:
    pattern = shots(tmp_path / "in", 3)
    folder, still = pattern.parent, pattern.parent / "00001.png"
    shots(tmp_path / "there", 2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    refused(UsageError, "take the place", folder, "-o", folder, "--overwrite")
    refused(UsageError, "take the place", pattern, "-o", pattern, "--overwrite")
    refused(UsageError, "take the place", folder, "-o", folder / "0000%d.png", "--overwrite")
    refused(OutputExists, "2 of 3 results", folder, "-o", tmp_path / "there")
    refused(OutputExists, "2 of 3 results", folder, "-o", tmp_path / "there" / "%05d.png")
    refused(OutputError, "no such folder", folder, "-o", tmp_path / "no" / "where")
    refused(OutputError, "no such folder", folder, "-o", tmp_path / "no" / "where" / "%d.png")
    refused(UsageError, "one file", folder, "-o", tmp_path / "o.png")
    refused(UsageError, "must end in", folder, "-o", tmp_path / "o.avi")
    refused(UsageError, "numbers many pictures", still, "-o", tmp_path / "%05d.png")
    refused(UsageError, "two numbers", folder, "-o", tmp_path / "%d_%d.png")
    refused(UsageError, "--fps", folder, "-o", tmp_path / "out", "--fps", "24")
    refused(UsageError, "--fps", still, "--fps", "24")
    refused(UnknownModel, "nothing", folder, "-o", tmp_path / "out", "-m", "nothing")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_results_within_the_folder_are_not_read_again(tmp_path: Path) -> None:
    folder = shots(tmp_path / "in", 2).parent
    for _ in range(2):
        done = upscale(folder, "-o", folder / "out", "--overwrite")
        assert done.exit_code == 0, done.output
        assert names(folder) == ["00001.png", "00002.png", "out"]
        assert names(folder / "out") == ["00001.png", "00002.png"]


def test_a_full_disk_ends_the_batch_and_leaves_what_is_done(tmp_path: Path) -> None:
    folder = shots(tmp_path / "in", 5, size="200x200").parent
    with small_disk(tmp_path / "small", "100k") as small:
        done = upscale(folder, "-o", small / "out", "-m", "bicubic", "-s", "2")
        assert done.exit_code == 1
        assert done.stderr.count("vsr: ") == 1
        assert "space" in done.stderr
        kept = names(small / "out")
        assert 0 < len(kept) < 5
        assert f"{len(kept)} of 5 pictures done" in done.stderr
        for name in kept:
            assert judge.size_of(small / "out" / name) == (400, 400)
