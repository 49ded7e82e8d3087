"""Promises for many pictures: each stays what it is; they become a film, and a film them."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image, ImageCms, ImageOps

import vsr
from tests import judge
from tests.cli.test_errors import VSR
from tests.conftest import SAMPLES
from vsr.cli import cli
from vsr.engine.engines import Engines
from vsr.errors import InputError, OutputError, OutputExists, UnknownModel, UsageError, VsrError
from vsr.events import Note, Pictures, Sink, Started
from vsr.nets.store import Loaded, load

NEAREST = ("-m", "nearest", "-s", "1")


def upscale(*arguments: str | Path) -> Result:
    given = [str(a) for a in arguments]
    model = () if "-m" in given else NEAREST
    return CliRunner().invoke(cli, ["upscale", *given, *model])


def shots(folder: Path, count: int = 3, *, size: str = "64x48", suffix: str = "png") -> Path:
    """Numbered pictures of a moving test chart; returns their pattern."""
    folder.mkdir(exist_ok=True)
    judge.make(folder / f"%05d.{suffix}", f"testsrc2=s={size}:r=2", "-frames:v", str(count))
    return folder / f"%05d.{suffix}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def same_pictures(a: Path, b: Path) -> bool:
    return [p.digest for p in judge.frames(a)] == [p.digest for p in judge.frames(b)]


# --- pictures in, pictures out ---


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
    assert "passed over as no picture or film: 1" in done.stderr
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

    def counting(options: vsr.ModelOptions, sink: Sink) -> Loaded:
        loaded.append(options)
        return load(options, sink)

    monkeypatch.setattr("vsr.engine.engines.load", counting)
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
    x, kept = torch.rand(1, 3, 16, 16), Engines()
    with torch.inference_mode():
        for scale in (2, 4, 1, 2):
            one = kept.engine(model, Fraction(scale), device)(x)
            assert one.shape[-1] == 16 * scale
            assert torch.equal(one, Engines().engine(model, Fraction(scale), device)(x))


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


def refused(error: type[VsrError], word: str, *arguments: str | Path) -> None:
    done = upscale(*arguments)
    assert isinstance(done.exception, error), done.output
    assert word in str(done.exception)


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
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        done = upscale(folder, "-o", small / "out", "-m", "bicubic", "-s", "2")
        assert done.exit_code == 1
        assert done.stderr.count("vsr: ") == 1
        assert "space" in done.stderr
        kept = names(small / "out")
        assert 0 < len(kept) < 5
        assert f"{len(kept)} of 5 pictures done" in done.stderr
        for name in kept:
            assert judge.size_of(small / "out" / name) == (400, 400)
    finally:
        subprocess.run(["umount", str(small)], check=True)


# --- pictures in, film out ---


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


# --- film in, pictures out ---


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
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        refused(OutputError, "space", source, "-o", small / "frames" / "%d.png")
        assert names(small) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


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
    steps = [(e.done, e.total) for e in heard if isinstance(e, Pictures)]
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]


# --- with what else a run can be asked for ---


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
    refused(UsageError, "--apart", tmp_path, "-o", tmp_path / "out", "--clip", "1-2", "--apart")


def test_pictures_go_into_a_pipe_as_a_film(tmp_path: Path) -> None:
    folder = shots(tmp_path / "in", 4).parent
    command = [*VSR, "upscale", str(folder), "-o", "-", *NEAREST, "--fps", "10"]
    done = subprocess.run(command, capture_output=True, check=True)
    (tmp_path / "o.nut").write_bytes(done.stdout)
    assert [frame.pts for frame in judge.frames(tmp_path / "o.nut")] == [
        Fraction(n, 10) for n in range(4)
    ]
