"""Whether a network whose kind nobody has compared may run in 16 bits: a short trial says."""

from __future__ import annotations

import copy

import torch

from vsr.engine.device import DTYPES
from vsr.nets.network import Network

_LEAST = 40.0  # dB from 32 bits
# Batch, height, width. For the first, which many are taught with, networks with windows of
# attention have masks among their weights; for others they make them, not always in 16 bits.
_PICTURES = ((1, 64, 64), (2, 48, 80))


def runs_in(network: Network, device: torch.device, precision: str) -> bool:
    """Return whether `network` is made for that precision, and if it is to be tried, is right in
    it.
    """
    if precision not in network.precisions:
        return False
    if precision == "fp32" or not network.is_tried:
        return True
    dtype, tried = DTYPES[precision], copy.deepcopy(network).to(device)
    pictures = [_picture(network.multiple, *shape).to(device) for shape in _PICTURES]
    try:
        with torch.inference_mode():
            right = [tried(x) for x in pictures]
            tried.to(dtype)
            results = [tried(x.to(dtype)).float() for x in pictures]
    except (RuntimeError, TypeError, NotImplementedError):
        return False
    errors = [(a - b).square().mean() for a, b in zip(results, right, strict=True)]
    return all(bool(-10 * torch.log10(error + 1e-12) >= _LEAST) for error in errors)


def _picture(step: int, batch: int, height: int, width: int) -> torch.Tensor:
    sides = (-(-side // step) * step for side in (height, width))
    return torch.rand(batch, 3, *sides, generator=torch.Generator().manual_seed(0))
