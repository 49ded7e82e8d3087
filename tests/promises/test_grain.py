"""`--grain`, through a real network: what it scrubs away comes back, and no part can be seen."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import vsr
from tests.support import judge
from vsr.errors import UsageError


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something smooth, with grain; keyframes every third of a second."""
    return judge.make(
        tmp_path_factory.mktemp("film") / "film.mkv",
        "color=c=0x8890a0:s=128x96:r=12",
        "-t", "1", "-vf", "vignette=PI/6,noise=all_seed=5:alls=6:allf=t", "-c:v", "ffv1", "-g", "4",
        "-pix_fmt", "yuv444p",
    )  # fmt: skip


def upscaled(film: Path, output: Path, grain: float, part: float = 100) -> Path:
    options = vsr.UpscaleOptions(
        temporal=vsr.TemporalOptions(grain=grain),
        size=vsr.SizeOptions(scale=Fraction(2)),
        encode=vsr.EncodeOptions(codec="ffv1"),
        jobs=vsr.JobOptions(segment=part),
    )
    return vsr.upscale(film, output, options).output


def lumas(film: Path) -> NDArray[np.float64]:
    """(frames, h, w), of the source's size."""
    with av.open(str(film)) as container:
        planes = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    pictures = np.stack(planes).astype(np.float64)
    by = pictures.shape[1] // 96
    return np.asarray(pictures.reshape(-1, 96, by, 128, by).mean((2, 4)))


def noise_of(film: Path) -> float:
    """Standard deviation of what is independent from frame to frame, in code values."""
    return float(np.median(np.diff(lumas(film), axis=0).std((1, 2)))) / 2**0.5


def test_it_has_the_sources_grain_again_and_parts_cannot_be_seen(
    film: Path, tmp_path: Path
) -> None:
    removed = upscaled(film, tmp_path / "removed.mkv", 0)
    kept = upscaled(film, tmp_path / "kept.mkv", 1)
    assert noise_of(removed) < 0.5 * noise_of(film)
    assert noise_of(kept) == pytest.approx(noise_of(film), rel=0.15)
    parts = upscaled(film, tmp_path / "parts.mkv", 1, part=0.3)
    assert judge.frames(parts) == judge.frames(kept)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_lies_between_0_and_1(share: float) -> None:
    with pytest.raises(UsageError, match="grain"):
        vsr.TemporalOptions(grain=share)
