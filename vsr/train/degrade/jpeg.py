"""What JPEG leaves of pictures, in torch: on their device, each with its own, real quality.

The arithmetic of ITU-T T.81 and JFIF with the tables of its annex K, scaled and rounded as
libjpeg does, chroma thinned out by 2x2 means and repeated; without the coding, which loses
nothing. A real encoder is as quick on a CPU, but takes whole qualities and takes them one by one.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)  # fmt: skip
_TO_YCC = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def table(base: tuple[int, ...], quality: Tensor) -> Tensor:
    """Return (N, 8, 8) steps of the quantiser at each quality (N,), 1..100, by libjpeg's rule."""
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).floor()
    steps = torch.tensor(base, dtype=torch.float32, device=quality.device).reshape(1, 8, 8)
    return ((steps * percent[:, None, None] + 50) / 100).floor().clamp(1, 255)


def jpeg(pictures: Tensor, quality: Tensor) -> Tensor:
    """Map (N, 3, H, W) in 0..1 -> the same, coded and decoded, clipped. `quality` (N,), 1..100."""
    height, width = pictures.shape[2:]
    quality = quality.to(pictures)
    padded = F.pad(pictures, (0, -width % 16, 0, -height % 16), mode="replicate")
    ycc = _mixed(padded * 255, _TO_YCC)
    luma = _coded(ycc[:, :1] - 128, table(LUMA, quality)) + 128
    chroma = _coded(F.avg_pool2d(ycc[:, 1:], 2), table(CHROMA, quality))
    chroma = chroma.repeat_interleave(2, 2).repeat_interleave(2, 3)
    rgb = _mixed(torch.cat([luma, chroma], 1), _TO_RGB)
    return (rgb[..., :height, :width] / 255).clamp(0, 1)


def _mixed(x: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    return torch.einsum("nchw,dc->ndhw", x, torch.tensor(matrix).to(x))


def _coded(planes: Tensor, steps: Tensor) -> Tensor:
    """Put (N, C, H, W) about 0, of sides that 8 divides, through the quantiser (N, 8, 8)."""
    count, channels, height, width = planes.shape
    blocks = planes.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    basis = _basis().to(planes)
    steps = steps[:, None, None, None]
    found = (basis @ blocks @ basis.T / steps).round() * steps
    blocks = basis.T @ found @ basis
    return blocks.transpose(3, 4).reshape(planes.shape)


@cache
def _basis() -> Tensor:
    """Return (8, 8) the orthonormal DCT-II: a row for each frequency."""
    n = torch.arange(8, dtype=torch.float64)
    basis = torch.cos((2 * n + 1) * n[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis
