"""How far a whole picture has moved, in whole pixels.

By phase correlation (C. D. Kuglin, D. C. Hines, *The phase correlation image alignment method*,
IEEE Conference on Cybernetics and Society 1975).
"""

from __future__ import annotations

import torch
from torch import Tensor

from vsr.stages.colour.convert import luma

_FARTHEST = 4  # a move is at most the picture's side over that
_FLAT = 1e-6  # of a spectrum, that counts as nothing


def global_motion(current: Tensor, previous: Tensor) -> tuple[int, int]:
    """Return (right, down) by which what is in `before` has moved; both (1, 3, h, w) RGB, float.

    The likeliest move of the picture as a whole; whether it explains anything is to be seen by
    moving it.
    """
    current, previous = luma(current)[0, 0], luma(previous)[0, 0]
    height, width = current.shape
    window = torch.hann_window(height, device=current.device)[:, None]
    window = window * torch.hann_window(width, device=current.device)
    one, other = (_spectrum(x, window) for x in (current, previous))
    cross = one * other.conj()
    peaks = torch.fft.irfft2(cross / cross.abs().clamp(min=_FLAT), s=(height, width))
    y, x = (torch.fft.fftfreq(n, 1 / n, device=current.device) for n in (height, width))
    near = (y.abs() <= height / _FARTHEST)[:, None] & (x.abs() <= width / _FARTHEST)
    best = int(torch.where(near, peaks, -torch.inf).argmax())
    right, down = _signed(best % width, width), _signed(best // width, height)
    # Noise moves the peak by one; which of the pixels around it matches best is certain.
    tried = [(right + x, down + y) for y in (0, -1, 1) for x in (0, -1, 1)]
    return tried[int(torch.stack([_mismatch(current, previous, *move) for move in tried]).argmin())]


def _mismatch(current: Tensor, previous: Tensor, right: int, down: int) -> Tensor:
    """Return () mean square of what is left where both have something to show."""
    height, width = current.shape
    top, left = max(down, 0), max(right, 0)
    bottom, edge = height + min(down, 0), width + min(right, 0)
    if top >= bottom or left >= edge:
        return current.new_tensor(torch.inf)
    other = previous[top - down : bottom - down, left - right : edge - right]
    return (current[top:bottom, left:edge] - other).square().mean()


def _spectrum(light: Tensor, window: Tensor) -> Tensor:
    spectrum: Tensor = torch.fft.rfft2((light - light.mean()) * window)
    return spectrum


def _signed(place: int, size: int) -> int:
    return place - size if place > size // 2 else place


def shifted(picture: Tensor, right: int, down: int) -> Tensor:
    """Map (1, C, h, w) -> the same, moved; what comes in at an edge is what went out at the
    other.
    """
    return torch.roll(picture, (down, right), (2, 3))
