"""Blur kernels, and blur by them: each picture by its own.

With q = x' Sigma^-1 x: Gaussian exp(-q / 2), generalised exp(-q^beta / 2) and plateau
1 / (q^beta + 1) as in Liu et al., "Estimating generalized Gaussian blur kernels for out-of-focus
image deblurring"; sinc is the circular low-pass c J1(c r) / (2 pi r), which rings.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 21  # of every kernel; smaller ones have zeros around them

GAUSSIAN, GENERALISED, PLATEAU = 0, 1, 2


def bells(*, size: Tensor, sigma: Tensor, angle: Tensor, beta: Tensor, shape: Tensor) -> Tensor:
    """Map (N,) sizes, (N, 2) sigmas, (N,) angles, betas and shapes -> (N, 21, 21) float64, sum 1.

    `shape`: GAUSSIAN, GENERALISED or PLATEAU. The first sigma lies along the angle, which turns
    from x to y.
    """
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    inverse = turn @ torch.diag_embed(sigma.double() ** -2) @ turn.transpose(1, 2)
    y, x = _grid()
    points = torch.stack([x, y], -1).reshape(-1, 2)
    q = torch.einsum("pi,nij,pj->np", points, inverse, points).reshape(-1, SIDE, SIDE)
    power = q ** beta[:, None, None]
    kind = shape[:, None, None]
    bell = torch.where(
        kind == GAUSSIAN,
        torch.exp(-q / 2),
        torch.where(kind == GENERALISED, torch.exp(-power / 2), 1 / (power + 1)),
    )
    return _normalised(bell, size)


def sincs(*, size: Tensor, cutoff: Tensor) -> Tensor:
    """Map (N,) sizes and cut-off frequencies in (0, pi] -> (N, 21, 21) float64, sum 1."""
    y, x = _grid()
    r = (x**2 + y**2).sqrt()
    c = cutoff.double()[:, None, None]
    ring = c * torch.special.bessel_j1(c * r) / (2 * math.pi * r.clamp(min=1e-9))
    return _normalised(torch.where(r == 0, c**2 / (4 * math.pi), ring), size)


def _grid() -> tuple[Tensor, Tensor]:
    line = torch.arange(SIDE, dtype=torch.float64) - SIDE // 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    return y, x


def _normalised(kernel: Tensor, size: Tensor) -> Tensor:
    """Cut off what lies outside of each one's size, and make the sum 1."""
    y, x = _grid()
    inside = torch.maximum(y.abs(), x.abs()) <= size[:, None, None] // 2
    kernel = kernel * inside
    return kernel / kernel.sum((1, 2), keepdim=True)


def blur(pictures: Tensor, kernels: Tensor) -> Tensor:
    """Map (N, 3, H, W) by (N, k, k) -> (N, 3, H, W); borders are reflected. H, W > k / 2."""
    count, channels, height, width = pictures.shape
    half = kernels.shape[-1] // 2
    padded = F.pad(pictures, (half,) * 4, mode="reflect")
    weight = kernels.to(pictures).repeat_interleave(channels, 0)[:, None]
    flat = padded.reshape(1, count * channels, height + 2 * half, width + 2 * half)
    return F.conv2d(flat, weight, groups=count * channels).reshape_as(pictures)


def gaussian_line(sigma: float, half: int | None = None) -> Tensor:
    """Return (2 * half + 1,) float32, sum 1: a Gaussian along a line, of three sigmas to each
    side.
    """
    half = half or max(math.ceil(3 * sigma), 1)
    bell = torch.exp(-(torch.arange(-half, half + 1, dtype=torch.float64) ** 2) / (2 * sigma**2))
    return (bell / bell.sum()).float()


def blur_lines(pictures: Tensor, line: Tensor, *, dim: int) -> Tensor:
    """Filter (N, C, H, W) along dim 3 or 2 by one kernel (k,); borders repeat."""
    half = line.numel() // 2
    channels = pictures.shape[1]
    pad = (half, half, 0, 0) if dim == 3 else (0, 0, half, half)
    shape = (1, 1, 1, -1) if dim == 3 else (1, 1, -1, 1)
    weight = line.to(pictures).reshape(shape).expand(channels, -1, -1, -1)
    return F.conv2d(F.pad(pictures, pad, mode="replicate"), weight, groups=channels)


def sharpened(pictures: Tensor) -> Tensor:
    """Return the target that the reference trains its networks towards: an unsharp mask, (N, 3, H,
    W).

    Weight 0.5, a Gaussian of 51 pixels with OpenCV's sigma for it (8), and only where the
    difference is above 10 / 255; that mask is blurred in the same way.
    """
    line = gaussian_line(8.0, 25)

    def soft(x: Tensor) -> Tensor:
        return blur_lines(blur_lines(x, line, dim=3), line, dim=2)

    rest = pictures - soft(pictures)
    mask = soft((rest.abs() * 255 > 10).to(pictures))
    sharp = (pictures + 0.5 * rest).clamp(0, 1)
    return mask * sharp + (1 - mask) * pictures
