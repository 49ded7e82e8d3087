"""Promise: an array or a PIL image is enlarged as `vsr upscale` enlarges the same PNG."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vsr
from tests.conftest import tiny_weights
from tests.support import judge
from vsr.errors import UsageError, VsrError

HEIGHT, WIDTH = 36, 52
_PIX_FMT: dict[tuple[Any, int], str] = {
    (np.uint8, 3): "rgb24",
    (np.uint8, 4): "rgba",
    (np.uint16, 3): "rgb48le",
    (np.uint16, 4): "rgba64le",
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_weights(tmp_path_factory.mktemp("weights"))


def options(**more: Any) -> dict[str, Any]:
    return {"device": "cpu", "engine": "torch", "precision": "fp32", **more}


def picture(kind: type, channels: int, *, height: int = HEIGHT, width: int = WIDTH) -> NDArray[Any]:
    """Smooth colour, edges, and alpha that leaps."""
    y, x = np.mgrid[0:height, 0:width] / 40
    planes = [0.5 + 0.4 * np.sin(5 * x + n) * np.cos(4 * y) for n in range(3)]
    planes[0][10:20, 10:30] = 0.9
    if channels == 4:
        planes.append(np.where(x + y > 1, 1.0, 0.3))
    stacked = np.stack(planes, axis=-1)
    if kind is np.float32:
        return stacked.astype(np.float32)
    made: NDArray[Any] = np.rint(stacked * np.iinfo(kind).max).astype(kind)
    return made


def pixels(path: Path, kind: type, channels: int) -> NDArray[Any]:
    """The pixels of a PNG, as ffmpeg decodes them."""
    width, height = judge.size_of(path)
    raw = judge.ffmpeg(
        "-i", f"file:{path}", "-pix_fmt", _PIX_FMT[kind, channels], "-f", "rawvideo", "-"
    )
    return np.frombuffer(raw, kind).reshape(height, width, channels)


def as_png(path: Path, array: NDArray[Any]) -> Path:
    height, width, channels = array.shape
    judge.ffmpeg(
        "-f", "rawvideo", "-pix_fmt", _PIX_FMT[array.dtype.type, channels],
        "-s", f"{width}x{height}", "-i", "-", f"file:{path}",
        stdin=array.tobytes(),
    )  # fmt: skip
    return path


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", [2, Fraction(3, 2), 4])
def test_an_array_is_enlarged_as_the_same_png(
    weights: Path, tmp_path: Path, kind: type, channels: int, scale: Fraction | int
) -> None:
    array = picture(kind, channels)
    chosen = options(scale=scale)
    source = as_png(tmp_path / "in.png", array)
    vsr.upscale(source, tmp_path / "out.png", model=str(weights), **chosen)
    with vsr.Upscaler(weights, **chosen) as upscale:
        large = upscale(array)
    assert large.dtype == array.dtype
    assert np.array_equal(large, pixels(tmp_path / "out.png", kind, channels))
    assert np.array_equal(array, picture(kind, channels))  # is left as it was


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_pil_image_stays_one_of_its_mode(weights: Path, tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(picture(np.uint8, 4)).convert(mode)
    image.info["icc_profile"] = b"a profile"
    with vsr.Upscaler(weights, **options()) as upscale:
        large = upscale(image)
    assert isinstance(large, Image.Image)
    assert (large.mode, large.size) == (mode, (2 * WIDTH, 2 * HEIGHT))
    assert large.info["icc_profile"] == b"a profile"
    image.info.clear()
    image.save(tmp_path / "in.png")
    vsr.upscale(tmp_path / "in.png", tmp_path / "out.png", model=str(weights), **options())
    with Image.open(tmp_path / "out.png") as made:
        assert made.mode == mode
        assert np.array_equal(np.asarray(large), np.asarray(made))


def test_floats_are_what_sixteen_bits_are(weights: Path) -> None:
    small = picture(np.float32, 3)
    codes = np.rint(small * 65535).astype(np.uint16)
    with vsr.Upscaler(weights, **options()) as upscale:
        large, wanted = upscale(small), upscale(codes)
        assert upscale(small * 3 - 1).max() <= 1
    assert large.dtype == np.float32
    assert np.abs(large.astype(np.float64) - wanted / 65535.0).max() < 1e-7


def test_a_stack_is_enlarged_frame_by_frame_and_filtered_as_a_film(weights: Path) -> None:
    dice = np.random.default_rng(0)
    still = picture(np.uint8, 3).astype(int)
    noisy = [(still + dice.integers(-6, 7, still.shape)).clip(0, 255) for _ in range(4)]
    stack = np.stack(noisy).astype(np.uint8)
    with vsr.Upscaler(weights, **options()) as upscale:
        large = upscale(stack)
        assert large.shape == (4, 2 * HEIGHT, 2 * WIDTH, 3)
        for one, alone in zip(large, stack, strict=True):
            assert np.array_equal(one, upscale(alone))
        assert np.array_equal(upscale(stack[::-1]), large[::-1])  # strides that run backwards
    with vsr.Upscaler(weights, **options(temporal_filter="strong")) as upscale:
        steady = upscale(stack)
    assert steady.astype(float).std(0).mean() < 0.8 * large.astype(float).std(0).mean()


def test_a_network_is_read_once_for_images_of_all_sizes(weights: Path) -> None:
    upscale = vsr.Upscaler(weights, **options(height=50))
    elsewhere = weights.rename(weights.with_suffix(".gone"))
    try:
        for height in (20, 30, 40):
            assert upscale(picture(np.uint8, 3, height=height)).shape[0] == 50
    finally:
        elsewhere.rename(weights)
    assert upscale.scale == 2
    upscale.close()
    with pytest.raises(UsageError, match="closed"):
        upscale(picture(np.uint8, 3))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ([[1, 2, 3]], "list: hand in a numpy array or a PIL image"),
        (Path("x.png"), "Path: hand in a numpy array"),
        (np.zeros((8, 8, 3), np.int64), "an array of int64: must be uint8, uint16 or float32"),
        (np.zeros((8, 8, 3), ">u2"), "an array of >u2: must be uint8, uint16 or float32"),
        (np.zeros((8, 8), np.uint8), r"an array of shape \(8, 8\): must be \(H, W, 3 or 4\)"),
        (np.zeros((3, 8, 8), np.uint8), r"an array of shape \(3, 8, 8\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), r"an array of shape \(0, 8, 8, 3\)"),
        (np.full((8, 8, 3), np.nan, np.float32), "holds what is not a number"),
        (Image.new("P", (8, 8)), "a PIL image of mode P: convert it to L, RGB, RGBA"),
    ],
)
def test_what_is_no_image_is_refused_by_its_name(weights: Path, image: Any, said: str) -> None:
    upscale = vsr.Upscaler(weights, **options())
    with pytest.raises(UsageError, match=said):
        upscale(image)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"codec": "h264"}, "codec: is an option of films; vsr.upscale takes it"),
        ({"part": 3}, "part: is an option of films"),
        ({"workers": 2}, "workers: is an option of films"),
        ({"scales": 2}, "scales: no option is called so; did you mean scale?"),
        ({"temporal_filter": "auto"}, "temporal_filter auto: looks at a film first"),
    ],
)
def test_what_is_of_films_is_refused_by_its_name(
    weights: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        vsr.Upscaler(weights, **given)


def test_a_missing_model_is_found_out_at_once(tmp_path: Path) -> None:
    with pytest.raises(VsrError, match="no-such-model"):
        vsr.Upscaler("no-such-model", models_dir=tmp_path, offline=True)


def test_it_is_shown_and_loads_nothing_before_it_is_asked_for() -> None:
    code = (
        "import sys, vsr; assert 'Upscaler' in dir(vsr); "
        "assert not {'torch', 'numpy', 'PIL'} & set(sys.modules); vsr.Upscaler"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
