"""How much memory a network takes for each source pixel."""

from __future__ import annotations

import torch

from vsr.nets.network import Network
from vsr.nets.rrdbnet import RRDBNet


def widest(network: Network) -> int:
    """Numbers per source pixel in the widest feature map: RRDBNet's tail is at full size."""
    side = 4 // network.unshuffle if isinstance(network, RRDBNet) else 1
    return network.num_feat * side**2


def bytes_per_pixel(network: Network, dtype: torch.dtype) -> int:
    """Working memory per source pixel: the widest moment of the forward pass, plus its output.

    Three copies of the widest feature map: a convolution's input and output, and one while
    the activation runs.
    """
    return 3 * (widest(network) + network.scale**2) * dtype.itemsize
