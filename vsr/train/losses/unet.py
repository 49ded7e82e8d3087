"""The discriminator of Real-ESRGAN: a U-Net with spectral norm and a verdict for each pixel.

Wang et al. 2021, after Schönfeld et al., "A U-Net based discriminator for GANs", 2020. Parameter
names are those of the published netD files.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm

_STEP = 8  # sides are padded to multiples of it: three halvings


class UNetDiscriminatorSN(nn.Module):
    """(N, 3, H, W) in 0..1 -> (N, 1, H, W) logits: above 0, real."""

    def __init__(self, num_feat: int = 64, *, skip_connection: bool = True) -> None:
        super().__init__()
        norm: Callable[[nn.Conv2d], nn.Conv2d] = spectral_norm
        feat = num_feat
        self.skip_connection = skip_connection
        self.conv0 = nn.Conv2d(3, feat, 3, 1, 1)
        self.conv1 = norm(nn.Conv2d(feat, 2 * feat, 4, 2, 1, bias=False))
        self.conv2 = norm(nn.Conv2d(2 * feat, 4 * feat, 4, 2, 1, bias=False))
        self.conv3 = norm(nn.Conv2d(4 * feat, 8 * feat, 4, 2, 1, bias=False))
        self.conv4 = norm(nn.Conv2d(8 * feat, 4 * feat, 3, 1, 1, bias=False))
        self.conv5 = norm(nn.Conv2d(4 * feat, 2 * feat, 3, 1, 1, bias=False))
        self.conv6 = norm(nn.Conv2d(2 * feat, feat, 3, 1, 1, bias=False))
        self.conv7 = norm(nn.Conv2d(feat, feat, 3, 1, 1, bias=False))
        self.conv8 = norm(nn.Conv2d(feat, feat, 3, 1, 1, bias=False))
        self.conv9 = nn.Conv2d(feat, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) in 0..1 -> (N, 1, H, W) logits."""
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % _STEP, 0, -height % _STEP), mode="replicate")
        levels = [_leaky(self.conv0(x))]
        for down in (self.conv1, self.conv2, self.conv3):
            levels.append(_leaky(down(levels[-1])))
        x = levels.pop()
        for up in (self.conv4, self.conv5, self.conv6):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = _leaky(up(x))
            level = levels.pop()
            if self.skip_connection:
                x = x + level
        x = _leaky(self.conv8(_leaky(self.conv7(x))))
        result: Tensor = self.conv9(x)
        return result[..., :height, :width]


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def load_discriminator(net: UNetDiscriminatorSN, state: dict[str, Tensor]) -> None:
    """Load a published netD, or one of ours. Raises RuntimeError where it does not fit."""
    net.load_state_dict({name: tensor.float() for name, tensor in state.items()})


def parameters_of(net: nn.Module) -> int:
    """Return how many numbers are learnt."""
    return sum(int(torch.tensor(p.shape).prod()) for p in net.parameters())
