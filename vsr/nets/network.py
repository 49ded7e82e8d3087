"""What every network offers to the engines."""

from __future__ import annotations

from abc import abstractmethod

from torch import nn


class Network(nn.Module):
    """Enlarges (N, 3, H, W) RGB in 0..1, gamma-encoded, by a whole number."""

    scale: int  # output side / input side
    unshuffle: int  # H and W must be multiples of this
    num_feat: int  # channels of its widest feature maps

    @property
    @abstractmethod
    def receptive_radius(self) -> int:
        """Source pixels that an output pixel can see to each side, rounded up."""
