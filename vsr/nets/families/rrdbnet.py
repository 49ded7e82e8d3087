"""RRDBNet, the generator of ESRGAN and Real-ESRGAN.

Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks"
(2018), section 3.1, with the pixel-unshuffle entry of "Real-ESRGAN" (2021), section 3.3, and
the two paths more of "ESRGAN+" (Rakotonirina, Rasoanaivo, 2020), whose noise is of training.
Parameter names follow the official files; `rrdb_layouts` knows the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.errors import BrokenWeights
from vsr.nets.families.rrdb_layouts import canonical
from vsr.nets.grey import for_rgb
from vsr.nets.network import Hints, Joined, Network, State, count_layers

if TYPE_CHECKING:
    from vsr.nets.ncnn_export import NcnnGraph

SLOPE = 0.2  # of every LeakyReLU
RESIDUAL = 0.2  # scaling of each residual branch (ESRGAN, section 3.1)
_STAGES = 5  # that enlarge; more than are anywhere


def _active(conv: nn.Conv2d, x: Tensor, own: Joined | None) -> Tensor:
    """Return the LeakyReLU of a 3x3 convolution; `own`: an engine's way to it.

    Where oneDNN multiplies bf16, it does both in one: a tenth less time, and one rounding less.
    """
    if own is not None:
        return own(conv, x, SLOPE)
    if _joins(x):
        ones = [1, 1]  # padding, stride, dilation
        given = (conv.weight, conv.bias, ones, ones, ones, conv.groups)
        joined: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, *given, "leaky_relu", [SLOPE], ""
        )
        return joined
    return F.leaky_relu(conv(x), SLOPE, inplace=True)


def _joins(x: Tensor) -> bool:
    if x.dtype is not torch.bfloat16 or x.device.type != "cpu" or torch.is_grad_enabled():
        return False
    known = torch.ops.mkldnn
    # The operation is what torch.compile uses, and no promise of PyTorch's.
    return hasattr(known, "_convolution_pointwise") and bool(known._is_mkldnn_bf16_supported())


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of which sees all before it; with `plus`, two residuals more."""

    def __init__(self, num_feat: int, num_grow_ch: int, *, plus: bool = False) -> None:
        super().__init__()
        self.joined: Joined | None = None
        self.conv1 = nn.Conv2d(num_feat, num_grow_ch, 3, 1, 1)
        self.conv2 = nn.Conv2d(num_feat + num_grow_ch, num_grow_ch, 3, 1, 1)
        self.conv3 = nn.Conv2d(num_feat + 2 * num_grow_ch, num_grow_ch, 3, 1, 1)
        self.conv4 = nn.Conv2d(num_feat + 3 * num_grow_ch, num_grow_ch, 3, 1, 1)
        self.conv5 = nn.Conv2d(num_feat + 4 * num_grow_ch, num_feat, 3, 1, 1)
        self.conv1x1 = nn.Conv2d(num_feat, num_grow_ch, 1, bias=False) if plus else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, F, H, W) -> the same shape."""
        x1 = _active(self.conv1, x, self.joined)
        x2 = _active(self.conv2, torch.cat((x, x1), 1), self.joined)
        if self.conv1x1 is not None:
            x2 = x2 + self.conv1x1(x)
        x3 = _active(self.conv3, torch.cat((x, x1, x2), 1), self.joined)
        x4 = _active(self.conv4, torch.cat((x, x1, x2, x3), 1), self.joined)
        if self.conv1x1 is not None:
            x4 = x4 + x2
        x5: Tensor = self.conv5(torch.cat((x, x1, x2, x3, x4), 1))
        return torch.add(x, x5, alpha=RESIDUAL)

    def to_ncnn(self, graph: NcnnGraph, x: str) -> str:
        """Add its layers behind `x`; return the name of the result."""
        features = [x]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            joined = graph.layer("Concat", *features, rest="0=0") if len(features) > 1 else x
            found = graph.convolution(joined, conv, leak=SLOPE)
            if self.conv1x1 is not None and conv is self.conv2:
                found = graph.add(found, graph.convolution(x, self.conv1x1))
            if self.conv1x1 is not None and conv is self.conv4:
                found = graph.add(found, features[2])
            features.append(found)
        last = graph.convolution(graph.layer("Concat", *features, rest="0=0"), self.conv5)
        return graph.add(x, graph.times(last, RESIDUAL))


class RRDB(nn.Module):
    """Residual in residual: three dense blocks inside one more residual."""

    def __init__(self, num_feat: int, num_grow_ch: int, *, plus: bool = False) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(num_feat, num_grow_ch, plus=plus)
        self.rdb2 = DenseBlock(num_feat, num_grow_ch, plus=plus)
        self.rdb3 = DenseBlock(num_feat, num_grow_ch, plus=plus)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, F, H, W) -> the same shape."""
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=RESIDUAL)


