"""SRVGGNetCompact, the small network behind realesr-animevideov3 and realesr-general-x4v3.

A plain stack of 3x3 convolutions at the source's size, a pixel shuffle and a
nearest-neighbour residual; introduced with Real-ESRGAN v0.2.5. Parameter names
follow the official files: `body.0`, `body.1` (activation), `body.2` ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.nets.grey import for_rgb
from vsr.nets.network import Hints, Joined, Network, State, count_layers, shuffled_scale
from vsr.options import Activation

if TYPE_CHECKING:
    from vsr.nets.ncnn_export import NcnnGraph

LEAK = 0.1  # of its LeakyReLU


def _activation(kind: Activation, slopes: int) -> nn.Module:
    if kind == "prelu":
        return nn.PReLU(slopes)
    return nn.ReLU(inplace=True) if kind == "relu" else nn.LeakyReLU(LEAK, inplace=True)


class SRVGGNetCompact(Network):
    """(N, 3, H, W) -> (N, 3, upscale * H, upscale * W), RGB in 0..1, gamma-encoded."""

    adds_picture = True
    joins = True
    fp16_is_close = True
    trial_side = 96

    def __init__(
        self,
        *,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_conv: int = 16,
        upscale: int = 4,
        act_type: Activation = "prelu",
        num_slopes: int | None = None,
    ) -> None:
        """`num_slopes`: of a PReLU; one for each channel, or one for all."""
        super().__init__()
        self._joined: Joined | None = None
        self.scale = upscale
        self.num_feat = num_feat
        slopes = num_slopes or num_feat
        layers: list[nn.Module] = [
            nn.Conv2d(num_in_ch, num_feat, 3, 1, 1),
            _activation(act_type, slopes),
        ]
        for _ in range(num_conv):
            layers += [nn.Conv2d(num_feat, num_feat, 3, 1, 1), _activation(act_type, slopes)]
        layers.append(nn.Conv2d(num_feat, num_out_ch * upscale**2, 3, 1, 1))
        self.body = nn.Sequential(*layers)

    @classmethod
    def claims(cls, state: State) -> bool:
        """See `Network`."""
        first, last = state.get("body.0.weight"), count_layers(state, "body.") - 1
        return (
            first is not None
            and first.dim() == 4
            and f"body.{last}.bias" in state
            and all(name.startswith("body.") and name.count(".") == 2 for name in state)
        )

    @classmethod
    def from_state(cls, state: State, hints: Hints) -> Network:
        """See `Network`."""
        num_feat, channels = state["body.0.weight"].shape[:2]
        last = count_layers(state, "body.") - 1
        slopes = state.get("body.1.weight")  # ReLU and LeakyReLU have none to tell them by
        network = cls.holding(
            state,
            num_in_ch=channels,
            num_out_ch=channels,
            num_feat=num_feat,
            num_conv=(last - 2) // 2,
            upscale=shuffled_scale(state[f"body.{last}.weight"].shape[0], channels),
            act_type=hints.activation if slopes is None else "prelu",
            num_slopes=None if slopes is None else slopes.numel(),
        )
        return for_rgb(network, channels)

    @classmethod
    def ncnn_names(cls, kinds: Sequence[str]) -> list[str] | None:
        """See `Network`."""
        if set(kinds) != {"Convolution", "PReLU"}:
            return None
        return [f"body.{n}" for n in range(len(kinds))]

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
        body = self._body_of(x.to(body_dtype))
        beside = body.is_contiguous(memory_format=torch.channels_last)
        if x.device.type == "cpu" and beside and not torch.is_grad_enabled():
            return _shuffled_onto(residual, body, self.scale)
        x = F.pixel_shuffle(body, self.scale)
        return torch.add(x, F.interpolate(residual, scale_factor=self.scale, mode="nearest"))

    def _body_of(self, x: Tensor) -> Tensor:
        if self._joined is None:
            whole: Tensor = self.body(x)
            return whole
        *layers, last = self.body
        for conv, activation in zip(layers[::2], layers[1::2], strict=True):
            assert isinstance(conv, nn.Conv2d)
            if isinstance(activation, nn.PReLU):
                x = self._joined(conv, x, activation.weight)
            elif isinstance(activation, nn.LeakyReLU):
                x = self._joined(conv, x, activation.negative_slope)
            else:
                x = activation(conv(x))
        result: Tensor = last(x)
        return result

    def join(self, joined: Joined | None) -> None:
        """See `Network`."""
        self._joined = joined

    def fold(self, factor: int) -> None:
        """See `Network`: the means are of neighbours among the last convolution's channels."""
        old, small = self.body[-1], self.scale // factor
        assert isinstance(old, nn.Conv2d)
        self.body[-1] = mean_of_cells(old, small, factor)
        self.scale = small

    def to_ncnn(self, graph: NcnnGraph, x: str) -> str:
        """See `Network`."""
        given = x
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                x = graph.convolution(x, layer)
            elif isinstance(layer, nn.PReLU):
                x = graph.prelu(x, layer.weight)
            else:
                slope = layer.negative_slope if isinstance(layer, nn.LeakyReLU) else 0.0
                x = graph.layer("ReLU", x, rest=f"0={slope:e}")
        x = graph.layer("PixelShuffle", x, rest=f"0={self.scale}")
        return graph.add(x, graph.larger(given, self.scale))


def _shuffled_onto(picture: Tensor, body: Tensor, scale: int) -> Tensor:
    """Return the pixel shuffle of `body`, which is channels-last, on the enlarged picture: planes.

    In one pass over memory: a third of the time that the three operations take on a CPU.
    """
    count, channels, height, width = picture.shape
    kind = torch.promote_types(picture.dtype, body.dtype)
    planes = torch.empty(
        (count, channels, height, scale, width, scale), dtype=kind, device=picture.device
    )
    cells = body.view(count, channels, scale, scale, height, width).permute(0, 1, 4, 2, 5, 3)
    torch.add(cells, picture[:, :, :, None, :, None], out=planes)
    return planes.flatten(4, 5).flatten(2, 3)


def mean_of_cells(old: nn.Conv2d, small: int, factor: int) -> nn.Conv2d:
    """Return a convolution before a pixel shuffle, reduced from `small` * `factor` to `small`."""
    assert old.bias is not None

    def mean(parameter: Tensor) -> Tensor:  # (C * s * s, ...) -> (C * small * small, ...)
        rest = parameter.shape[1:]
        cells = parameter.reshape(-1, small, factor, small, factor, *rest)
        return cells.mean(dim=(2, 4)).reshape(-1, *rest)

    weight, bias = mean(old.weight), mean(old.bias)
    new = nn.Conv2d(old.in_channels, weight.shape[0], 3, 1, 1, dtype=weight.dtype)
    new.load_state_dict({"weight": weight, "bias": bias})
    return new.requires_grad_(False)
