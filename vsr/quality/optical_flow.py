"""Motion fields between two pictures, what they hide, and a picture moved along one.

A field is (2, H, W) float32: to each pixel of the first picture, how far to the right and down
it lies in the second, in pixels. Fields are estimated by OpenCV, an optional extra
(`pip install 'vsr-upscale[metrics]'`); everything else takes a field from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.errors import UsageError
from vsr.stages.resize import resize

# From two luma pictures (H, W) float32 in 0..1 to the field (2, h, w) from the first to the
# second, in pixels of that h x w, which may be a smaller copy.
Flow = Callable[[Tensor, Tensor], Tensor]

FLOW_SIDE = 16  # pixels of the smallest picture in which motion is looked for
_LONGEST = 640  # pixels of the longer side: motion is smooth, and 4K would take seconds a field
# Ruder, Dosovitskiy, Brox: Artistic Style Transfer for Videos, GCPR 2016.
_DISAGREES = (0.01, 0.5)
_BREAKS = (0.01, 0.002)


def dis() -> Flow:
    """Return OpenCV's dense inverse search, at no more than 640 pixels a side.

    Kroeger, Timofte, Dai, Van Gool: Fast Optical Flow using Dense Inverse Search, ECCV 2016.
    Raises UsageError where OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise UsageError(
            "warping, tof: need OpenCV; install it, pip install 'vsr-upscale[metrics]'"
        ) from error
    search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def flow(first: Tensor, second: Tensor) -> Tensor:
        pictures = [_reduced(x).mul(255).round_().clamp_(0, 255).byte() for x in (first, second)]
        field = search.calc(*(x.cpu().contiguous().numpy() for x in pictures), None)
        return torch.from_numpy(field).permute(2, 0, 1).to(first.device)

    return flow


def _reduced(luma: Tensor) -> Tensor:
    height, width = luma.shape
    s = _LONGEST / max(height, width)
    if s >= 1:
        return luma
    small = (max(round(width * s), FLOW_SIDE), max(round(height * s), FLOW_SIDE))
    scale = (small[0] / width, small[1] / height)
    x = resize(luma[None, None], width=small[0], height=small[1], scale=scale, kernel="bicubic")
    return x[0, 0]


def enlarged(field: Tensor, height: int, width: int) -> Tensor:
    """Return a field of a smaller copy as one of a picture of that size."""
    h, w = field.shape[1:]
    if (h, w) == (height, width):
        return field
    full = F.interpolate(field[None], size=(height, width), mode="bilinear", align_corners=False)
    return full[0] * torch.tensor((width / w, height / h), device=field.device)[:, None, None]


def warp(picture: Tensor, field: Tensor) -> Tensor:
    """Map (C, H, W) -> (C, H, W): at each pixel, what `picture` shows where `field` points.

    Bilinear; the edge repeats.
    """
    return F.grid_sample(
        picture[None], _grid(field)[None], mode="bilinear", padding_mode="border",
        align_corners=True,
    )[0]  # fmt: skip


def _grid(field: Tensor) -> Tensor:
    """Return (H, W, 2): where `field` points, with -1 and 1 at the centres of the outermost
    pixels.
    """
    x, y = _ends(field)
    height, width = field.shape[1:]
    return torch.stack((x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1), -1)


def _ends(field: Tensor) -> tuple[Tensor, Tensor]:
    height, width = field.shape[1:]
    x = torch.arange(width, device=field.device, dtype=field.dtype)
    y = torch.arange(height, device=field.device, dtype=field.dtype)
    return field[0] + x, field[1] + y[:, None]


def visible(there: Tensor, back: Tensor) -> Tensor:
    """Return (H, W) bool: which pixels of a picture are seen in the other one, too.

    `there`: the field from it to the other, `back`: from the other to it. Not seen is what does
    not come back to where it was, where motion breaks off, and what leaves the picture.
    """
    home = warp(back, there)
    lengths = there.square().sum(0) + home.square().sum(0)
    strays = (there + home).square().sum(0) > _DISAGREES[0] * lengths + _DISAGREES[1]
    slope = torch.zeros_like(lengths)
    slope[:, :-1] += (there[:, :, 1:] - there[:, :, :-1]).square().sum(0)
    slope[:-1] += (there[:, 1:] - there[:, :-1]).square().sum(0)
    breaks = slope > _BREAKS[0] * there.square().sum(0) + _BREAKS[1]
    x, y = _ends(there)
    height, width = there.shape[1:]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside & ~strays & ~breaks
