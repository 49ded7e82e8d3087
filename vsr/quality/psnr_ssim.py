"""PSNR, SSIM and MS-SSIM of two pictures, by their papers' definitions."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.errors import UsageError

SSIM_SIDE = 11  # of the window, and so of the smallest picture
_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03
# Of the five scales, from the finest (Wang et al. 2003, found by comparing with people's eyes).
_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_SIDE = (SSIM_SIDE - 1) * 2 ** (len(_POWERS) - 1) + 1  # halved four times, rounded up: 11
_PIXELS = 1 << 17  # worked on at once: in the cache it takes a third of the time (measured, 4K)


def psnr(a: Tensor, b: Tensor, peak: float) -> float:
    """Return the peak signal-to-noise ratio of two tensors of one shape, in dB; inf if they are
    equal.

    10 log10(peak^2 / mean squared error), the mean over all samples of all channels. For luma
    `peak` is 2^bits - 1, as in ffmpeg and the papers, also where limited range never gets there:
    with its true span of 219 every value would be 1.32 dB lower.
    """
    error = float((a.double() - b.double()).square_().mean())
    return 10 * math.log10(peak * peak / error) if error else math.inf


def ssim(a: Tensor, b: Tensor, peak: float) -> float:
    """Return the structural similarity of two luma pictures (H, W), in -1 .. 1; 1 if they are
    equal.

    Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment: From Error Visibility to
    Structural Similarity, IEEE TIP 13(4), 2004. Gaussian window of 11x11, sigma 1.5, K1 0.01,
    K2 0.03, only where the window lies inside the picture. The paper first reduces a picture so
    that its shorter side is about 256; like most programs, this does not. Raises UsageError for
    pictures of less than 11 pixels a side.
    """
    return _similarity(a, b, peak)[0]


def ms_ssim(a: Tensor, b: Tensor, peak: float) -> float:
    """Return the multi-scale structural similarity of two luma pictures (H, W), in 0 .. 1.

    Wang, Simoncelli, Bovik: Multiscale Structural Similarity for Image Quality Assessment,
    Asilomar 2003: contrast and structure at five scales, luminance at the coarsest, a mean of
    2x2 pixels between them (an odd last row or column is repeated). A negative mean, which has
    no such power, counts as 0. Raises UsageError below 161 pixels a side.
    """
    if min(a.shape) < MS_SSIM_SIDE:
        raise UsageError(
            f"ms-ssim: takes pictures of at least {MS_SSIM_SIDE}x{MS_SSIM_SIDE}, "
            f"and these are {a.shape[1]}x{a.shape[0]}; ssim takes smaller ones"
        )
    product = 1.0
    for power in _POWERS[:-1]:
        _, structure = _similarity(a, b, peak)
        product *= max(structure, 0.0) ** power
        a, b = _halved(a), _halved(b)
    whole, _ = _similarity(a, b, peak)
    return float(product * max(whole, 0.0) ** _POWERS[-1])


def _halved(x: Tensor) -> Tensor:
    height, width = x.shape
    even = F.pad(x[None, None], (0, width % 2, 0, height % 2), mode="replicate")
    return F.avg_pool2d(even, 2)[0, 0]


def _similarity(a: Tensor, b: Tensor, peak: float) -> tuple[float, float]:
    """Return the means of SSIM's map and of its contrast-structure part."""
    height, width = a.shape
    if min(height, width) < SSIM_SIDE:
        raise UsageError(
            f"ssim: takes pictures of at least {SSIM_SIDE}x{SSIM_SIDE}, "
            f"and these are {width}x{height}"
        )
    overlap, rows_at_once = SSIM_SIDE - 1, max(_PIXELS // width, SSIM_SIDE)
    whole = structure = 0.0
    for top in range(0, height - overlap, rows_at_once):
        rows = slice(top, top + rows_at_once + overlap)
        maps = _maps(a[rows], b[rows], peak)
        whole, structure = whole + float(maps[0]), structure + float(maps[1])
    count = (height - overlap) * (width - overlap)
    return whole / count, structure / count


def _maps(a: Tensor, b: Tensor, peak: float) -> Tensor:
    """Return (2,) float64: the sums of SSIM's map and of its contrast-structure part."""
    # Variances are differences of large numbers: float32 would be off by 1e-4 in bright flats.
    x, y = a.double() / peak, b.double() / peak
    mean_x, mean_y, xx, yy, xy = _windowed(torch.stack((x, y, x * x, y * y, x * y)))
    c1, c2 = _K1**2, _K2**2
    spread = xx - mean_x**2 + yy - mean_y**2
    structure = (2 * (xy - mean_x * mean_y) + c2) / (spread + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return torch.stack(((structure * luminance).sum(), structure.sum()))


def _windowed(x: Tensor) -> Tensor:
    """Map (N, H, W) -> (N, H - 10, W - 10): the Gaussian window's weighted means."""
    distance = torch.arange(SSIM_SIDE, dtype=torch.float64) - SSIM_SIDE // 2
    weights = torch.exp(-(distance**2) / (2 * _SIGMA**2))
    taps = (weights / weights.sum()).tolist()
    for dim in (1, 2):
        count = x.shape[dim] - SSIM_SIDE + 1
        # Sums of shifted slices take half the time of a convolution with one channel.
        total = x.narrow(dim, 0, count) * taps[0]
        for t in range(1, SSIM_SIDE):
            total.add_(x.narrow(dim, t, count), alpha=taps[t])
        x = total
    return x
