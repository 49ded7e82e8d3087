"""Promise: what `--consistent` makes, made as small as the source, is the source, in every coding.

Judged by Pillow, whose bicubic is antialiased, on the code values that ffmpeg decodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

import vsr
from tests.conftest import tiny_weights
from tests.support import judge
from vsr.errors import UsageError
from vsr.nets.reading import read_weights

_SIZE = (64, 48)
_SOURCE = f"mandelbrot=s={_SIZE[0]}x{_SIZE[1]}:r=6,trim=end_frame=3,gblur=1,eq=contrast=0.6"
OPTIONS: dict[str, Any] = {
    "device": "cpu", "engine": "torch", "precision": "fp32", "codec": "ffv1",
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_weights(tmp_path_factory.mktemp("weights"), upscale=4))


def luma(path: Path, frame: int = 2) -> NDArray[np.float32]:
    """The last frame's Y, as coded."""
    width, height = judge.size_of(path)
    raw = judge.ffmpeg(
        "-i", f"file:{path}", "-vf", f"select=eq(n\\,{frame}),extractplanes=y", "-f", "rawvideo",
        "-pix_fmt", "gray", "-",
    )  # fmt: skip
    return np.frombuffer(raw, np.uint8).reshape(height, width).astype(np.float32)


def error(result: Path, source: Path) -> float:
    """How far the luma, made as small, is from the source's, in code values; without the rim."""
    small = Image.fromarray(luma(result)).resize(_SIZE, Image.Resampling.BICUBIC)
    difference = (np.asarray(small) - luma(source))[2:-2, 2:-2]
    return float(np.sqrt(np.square(difference).mean()))


def film(folder: Path, *how: str) -> Path:
    return judge.make(folder / "film.mkv", _SOURCE, "-c:v", "ffv1", *how)


@pytest.mark.parametrize(
    ("how", "chosen"),
    [
        (("-pix_fmt", "yuv420p", "-color_range", "tv"), {}),
        (("-pix_fmt", "yuv420p", "-color_range", "pc", "-vf", "scale=out_range=pc"), {}),
        (("-pix_fmt", "yuv420p", "-chroma_sample_location", "topleft"), {"scale": 3}),
        (("-pix_fmt", "yuv444p"), {"scale": 2}),
        (("-pix_fmt", "yuv420p"), {"tile": 16, "tile_overlap": 8}),
        (("-pix_fmt", "yuv420p"), {"reuse": "exact"}),
        (("-pix_fmt", "yuva420p"), {}),
    ],
    ids=["limited", "full", "x3 and siting", "folded x2", "tiles", "reuse", "alpha"],
)
def test_made_smaller_it_is_the_source(
    tmp_path: Path, weights: str, how: tuple[str, ...], chosen: dict[str, Any]
) -> None:
    source, off, on = film(tmp_path, *how), tmp_path / "off.mkv", tmp_path / "on.mkv"
    for out, consistent in ((off, "off"), (on, "3")):
        vsr.upscale(source, out, model=weights, consistent=consistent, **chosen, **OPTIONS)
    assert error(on, source) < max(error(off, source) / 5, 0.6)  # 0.3 of it are rounding


def test_alpha_and_strength_go_the_same_way(tmp_path: Path, weights: str) -> None:
    y, x = np.mgrid[0:48, 0:64]
    picture = np.full((48, 64, 4), 128, np.uint8)
    picture[..., 3] = np.where((x - 30) ** 2 + (y - 24) ** 2 < 300, 255, 0)
    with vsr.Upscaler(weights, device="cpu", consistent="3") as upscale:
        alpha = Image.fromarray(upscale(picture)[..., 3].astype(np.float32))
    small = np.asarray(alpha.resize(_SIZE, Image.Resampling.BICUBIC))
    assert np.abs(small - picture[..., 3]).mean() < 4
    with vsr.Upscaler(weights, device="cpu", strength=0.0, consistent="3") as upscale:
        weak = upscale(picture[..., :3])
    assert np.abs(weak.astype(int) - 128).max() <= 1  # a classical enlargement of grey


@pytest.mark.parametrize(
    ("codec", "same"), [(("ffv1",), False), (("libx264", "-crf", "12"), True)], ids=["ffv1", "x264"]
)
def test_by_default_it_is_for_what_was_coded_without_loss(
    tmp_path: Path, weights: str, codec: tuple[str, ...], same: bool
) -> None:
    source = judge.make(tmp_path / "film.mkv", _SOURCE, "-pix_fmt", "yuv420p", "-c:v", *codec)
    made = []
    for name in ("auto", "off"):
        out = tmp_path / f"{name}.mkv"
        vsr.upscale(source, out, model=weights, consistent=name, **OPTIONS)
        made.append([packet.digest for packet in judge.frames(out)])
    assert (made[0] == made[1]) is same


@pytest.mark.parametrize("model", ["bicubic", "a restorer"])
@pytest.mark.parametrize("channels", [3, 4])
def test_where_no_network_enlarges_it_does_nothing_and_says_so(
    tmp_path: Path, model: str, channels: int
) -> None:
    if model != "bicubic":
        model = str(tiny_weights(tmp_path, upscale=1))
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, channels), np.uint8)
    events: list[vsr.events.Event] = []
    made = []
    for chosen in ({}, {"strength": 0.5, "consistent": "2"}):
        with vsr.Upscaler(model, device="cpu", scale=1, sink=events.append, **chosen) as upscale:
            made.append(upscale(picture))
    assert np.array_equal(made[0], made[1])
    said = [str(event) for event in events if isinstance(event, vsr.events.Note)]
    names = ("consistent", "strength")
    assert said == [f"{name}: does nothing where no network enlarges" for name in names]


def test_colours_cannot_be_the_networks_and_the_sources() -> None:
    with pytest.raises(UsageError, match="keeps the source's colours"):
        vsr.UpscaleOptions(model=vsr.ModelOptions(keep_colours=False, consistent="2"))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_weights_that_know_better_colours_keep_them(
    tmp_path: Path, weights: str, pix_fmt: str
) -> None:
    """As `--network-colours` does, from a source without loss, too, and it is said; but not where
    results are to be consistent.
    """
    taught = tmp_path / "taught.safetensors"
    save_file(read_weights(Path(weights)), taught, {"colours": "network"})
    source = film(tmp_path, "-pix_fmt", pix_fmt)
    told: list[str] = []

    def upscaled(name: str, model: str, **chosen: Any) -> bytes:
        out = tmp_path / f"{name}.mkv"
        vsr.upscale(
            source, out, model=model, **OPTIONS, **chosen, sink=lambda e: told.append(str(e))
        )
        return judge.ffmpeg("-i", f"file:{out}", "-f", "rawvideo", "-")

    kept = upscaled("kept", str(taught))
    assert any("keeps its own" in words for words in told)
    assert kept == upscaled("network", weights, keep_colours=False)
    assert kept != upscaled("plain", weights)
    told.clear()
    assert upscaled("consistent", str(taught), consistent="2") == upscaled(
        "consistent2", weights, consistent="2"
    )
    assert not any("keeps its own" in words for words in told)
