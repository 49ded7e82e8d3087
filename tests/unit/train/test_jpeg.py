"""JPEG without the file: against Pillow's libjpeg, and against the formulas in float64."""

from __future__ import annotations

import io

import numpy as np
import pytest
import scipy.fft
import torch
from PIL import Image

from tests.conftest import SAMPLES
from vsr.train.degrade.jpeg import CHROMA, LUMA, jpeg, table


def _picture() -> np.ndarray:
    with Image.open(SAMPLES / "squirrel.png") as image:
        return np.array(image.convert("RGB"))[64:320, 64:320]


def _by_pillow(picture: np.ndarray, quality: int) -> Image.Image:
    memory = io.BytesIO()
    Image.fromarray(picture).save(memory, "JPEG", quality=quality, subsampling=2)
    return Image.open(memory)


def _ours(picture: np.ndarray, quality: float) -> np.ndarray:
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    return jpeg(x, torch.tensor([quality]))[0].permute(1, 2, 0).numpy() * 255


@pytest.mark.parametrize("quality", [1, 10, 30, 49, 50, 51, 75, 95, 100])
def test_the_tables_are_libjpegs(quality: int) -> None:
    theirs = _by_pillow(_picture(), quality).quantization  # type: ignore[attr-defined]
    for base, number in ((LUMA, 0), (CHROMA, 1)):
        ours = table(base, torch.tensor([float(quality)])).flatten().tolist()
        assert ours == theirs[number]


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_grey_is_libjpegs_to_its_rounding(quality: int) -> None:
    """Grey has no chroma, where libjpeg is free to interpolate; its own DCT is of integers."""
    grey = _picture()[..., 1]
    theirs = np.asarray(_by_pillow(grey, quality), np.float64)
    ours = _ours(np.repeat(grey[..., None], 3, 2), quality)
    assert ((ours[..., 0] - theirs) ** 2).mean() < 255**2 / 10**5  # 50 dB, its own rounding in
    assert np.abs(ours - ours[..., :1]).max() < 0.01


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_colour_is_libjpegs_but_for_the_interpolation_of_chroma(quality: int) -> None:
    picture = _picture()[:250, :243]  # sides that 16 does not divide
    theirs = np.asarray(_by_pillow(picture, quality).convert("RGB"), np.float64)
    error = ((_ours(picture, quality) - theirs) ** 2).mean()
    assert error < 255**2 / 10**3.6  # 36 dB


def test_the_arithmetic_is_that_of_the_standard() -> None:
    """In float64, block by block, with SciPy's DCT, at a quality that is no whole number."""
    picture = _picture()[:32, :48].astype(np.float64)
    quality = 41.7
    r, g, b = np.moveaxis(picture, 2, 0)
    planes = [
        0.299 * r + 0.587 * g + 0.114 * b - 128,
        -0.168736 * r - 0.331264 * g + 0.5 * b,
        0.5 * r - 0.418688 * g - 0.081312 * b,
    ]
    done = []
    for n, full in enumerate(planes):
        plane = full.reshape(16, 2, 24, 2).mean((1, 3)) if n else full
        steps = np.array(CHROMA if n else LUMA).reshape(8, 8)
        steps = np.clip(np.floor((steps * int(5000 / quality) + 50) / 100), 1, 255)
        result = np.zeros_like(plane)
        for y in range(0, plane.shape[0], 8):
            for x in range(0, plane.shape[1], 8):
                found = scipy.fft.dctn(plane[y : y + 8, x : x + 8], norm="ortho")
                found = np.round(found / steps) * steps
                result[y : y + 8, x : x + 8] = scipy.fft.idctn(found, norm="ortho")
        done.append(np.kron(result, np.ones((2, 2))) if n else result + 128)
    luma, cb, cr = done
    green = luma - 0.344136 * cb - 0.714136 * cr
    want = np.stack([luma + 1.402 * cr, green, luma + 1.772 * cb], 2)
    off = np.abs(_ours(picture.astype(np.uint8), quality) - want.clip(0, 255))
    # A coefficient in the middle between two steps may fall to either side in float32.
    assert np.percentile(off, 95) < 0.01


def test_each_picture_has_its_own_quality() -> None:
    x = torch.from_numpy(_picture()).permute(2, 0, 1)[None].float() / 255
    both = jpeg(x.expand(2, -1, -1, -1), torch.tensor([30.0, 90.0]))
    assert torch.equal(both[:1], jpeg(x, torch.tensor([30.0])))
    assert torch.equal(both[1:], jpeg(x, torch.tensor([90.0])))