class RRDBNet(Network):
    """(N, in, H, W) -> (N, out, scale * H, scale * W), RGB in 0..1, gamma-encoded.

    `unshuffle` x `unshuffle` pixels are folded into channels first, so H and W must be multiples
    of it; then each stage of the tail enlarges by 2, or the only one by 3.
    """

    joins = True

    def __init__(
        self,
        *,
        channels: int = 3,
        scale: int = 4,
        unshuffle: int | None = None,
        num_feat: int = 64,
        num_block: int = 23,
        num_grow_ch: int = 32,
        plus: bool = False,
    ) -> None:
        """`unshuffle`: None: as in the official files, whose tail always enlarges by 4."""
        super().__init__()
        self._joined: Joined | None = None
        if unshuffle is None:
            unshuffle = 4 // scale if scale in (1, 2) else 1
        self.inner: int = scale * unshuffle  # what the tail enlarges by
        stages = 1 if self.inner == 3 else self.inner.bit_length() - 1
        if self.inner != 3 and self.inner != 1 << stages:
            raise ValueError(f"RRDBNet has scale 1, 2, 3, 4, 8 or 16, not {scale}")
        self.scale = scale
        self.num_feat = num_feat
        self.unshuffle = unshuffle
        self.conv_first = nn.Conv2d(channels * unshuffle**2, num_feat, 3, 1, 1)
        self.body = nn.Sequential(
            *(RRDB(num_feat, num_grow_ch, plus=plus) for _ in range(num_block))
        )
        self.conv_body = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self._stages = tuple(f"conv_up{n}" for n in range(1, stages + 1))
        for name in self._stages:
            self.add_module(name, nn.Conv2d(num_feat, num_feat, 3, 1, 1))
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_last = nn.Conv2d(num_feat, channels, 3, 1, 1)

    @classmethod
    def claims(cls, state: State) -> bool:
        """See `Network`."""
        state = canonical(state)
        return {"conv_first.weight", "body.0.rdb1.conv1.weight", "conv_last.weight"} <= state.keys()

    @classmethod
    def from_state(cls, state: State, hints: Hints) -> Network:
        """See `Network`."""
        state = canonical(state)
        num_feat, entering = state["conv_first.weight"].shape[:2]
        channels = state["conv_last.weight"].shape[0]
        unshuffle = math.isqrt(entering // max(channels, 1))
        if unshuffle not in (1, 2, 4) or channels * unshuffle**2 != entering:
            raise BrokenWeights(f"an RRDBNet that makes {channels} channels of {entering}")
        stages = sum(f"conv_up{n}.weight" in state for n in range(1, _STAGES + 1))
        inner = 1 << stages
        if stages == 1 and hints.scale is not None and hints.scale * unshuffle == 3:
            inner = 3  # which has the same weights
        if inner % unshuffle:
            raise BrokenWeights(f"an RRDBNet of scale {inner}/{unshuffle}")
        network = cls.holding(
            state,
            channels=channels,
            scale=inner // unshuffle,
            unshuffle=unshuffle,
            num_feat=num_feat,
            num_block=count_layers(state, "body."),
            num_grow_ch=state["body.0.rdb1.conv1.weight"].shape[0],
            plus="body.0.rdb1.conv1x1.weight" in state,
        )
        return for_rgb(network, channels)

    @classmethod
    def ncnn_names(cls, kinds: Sequence[str]) -> list[str] | None:
        """See `Network`: the official networks' of scale 4."""
        blocks, rest = divmod(len(kinds) - 6, 15)
        if rest or blocks < 1 or set(kinds) != {"Convolution"}:
            return None
        dense = [
            f"body.{b}.rdb{r}.conv{c}"
            for b in range(blocks)
            for r in (1, 2, 3)
            for c in range(1, 6)
        ]
        return ["conv_first", *dense, "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]

    @property
    def enlarging(self) -> tuple[nn.Conv2d, ...]:
        """The convolutions of the tail's stages."""
        found = tuple(getattr(self, name) for name in self._stages)
        assert all(isinstance(conv, nn.Conv2d) for conv in found)
        return found

    @property
    def receptive_radius(self) -> int:
        """Source pixels that an output pixel can see to each side, rounded up.

        They are those of conv_first, 15 convolutions a block and conv_body at the inner
        size; of each stage's at its own, and of conv_hr and conv_last at the last one's.
        """
        times = self.inner if self.inner == 3 else 2
        tail = sum(float(times) ** -(n + 1) for n in range(len(self._stages)))
        tail += 2 / self.inner
        return (2 + 15 * len(self.body) + math.ceil(tail)) * self.unshuffle

    @property
    def widest(self) -> int:
        """See `Network`: the tail is at full size."""
        return self.num_feat * (self.inner // self.unshuffle) ** 2

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, F, H, W) -> the same shape."""
        if self.unshuffle > 1:
            x = F.pixel_unshuffle(x, self.unshuffle)
        first = self.conv_first(x)
        feat = first + self.conv_body(self.body(first))
        for conv in self.enlarging:
            large = F.interpolate(feat, scale_factor=self._times, mode="nearest")
            feat = _active(conv, large, self._joined)
        # An engine may keep the last convolution at a higher precision than the rest.
        feat = _active(self.conv_hr, feat, self._joined).to(self.conv_last.weight.dtype)
        out: Tensor = self.conv_last(feat)
        return out

    @property
    def _times(self) -> int:
        return 3 if self.inner == 3 else 2

    def widen_result(self) -> None:
        """See `Network`."""
        self.conv_last.float()

    def join(self, joined: Joined | None) -> None:
        """See `Network`."""
        self._joined = joined
        for block in self.modules():
            if isinstance(block, DenseBlock):
                block.joined = joined

    def fold(self, factor: int) -> None:
        """See `Network`: by a larger, strided kernel."""
        old = self.conv_last
        assert old.bias is not None
        side = 3 + factor - 1
        weight = old.weight.new_zeros(old.out_channels, old.in_channels, side, side)
        for dy in range(factor):
            for dx in range(factor):
                weight[:, :, dy : dy + 3, dx : dx + 3] += old.weight / factor**2
        last = nn.Conv2d(
            old.in_channels, old.out_channels, side, stride=factor, padding=1, dtype=weight.dtype
        )
        last.load_state_dict({"weight": weight, "bias": old.bias})
        self.conv_last = last.requires_grad_(False)
        self.scale //= factor

    def to_ncnn(self, graph: NcnnGraph, x: str) -> str:
        """See `Network`."""
        first = x = graph.convolution(x, self.conv_first)
        for block in self.body:
            assert isinstance(block, RRDB)
            branch = x
            for dense in (block.rdb1, block.rdb2, block.rdb3):
                branch = dense.to_ncnn(graph, branch)
            x = graph.add(x, graph.times(branch, RESIDUAL))
        x = graph.add(first, graph.convolution(x, self.conv_body))
        for conv in self.enlarging:
            x = graph.convolution(graph.larger(x, self._times), conv, leak=SLOPE)
        x = graph.convolution(x, self.conv_hr, leak=SLOPE)
        return graph.convolution(x, self.conv_last)
