"""Whether a network whose kind nobody has compared may run in 16 bits: a short trial says."""

from __future__ import annotations

import copy

import torch

from vsr.engine.device import DTYPES
from vsr.nets.network import Network

_LEAST = 40.0  # dB from 32 bits
_SIDE = 64


def runs_in(network: Network, device: torch.device, precision: str) -> bool:
    """Return whether `network` is made for that precision, and if it is to be tried, is right in
    it.
    """
    if precision not in network.precisions:
        return False
    if precision == "fp32" or not network.is_tried:
        return True
    side = -(-_SIDE // network.multiple) * network.multiple
    x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    tried = copy.deepcopy(network).to(device)
    try:
        with torch.inference_mode():
            right = tried(x)
            dtype = DTYPES[precision]
            error = (tried.to(dtype)(x.to(dtype)).float() - right).square().mean()
    except (RuntimeError, TypeError, NotImplementedError):
        return False
    return bool(-10 * torch.log10(error + 1e-12) >= _LEAST)
