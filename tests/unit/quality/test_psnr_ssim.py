"""Promise: PSNR, SSIM and MS-SSIM are those of their papers, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vsr.errors import UsageError
from vsr.quality.psnr_ssim import ms_ssim, psnr, ssim

Plane = NDArray[np.float64]


def pair(height: int, width: int, peak: int, noise: float = 0.04) -> tuple[Plane, Plane]:
    """A smooth picture with edges, and the same with noise, in whole code values."""
    rng = np.random.default_rng(height)
    y, x = np.mgrid[:height, :width]
    plain = 0.5 + 0.3 * np.sin(x / 9) * np.cos(y / 7) + 0.2 * (x > width // 2)
    noisy = plain + rng.normal(0, noise, plain.shape)
    a, b = (np.clip(np.round(p * peak), 0, peak) for p in (plain, noisy))
    return a, b


def window() -> Plane:
    line = np.exp(-(np.arange(-5.0, 6.0) ** 2) / (2 * 1.5**2))
    square = np.outer(line, line)
    weights: Plane = square / square.sum()
    return weights


def reference_ssim(a: Plane, b: Plane, peak: float) -> tuple[float, float]:
    """(SSIM, contrast-structure), window by window, in float64."""
    weights = window()
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    shape = (11, 11)
    views = [np.lib.stride_tricks.sliding_window_view(p, shape) for p in (a, b)]
    mean_a, mean_b = (np.einsum("yxij,ij->yx", v, weights) for v in views)
    away = [v - m[..., None, None] for v, m in zip(views, (mean_a, mean_b), strict=True)]
    var_a, var_b, both = (
        np.einsum("yxij,yxij,ij->yx", p, q, weights, optimize=True)
        for p, q in ((away[0], away[0]), (away[1], away[1]), (away[0], away[1]))
    )
    structure = (2 * both + c2) / (var_a + var_b + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float((luminance * structure).mean()), float(structure.mean())


def reference_ms_ssim(a: Plane, b: Plane, peak: float) -> float:
    product = 1.0
    for n, power in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        whole, structure = reference_ssim(a, b, peak)
        product *= (whole if n == 4 else structure) ** power
        even = [np.pad(p, [(0, s % 2) for s in p.shape], mode="edge") for p in (a, b)]
        a, b = ((p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]) / 4 for p in even)
    return product


def tensors(a: Plane, b: Plane) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(a).float(), torch.from_numpy(b).float()


@pytest.mark.parametrize("peak", [255, 1023, 65535])
def test_psnr_is_the_formula(peak: int) -> None:
    a, b = pair(40, 50, peak)
    want = 10 * math.log10(peak**2 / ((a - b) ** 2).mean())
    assert psnr(*tensors(a, b), peak) == pytest.approx(want, abs=1e-9)
    assert psnr(*tensors(a, a), peak) == math.inf
    assert psnr(*tensors(a, a + 1), peak) == pytest.approx(20 * math.log10(peak), abs=1e-9)


@pytest.mark.parametrize("peak", [255, 1023])
@pytest.mark.parametrize("size", [(11, 11), (37, 64), (24, 9000)])  # the last is done in parts
def test_ssim_is_the_papers(size: tuple[int, int], peak: int) -> None:
    a, b = pair(*size, peak)
    want, _ = reference_ssim(a, b, peak)
    assert 0.3 < want < 0.99
    assert ssim(*tensors(a, b), peak) == pytest.approx(want, abs=1e-9)
    assert ssim(*tensors(a, a), peak) == pytest.approx(1, abs=1e-9)


def test_ssim_of_flat_bright_pictures_is_not_lost() -> None:
    """Variances there are differences of large numbers: in float32 this is off by 8e-5."""
    a = torch.full((32, 32), 1022.0)
    b = torch.full((32, 32), 1020.0)
    c1 = (0.01 * 1023) ** 2
    want = (2 * 1022 * 1020 + c1) / (1022**2 + 1020**2 + c1)
    assert ssim(a, b, 1023) == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("size", [(161, 161), (170, 203)])
def test_ms_ssim_is_the_papers(size: tuple[int, int]) -> None:
    a, b = pair(*size, 255, noise=0.1)
    want = reference_ms_ssim(a, b, 255)
    assert 0.3 < want < 0.99
    assert ms_ssim(*tensors(a, b), 255) == pytest.approx(want, abs=1e-9)
    assert ms_ssim(*tensors(a, a), 255) == pytest.approx(1, abs=1e-9)


def test_ms_ssim_of_what_is_inverted_is_nought() -> None:
    a, _ = pair(176, 176, 255)
    assert ms_ssim(*tensors(a, 255 - a), 255) == 0


def test_pictures_too_small_are_told() -> None:
    with pytest.raises(UsageError, match="11x11"):
        ssim(torch.zeros(10, 30), torch.zeros(10, 30), 255)
    with pytest.raises(UsageError, match=r"161x161.*300x160"):
        ms_ssim(torch.zeros(160, 300), torch.zeros(160, 300), 255)
