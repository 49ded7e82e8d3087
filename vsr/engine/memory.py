"""How much memory a network takes for each source pixel."""

from __future__ import annotations

import torch

from vsr.nets.network import Network


def bytes_per_pixel(network: Network, dtype: torch.dtype, *, maps: int = 3) -> int:
    """Estimate the working memory per source pixel: the forward pass at its widest, plus its
    output.

    `maps`: feature maps of the widest kind that are there at once. PyTorch has three: a
    convolution's input and output, and one while the activation runs.
    """
    return (maps * network.widest + 3 * network.scale**2) * dtype.itemsize
