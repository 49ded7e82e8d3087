"""RRDBNet, the generator of ESRGAN and Real-ESRGAN.

Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks"
(2018), section 3.1, with the pixel-unshuffle entry for scales 2 and 1 of
"Real-ESRGAN" (2021), section 3.3. Parameter names follow the official files.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.nets.network import Network

SLOPE = 0.2  # of every LeakyReLU
RESIDUAL = 0.2  # scaling of each residual branch (ESRGAN, section 3.1)


def _lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE, inplace=True)


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of which sees all before it."""

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_feat, num_grow_ch, 3, 1, 1)
        self.conv2 = nn.Conv2d(num_feat + num_grow_ch, num_grow_ch, 3, 1, 1)
        self.conv3 = nn.Conv2d(num_feat + 2 * num_grow_ch, num_grow_ch, 3, 1, 1)
        self.conv4 = nn.Conv2d(num_feat + 3 * num_grow_ch, num_grow_ch, 3, 1, 1)
        self.conv5 = nn.Conv2d(num_feat + 4 * num_grow_ch, num_feat, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, F, H, W) -> the same shape."""
        x1 = _lrelu(self.conv1(x))
        x2 = _lrelu(self.conv2(torch.cat((x, x1), 1)))
        x3 = _lrelu(self.conv3(torch.cat((x, x1, x2), 1)))
        x4 = _lrelu(self.conv4(torch.cat((x, x1, x2, x3), 1)))
        x5: Tensor = self.conv5(torch.cat((x, x1, x2, x3, x4), 1))
        return torch.add(x, x5, alpha=RESIDUAL)


class RRDB(nn.Module):
    """Residual in residual: three dense blocks inside one more residual."""

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(num_feat, num_grow_ch)
        self.rdb2 = DenseBlock(num_feat, num_grow_ch)
        self.rdb3 = DenseBlock(num_feat, num_grow_ch)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, F, H, W) -> the same shape."""
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=RESIDUAL)


class RRDBNet(Network):
    """(N, in, H, W) -> (N, out, scale * H, scale * W), RGB in 0..1, gamma-encoded.

    Scales 2 and 1 fold 2x2 or 4x4 pixels into channels first, so H and W must
    be multiples of `unshuffle` (2 or 4); the x4 tail then enlarges again.
    """

    def __init__(
        self,
        *,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        scale: int = 4,
        num_feat: int = 64,
        num_block: int = 23,
        num_grow_ch: int = 32,
    ) -> None:
        super().__init__()
        if scale not in (1, 2, 4):
            raise ValueError(f"RRDBNet has scale 1, 2 or 4, not {scale}")
        self.scale = scale
        self.num_feat = num_feat
        self.unshuffle = 4 // scale
        self.conv_first = nn.Conv2d(num_in_ch * self.unshuffle**2, num_feat, 3, 1, 1)
        self.body = nn.Sequential(*(RRDB(num_feat, num_grow_ch) for _ in range(num_block)))
        self.conv_body = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_up1 = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_up2 = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_last = nn.Conv2d(num_feat, num_out_ch, 3, 1, 1)

    @property
    def receptive_radius(self) -> int:
        """Source pixels that an output pixel can see to each side, rounded up.

        They are those of conv_first, 15 convolutions a block and conv_body at the inner
        size; conv_up1 at twice, conv_up2, conv_hr and conv_last at four times the inner
        size, which is less than two more inner pixels.
        """
        return (2 + 15 * len(self.body) + 2) * self.unshuffle

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, F, H, W) -> the same shape."""
        if self.unshuffle > 1:
            x = F.pixel_unshuffle(x, self.unshuffle)
        first = self.conv_first(x)
        feat = first + self.conv_body(self.body(first))
        feat = _lrelu(self.conv_up1(F.interpolate(feat, scale_factor=2, mode="nearest")))
        feat = _lrelu(self.conv_up2(F.interpolate(feat, scale_factor=2, mode="nearest")))
        # An engine may keep the last convolution at a higher precision than the rest.
        feat = _lrelu(self.conv_hr(feat)).to(self.conv_last.weight.dtype)
        out: Tensor = self.conv_last(feat)
        return out
