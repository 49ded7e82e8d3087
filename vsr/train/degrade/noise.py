"""Noise of sensors: Gaussian, and Poisson, whose strength follows the light; in colour or grey."""

from __future__ import annotations

import torch
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)  # BT.601


def gaussian(pictures: Tensor, sigma: Tensor, grey: Tensor, chance: torch.Generator) -> Tensor:
    """Return (N, 3, H, W) in 0..1 with noise added, clipped.

    `sigma` (N,) in code values of 0..255; `grey` (N,) bool: the same in all three channels.
    """
    raw = torch.randn(pictures.shape, generator=chance, device=pictures.device)
    raw = torch.where(_each(grey, pictures), raw[:, :1], raw)
    return (pictures + raw * _each(sigma, pictures) / 255).clamp(0, 1)


def poisson(pictures: Tensor, scale: Tensor, grey: Tensor, chance: torch.Generator) -> Tensor:
    """Return (N, 3, H, W) in 0..1 with the noise of counted light, clipped.

    White is as many quanta as the picture has values, rounded up to a power of two; grey noise
    (`grey`, (N,) bool) is that of the picture's luma. `scale` (N,) multiplies it.
    """
    x = (pictures * 255).round().clamp(0, 255) / 255
    weights = torch.tensor(_LUMA, device=x.device)[:, None, None]
    luma = ((x * weights).sum(1, keepdim=True) * 255).round() / 255
    noise = torch.where(_each(grey, x), _counted(luma, chance), _counted(x, chance))
    return (pictures + noise * _each(scale, x)).clamp(0, 1)


def _counted(x: Tensor, chance: torch.Generator) -> Tensor:
    quanta = 2 ** torch.ceil(torch.log2(_distinct(x)))[:, None, None, None]
    return torch.poisson(x * quanta, generator=chance) / quanta - x


def _distinct(x: Tensor) -> Tensor:
    """Return (N,) float: how many of the 256 code values each picture has."""
    codes = (x * 255).round().long().flatten(1)
    seen = torch.zeros(len(x), 256, device=x.device)
    return seen.scatter_(1, codes, 1.0).sum(1)


def _each(values: Tensor, pictures: Tensor) -> Tensor:
    return values.to(pictures.device)[:, None, None, None]
