"""Promise: what VP8 and VP9 show through comes back, whatever is written."""

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
from vsr.events import Event, WarningNote
from vsr.media.format import decoder
from vsr.media.source.probe import probe

# Left half of a light red at 40 %, right half solid; a square of nothing that moves.
GRAPH = (
    "color=0xE04040:s=64x48:r=25:d=0.32,format=yuva420p,"
    "geq=lum='p(X,Y)':cb='p(X,Y)':cr='p(X,Y)':a='if(lt(X,32),102,255)*gte(abs(X-8-4*N),4)'"
)
SEEING = {"vp9": ("-c:v", "libvpx-vp9"), "vp8": ("-c:v", "libvpx")}


def make(path: Path, codec: str, *more: str) -> Path:
    judge.ffmpeg("-f", "lavfi", "-i", GRAPH, *SEEING[codec], "-auto-alt-ref", "0",
                 "-b:v", "2M", *more, str(path))  # fmt: skip
    return path


def alpha(path: Path, *decoder: str, size: str = "64:48") -> NDArray[np.int64]:
    """The alpha of each frame as (T, 48, 64), at the source's size: by the ffmpeg program."""
    raw = judge.ffmpeg(
        *decoder,
        "-i",
        str(path),
        "-vf",
        f"alphaextract,scale={size}:flags=area",
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-",
    )
    return np.frombuffer(raw, np.uint8).reshape(-1, 48, 64).astype(np.int64)  # fmt: skip


def run(source: Path, output: Path, **encode: Any) -> vsr.Result:
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(2)),
        encode=vsr.EncodeOptions(**encode),
    )  # fmt: skip
    return vsr.upscale(source, output, tree)


@pytest.mark.parametrize("codec", SEEING)
@pytest.mark.parametrize(
    ("name", "written"),
    [("o.mov", "prores"), ("o.mkv", "ffv1"), ("o.webm", None), ("p.mkv", "vp9"), ("o.gif", None),
     ("o.apng", None)],
)  # fmt: skip
def test_alpha_of_vp8_and_vp9_comes_back(
    tmp_path: Path, codec: str, name: str, written: Any
) -> None:
    source, output = make(tmp_path / "s.webm", codec), tmp_path / name
    result = run(source, output, codec=written)
    assert not any("transparen" in note for note in result.notes)
    reads = SEEING["vp9"] if written == "vp9" or name.endswith(".webm") else ()
    want, got = alpha(source, *SEEING[codec]), alpha(output, *reads)
    assert got.shape == want.shape == (8, 48, 64)
    error = np.abs(got - want)
    if name == "o.gif":  # where a pixel is seen or not
        error = np.abs(got - 255 * (want >= 128))
    print(f"{codec} -> {name}: mean {error.mean():.2f}, worst {error.max()}")
    assert error.mean() < 3
    assert [p.pts for p in judge.packets(output, "v:0")] == [
        p.pts for p in judge.packets(source, "v:0")
    ]


def test_alpha_of_vp9_in_webp(tmp_path: Path) -> None:
    from tests.unit.media.format.test_animation import read

    source, output = make(tmp_path / "s.webm", "vp9"), tmp_path / "o.webp"
    run(source, output)
    got = read(output)[2][:, ::2, ::2, 3].astype(int)
    assert np.abs(got - alpha(source, *SEEING["vp9"])).mean() < 3


def test_a_webm_that_is_seen_through_stays_one(tmp_path: Path) -> None:
    source = make(tmp_path / "s.webm", "vp9", "-f", "webm")
    tree = vsr.UpscaleOptions(model=vsr.ModelOptions(name="nearest"))
    output = vsr.upscale(source, options=tree).output
    assert output.name == "s_4x.webm"
    assert "Video: vp9" in judge.describe(output)
    assert "alpha_mode      : 1" in judge.describe(output).lower()
    assert alpha(output, *SEEING["vp9"]).min() < 20


@pytest.mark.parametrize(("name", "codec"), [("o.mp4", "h264"), ("o.mp4", "vp9")])
def test_alpha_that_does_not_fit_is_told(tmp_path: Path, name: str, codec: Any) -> None:
    source, output = make(tmp_path / "s.webm", "vp9"), tmp_path / name
    result = run(source, output, codec=codec)
    assert any(f"its transparency does not fit {codec}" in note for note in result.notes)
    assert "alpha_mode" not in judge.describe(output).lower()


def test_a_build_without_libvpx_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_SEES_ALPHA", {})
    result = run(make(tmp_path / "s.webm", "vp9"), tmp_path / "o.mkv")
    assert any("transparency of vp9 cannot be read" in note for note in result.notes)


def test_combed_pictures_may_have_alpha(tmp_path: Path) -> None:
    """The look at the fields takes the pictures as this decoder gives them."""
    source = tmp_path / "s.webm"
    judge.ffmpeg("-f", "lavfi", "-i", "color=red@0.4:s=64x480:r=25:d=0.2,format=yuva420p",
                 *SEEING["vp9"], str(source))  # fmt: skip
    assert probe(source).video.layout.alpha
    output = tmp_path / "o.mkv"
    run(source, output, codec="ffv1")
    raw = judge.ffmpeg("-i", str(output), "-vf", "alphaextract", "-f", "rawvideo",
                       "-pix_fmt", "gray", "-")  # fmt: skip
    assert abs(int(np.frombuffer(raw, np.uint8).mean()) - 102) < 4


