"""Small shots that several tests of the flicker filter need: textures, moved by whole pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def texture(height: int, width: int, seed: int = 0, rough: int = 3) -> Tensor:
    """(1, 3, height, width), 0.2..0.8: blobs of about `rough` pixels and of more."""
    chance = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 3, height, width)
    for octave in range(4):
        size = rough * 2**octave
        coarse = (-(-height // size) + 3, -(-width // size) + 3)
        blobs = torch.rand(1, 3, *coarse, generator=chance)
        grown = F.interpolate(blobs, scale_factor=float(size), mode="bicubic")
        total += grown[:, :, size : size + height, size : size + width] * 2**octave
    low, high = total.amin(), total.amax()
    return 0.2 + 0.6 * (total - low) / (high - low)


def panned(
    count: int, size: tuple[int, int], step: tuple[int, int], scale: int, seed: int = 0
) -> tuple[list[Tensor], list[Tensor]]:
    """Sources and what a perfect network makes of them, for a window that moves by `step`.

    `size`: (height, width) of the sources; `step`: (x, y) in drawn pixels, each frame.
    """
    height, width = size
    far = [(count - 1) * abs(s) for s in step]
    still = texture(height * scale + far[1], width * scale + far[0], seed, rough=3 * scale)
    drawn = []
    for n in range(count):
        left, top = (n * s if s > 0 else end + n * s for s, end in zip(step, far, strict=True))
        drawn.append(still[:, :, top : top + height * scale, left : left + width * scale])
    return [F.avg_pool2d(x, scale) for x in drawn], drawn


def noisy(pictures: list[Tensor], sigma: float, seed: int = 1) -> list[Tensor]:
    """With independent noise of that many code values."""
    chance = torch.Generator().manual_seed(seed)
    return [x + sigma / 255 * torch.randn(x.shape, generator=chance) for x in pictures]
