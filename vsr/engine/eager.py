"""The base engine: plain PyTorch, on a CPU or on CUDA."""

from __future__ import annotations

import torch
from torch import Tensor

from vsr.nets.network import Network
from vsr.nets.rrdbnet import RRDBNet
from vsr.nets.srvgg import SRVGGNetCompact


class EagerEngine:
    """Runs a `Network` as it is, channels-last, in one precision."""

    def __init__(
        self, network: Network, *, device: torch.device, dtype: torch.dtype, precision: str
    ) -> None:
        self.scale = network.scale
        self.multiple = network.unshuffle
        self.radius = network.receptive_radius
        self.device = device
        self.precision = precision
        # On a CPU the compact network adds its bf16 body to the picture in fp32, for 4 dB.
        keep = device.type == "cpu" and isinstance(network, SRVGGNetCompact)
        self.dtype = torch.float32 if keep else dtype
        self._bytes_per_pixel = _bytes_per_pixel(network, dtype)
        self._network = network.to(device, dtype)
        # torch's stubs do not know this form of `to`.
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = self._network(x.contiguous(memory_format=torch.channels_last))
        return out

    def bytes_for(self, pixels: int) -> int:
        return pixels * self._bytes_per_pixel


class PassEngine:
    """No network: the classical resizers do all their work in the resize that follows."""

    scale = 1
    multiple = 1
    radius = 0
    dtype = torch.float32
    precision = "fp32"

    def __init__(self, *, device: torch.device) -> None:
        self.device = device

    def __call__(self, x: Tensor) -> Tensor:
        return x

    def bytes_for(self, pixels: int) -> int:
        return pixels * 3 * 4


def _bytes_per_pixel(network: Network, dtype: torch.dtype) -> int:
    """Working memory per source pixel: the widest moment of the forward pass, plus its output.

    Three copies of the widest feature map (a convolution's input and output, and one
    while the activation runs), at the source's size in the compact network and at four
    times the inner size in RRDBNet's tail; and the float32 pictures around the network.
    """
    around = 4 * 3 * torch.float32.itemsize * network.scale**2
    side = 4 // network.unshuffle if isinstance(network, RRDBNet) else 1
    return around + 3 * network.num_feat * side**2 * dtype.itemsize