# --- films other than VP8's and VP9's ---

FILMS = {
    "qtrle": ("-c:v", "qtrle", "-pix_fmt", "argb"),
    "png": ("-c:v", "png", "-pix_fmt", "rgba"),
    "prores": ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"),
}


@pytest.mark.parametrize("codec", FILMS)
@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("o.mov", "prores (4444)"),
        ("o.mkv", "ffv1"),
        ("o.webm", "vp9"),
        (None, "prores (4444)"),
    ],
)
def test_a_film_with_alpha_keeps_it_by_itself(
    tmp_path: Path, codec: str, name: str | None, written: str
) -> None:
    source = tmp_path / "s.mov"
    judge.ffmpeg("-f", "lavfi", "-i", GRAPH, *FILMS[codec], str(source))
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(2))
    )
    result = vsr.upscale(source, name and tmp_path / name, tree)
    assert result.output.name == (name or "s_2x.mov")
    assert f"Video: {written}" in judge.video_line(result.output)
    want = alpha(source)
    got = alpha(result.output, *(SEEING["vp9"] if name == "o.webm" else ()))
    assert np.abs(got - want).mean() < 3
    assert not any("transparen" in note for note in result.notes)


def test_alpha_of_a_film_that_cannot_have_it_is_told(tmp_path: Path) -> None:
    source = tmp_path / "s.mov"
    judge.ffmpeg("-f", "lavfi", "-i", GRAPH, *FILMS["qtrle"], str(source))
    heard: list[Event] = []
    tree = vsr.UpscaleOptions(model=vsr.ModelOptions(name="nearest"))
    vsr.upscale(source, tmp_path / "o.mp4", tree, sink=heard.append)
    told = [event.text for event in heard if isinstance(event, WarningNote)]
    assert any("transparency does not fit h264; a .mov" in text for text in told)


def test_alpha_that_comes_later_is_told(tmp_path: Path) -> None:
    """The first picture is solid, so a film without alpha is planned."""
    solid, hole = np.full((2, 48, 64, 4), 255, np.uint8)
    hole[10:20, 10:20, 3] = 0
    source = tmp_path / "s.apng"
    first, second = Image.fromarray(solid), Image.fromarray(hole)
    first.save(source, format="PNG", save_all=True, append_images=[second], duration=100,
               disposal=1)  # fmt: skip
    result = run(source, tmp_path / "o.mp4")
    assert any("becomes transparent later on, which is lost" in note for note in result.notes)


def test_a_fourth_byte_that_nobody_used_hides_nothing(tmp_path: Path) -> None:
    """Raw AVI of 32 bits leaves it at zero, which would be a film that cannot be seen."""
    source = tmp_path / "s.avi"
    judge.ffmpeg("-f", "lavfi", "-i", "smptebars=s=64x48:r=10:d=0.2,format=bgra,lutrgb=a=0",
                 "-c:v", "rawvideo", str(source))  # fmt: skip
    output = tmp_path / "o.mkv"
    run(source, output, codec="ffv1")
    want = judge.rgb(source, size=(64, 48))
    assert np.abs(judge.rgb(output, size=(64, 48)) - want).mean() < 2
    assert want.mean() > 50


def mask(sharp: bool) -> NDArray[np.float64]:
    """(192, 256) in 0..1: discs and slanting bars, or a soft shadow."""
    y, x = np.mgrid[0:768, 0:1024] / 4  # four times as fine as it will be
    if not sharp:
        return np.asarray(np.exp(-((x - 128) ** 2 + (y - 96) ** 2) / 5000)[::4, ::4])
    seen = np.hypot(x - 70, y - 90) < 50
    for n in range(4):
        seen |= np.abs(0.9 * (x - 150 - 25 * n) + 0.3 * (y - 96)) < 2 + 2 * n
    return np.asarray(seen.reshape(192, 4, 256, 4).mean((1, 3)))


@pytest.mark.parametrize("sharp", [True, False])
def test_edges_of_alpha_are_drawn_and_what_is_soft_is_left(tmp_path: Path, sharp: bool) -> None:
    """Against the mask that was made smaller: beside bicubic, which draws stairs."""
    true = mask(sharp)
    small = true.reshape(96, 2, 128, 2).mean((1, 3))
    picture = np.full((96, 128, 4), 200, np.uint8)
    picture[..., 3] = np.rint(255 * small)
    source = tmp_path / "s.png"
    Image.fromarray(picture).save(source)
    level = {}
    for model in ("bicubic", "realesr-animevideov3"):
        output = tmp_path / f"{model}.png"
        tree = vsr.UpscaleOptions(
            model=vsr.ModelOptions(name=model), size=vsr.SizeOptions(scale=Fraction(2)),
            device=vsr.DeviceOptions(precision="fp32"),
        )  # fmt: skip
        vsr.upscale(source, output, tree)
        raw = judge.ffmpeg("-i", str(output), "-vf", "alphaextract", "-f", "rawvideo", "-pix_fmt",
                           "gray", "-")  # fmt: skip
        got = np.frombuffer(raw, np.uint8).reshape(192, 256) / 255
        level[model] = -10 * np.log10(np.square(got - true).mean())
    gain = level["realesr-animevideov3"] - level["bicubic"]
    print(f"sharp {sharp}: {level}")
    assert gain > 3 if sharp else abs(gain) < 0.5
