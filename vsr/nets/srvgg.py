"""SRVGGNetCompact, the small network behind realesr-animevideov3 and realesr-general-x4v3.

A plain stack of 3x3 convolutions at the source's size, a pixel shuffle and a
nearest-neighbour residual; introduced with Real-ESRGAN v0.2.5. Parameter names
follow the official files: `body.0`, `body.1` (activation), `body.2` ...
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.nets.network import Network
from vsr.options import Activation


def _activation(kind: Activation, num_feat: int) -> nn.Module:
    if kind == "prelu":
        return nn.PReLU(num_feat)
    return nn.ReLU(inplace=True) if kind == "relu" else nn.LeakyReLU(0.1, inplace=True)


class SRVGGNetCompact(Network):
    """(N, 3, H, W) -> (N, 3, upscale * H, upscale * W), RGB in 0..1, gamma-encoded."""

    def __init__(
        self,
        *,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_conv: int = 16,
        upscale: int = 4,
        act_type: Activation = "prelu",
    ) -> None:
        super().__init__()
        self.scale = upscale
        self.num_feat = num_feat
        self.unshuffle = 1
        layers: list[nn.Module] = [
            nn.Conv2d(num_in_ch, num_feat, 3, 1, 1),
            _activation(act_type, num_feat),
        ]
        for _ in range(num_conv):
            layers += [nn.Conv2d(num_feat, num_feat, 3, 1, 1), _activation(act_type, num_feat)]
        layers.append(nn.Conv2d(num_feat, num_out_ch * upscale**2, 3, 1, 1))
        self.body = nn.Sequential(*layers)

    @property
    def receptive_radius(self) -> int:
        """Source pixels that an output pixel can see to each side: one a convolution."""
        return sum(isinstance(layer, nn.Conv2d) for layer in self.body)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) -> (N, 3, upscale * H, upscale * W)."""
        residual = x
        # A 16-bit body keeps the picture itself, the residual, at the precision it came
        # in: that one addition is where 4 to 5 dB of bf16's error would arise.
        body_dtype = next(self.body.parameters()).dtype
        x = F.pixel_shuffle(self.body(x.to(body_dtype)), self.scale)
        return torch.add(x, F.interpolate(residual, scale_factor=self.scale, mode="nearest"))
