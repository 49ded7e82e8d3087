"""Promises for GIF, APNG and WebP: every delay, the loop count, transparency; no dark fringes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vsr
from tests.support import judge
from vsr.errors import InputError, UsageError

DELAYS = [100, 50, 400, 70, 1000]  # milliseconds
SUFFIXES = (".gif", ".apng", ".webp")
FORMATS = {".gif": "GIF", ".apng": "PNG", ".webp": "WEBP"}


def make(path: Path, *, loop: int | None, holes: bool) -> Path:
    """Five frames of 64x48 with a moving bar; with `holes`, a transparent surrounding."""
    images = []
    for n in range(5):
        pixels = np.zeros((48, 64, 4), np.uint8)
        pixels[..., 3] = 255
        pixels[...] = (0, 0, 0, 0) if holes else (30, 60, 90, 255)
        pixels[12:36, 16:48] = (240, 200, 160, 255)
        pixels[20:28, 16 + 4 * n : 24 + 4 * n] = (200, 40, 40, 255)
        images.append(Image.fromarray(pixels))
    options: dict[str, Any] = {} if loop is None else {"loop": loop}
    if path.suffix == ".gif":
        options["disposal"] = 2
    if path.suffix == ".webp":
        options["lossless"] = True
    images[0].save(
        path, format=FORMATS[path.suffix], save_all=True, append_images=images[1:],
        duration=DELAYS, **options,
    )  # fmt: skip
    return path


def read(path: Path) -> tuple[list[int], int | None, NDArray[np.uint8]]:
    """Delays, loop as the file writes it, and the frames as (T, H, W, 4): by Pillow.

    An APNG's frames by ffmpeg: Pillow composes half-transparent differences only roughly.
    """
    with Image.open(path) as image:
        loop = image.info.get("loop")
        delays, frames = [], []
        for n in range(getattr(image, "n_frames", 1)):
            image.seek(n)
            image.load()
            delays.append(round(float(image.info.get("duration") or 0)))
            frames.append(np.asarray(image.convert("RGBA")))
        width, height = image.size
    if path.suffix == ".apng":
        raw = judge.ffmpeg("-i", str(path), "-pix_fmt", "rgba", "-fps_mode", "passthrough",
                           "-f", "rawvideo", "-")  # fmt: skip
        return delays, loop, np.frombuffer(raw, np.uint8).reshape(-1, height, width, 4)
    return delays, loop, np.stack(frames)


def run(source: Path, output: Path, model: str = "bicubic", **options: Any) -> vsr.Result:
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=model), size=vsr.SizeOptions(scale=Fraction(2)), **options
    )
    return vsr.upscale(source, output, tree)


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("loop", [0, 3])
def test_delays_and_loops_from_any_to_any(
    tmp_path: Path, source: str, target: str, loop: int
) -> None:
    path = make(tmp_path / f"s{source}", loop=loop, holes=False)
    output = tmp_path / f"o{target}"
    run(path, output)
    delays, found, frames = read(output)
    assert delays == DELAYS
    assert frames.shape[1:3] == (96, 128)
    # A GIF says how often to repeat, the other two how often to play.
    plays = loop + 1 if source == ".gif" and loop else loop
    assert found == (plays - 1 if target == ".gif" and plays else plays)


def test_a_gif_that_plays_once_stays_so(tmp_path: Path) -> None:
    output = tmp_path / "o.gif"
    run(make(tmp_path / "s.gif", loop=None, holes=False), output)
    assert read(output)[1] is None


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("model", ["bicubic", "realesr-animevideov3"])
def test_transparency_and_no_dark_fringe(
    tmp_path: Path, source: str, target: str, model: str
) -> None:
    output = tmp_path / f"o{target}"
    result = run(make(tmp_path / f"s{source}", loop=0, holes=True), output, model)
    assert result.notes == ()
    frames = read(output)[2].astype(int)
    assert frames[:, :8, :8, 3].max() == 0  # the surrounding is seen through
    inside = frames[:, 40:56, 84:90]
    assert inside[..., 3].min() == 255
    # Along the edge of the light box, whatever is seen at all is light.
    edge = frames[:, 60:78, 26:38]
    seen = edge[edge[..., 3] > 24]
    assert seen[:, 0].min() > 200, seen.min(0)


def test_a_film_as_a_gif_and_back(tmp_path: Path, bunny: Path) -> None:
    short = tmp_path / "short.mp4"
    judge.ffmpeg("-i", str(bunny), "-t", "0.5", "-c:v", "libx264", "-c:a", "copy", str(short))
    gif = tmp_path / "o.gif"
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="bicubic"), size=vsr.SizeOptions(scale=Fraction(1, 2))
    )
    result = vsr.upscale(short, gif, tree)
    assert any("sound does not fit gif" in note for note in result.notes)
    assert len(read(gif)[0]) == 12
    assert np.abs(judge.rgb(gif, size=(160, 90)) - judge.rgb(short, size=(160, 90))).mean() < 8
    film = tmp_path / "o.mp4"
    assert run(gif, film).frames == 12
    assert [p.pts for p in judge.packets(film, "v:0")] == [p.pts for p in judge.packets(gif, "v:0")]


def test_the_default_keeps_the_kind(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        source = make(tmp_path / f"s{suffix}", loop=0, holes=False)
        tree = vsr.UpscaleOptions(model=vsr.ModelOptions(name="nearest"))
        assert vsr.upscale(source, options=tree).output == tmp_path / f"s_4x{suffix}"


@pytest.mark.parametrize(("codec", "suffix"), [("prores", ".mov"), ("ffv1", ".mkv")])
def test_transparency_in_video(tmp_path: Path, codec: Any, suffix: str) -> None:
    output = tmp_path / f"o{suffix}"
    run(make(tmp_path / "s.apng", loop=0, holes=True), output,
        encode=vsr.EncodeOptions(codec=codec))  # fmt: skip
    raw = judge.ffmpeg(
        "-i", str(output), "-frames:v", "1", "-pix_fmt", "rgba", "-f", "rawvideo", "-"
    )
    picture = np.frombuffer(raw, np.uint8).reshape(96, 128, 4)
    assert picture[:8, :8, 3].max() <= 1
    assert picture[40:56, 40:56, 3].min() >= 254


def test_an_apng_that_is_called_png_is_whole_or_refused(tmp_path: Path) -> None:
    source = make(tmp_path / "s.apng", loop=0, holes=False).rename(tmp_path / "s.png")
    result = vsr.upscale(source, options=vsr.UpscaleOptions(model=vsr.ModelOptions(name="nearest")))
    assert result.output.suffix == ".apng"
    assert read(result.output)[0] == DELAYS
    with pytest.raises(UsageError, match=r"o\.png: is one picture; s\.png has 5; name an \.apng"):
        run(source, tmp_path / "o.png")


def avif(path: Path, alpha: int) -> Path:
    images = []
    for n in range(5):
        pixels = np.full((48, 64, 4), (30, 60, 90, alpha), np.uint8)
        pixels[12:36, 8 * n : 8 * n + 16] = (240, 200, 160, 255)
        images.append(Image.fromarray(pixels if alpha < 255 else pixels[..., :3]))
    images[0].save(path, save_all=True, append_images=images[1:], duration=DELAYS, quality=90)
    return path


def test_an_animated_avif_stays_an_animation(tmp_path: Path) -> None:
    source = avif(tmp_path / "s.avif", 255)
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="bicubic"), size=vsr.SizeOptions(scale=Fraction(2))
    )
    result = vsr.upscale(source, options=tree)
    assert result.output.name == "s_2x.webp"
    delays, loop, frames = read(result.output)
    assert (delays, loop) == (DELAYS, 0)
    for n, frame in enumerate(frames[..., :3].astype(int)):
        assert np.abs(frame[40:56, 16 * n + 8 : 16 * n + 24] - (240, 200, 160)).max() < 16
        assert np.abs(frame[80:] - (30, 60, 90)).max() < 16


def test_transparency_of_avif_is_not_lost_in_silence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"s\.avif: .*transparency.*convert it to WebP or APNG"):
        run(avif(tmp_path / "s.avif", 100), tmp_path / "o.webp")
    still = tmp_path / "t.avif"
    Image.fromarray(np.full((48, 64, 4), 100, np.uint8)).save(still)
    assert any("its transparency lies in" in note for note in run(still, tmp_path / "o.png").notes)


def test_a_gif_has_no_more_colours_than_asked_for(tmp_path: Path, bunny: Path) -> None:
    few, many = tmp_path / "few.gif", tmp_path / "many.gif"
    source = tmp_path / "s.mkv"
    judge.ffmpeg("-i", str(bunny), "-frames:v", "3", "-an", "-vf", "scale=160:-2", "-c:v", "ffv1",
                 str(source))  # fmt: skip
    run(source, few, encode=vsr.EncodeOptions(colours=16))
    run(source, many)
    for path, least, most in ((few, 8, 16), (many, 100, 256)):
        for frame in read(path)[2]:
            assert least <= len(np.unique(frame.reshape(-1, 4), axis=0)) <= most
    assert few.stat().st_size < many.stat().st_size
    with pytest.raises(UsageError, match=r"colours.*: ffv1 has no palette"):
        run(source, tmp_path / "o.mkv", encode=vsr.EncodeOptions(codec="ffv1", colours=16))


def test_dots_of_a_gif_are_faint(tmp_path: Path) -> None:
    """What dithering adds to a smooth picture; with dots that are seen it is 1.1 of 255."""
    source = judge.make(tmp_path / "s.mkv", "gradients=s=96x64:c0=0x2040a0:c1=0xe0c080:d=0.2:r=10",
                        "-c:v", "ffv1", "-pix_fmt", "bgr0")  # fmt: skip
    run(source, tmp_path / "o.gif")
    size = (192, 128)
    got, want = judge.rgb(tmp_path / "o.gif", size=size), judge.rgb(source, size=size)
    error = np.abs(got[0] - want[0]).mean()
    print(f"dots: {error:.2f}")
    assert error < 0.7
