"""The base engine: plain PyTorch, on a CPU or on CUDA."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from vsr.engine.memory import bytes_per_pixel
from vsr.nets.network import Network
from vsr.options import EngineName

_SHAPES = 32  # that are known as having come before


class TorchEngine:
    """Runs a `Network` as it is, channels-last, in one precision."""

    name = "torch"
    label = ""  # goes without saying
    pinned_name: EngineName = "torch"

    def __init__(
        self, network: Network, *, device: torch.device, dtype: torch.dtype, precision: str
    ) -> None:
        self.scale = network.scale
        self.multiple = network.multiple
        self.receptive_radius = network.receptive_radius
        self.sees_whole = network.sees_whole
        self.device = device
        self._network = network
        self._seen: deque[tuple[int, ...]] = deque(maxlen=_SHAPES)
        self._set_precision(dtype, precision)

    def _set_precision(self, dtype: torch.dtype, precision: str) -> None:
        network = self._network
        self.precision = precision
        # On a CPU the compact network adds its bf16 body to the picture in fp32, for 4 dB.
        keep = self.device.type == "cpu" and network.adds_picture
        self.dtype = torch.float32 if keep else dtype
        self._bytes_per_pixel = bytes_per_pixel(network, dtype)
        if self.device.type == "cuda":
            # Batches in flight may still read the weights, whose memory is given back here.
            torch.cuda.synchronize(self.device)
        # Laid out on the host: on the device that would be work of another stream than ours.
        # (torch's stubs do not know this form of `to`.)
        network.cpu().to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if dtype is torch.bfloat16:
            network.widen_result()
        network.to(self.device)

    def __call__(self, x: Tensor) -> Tensor:
        """See `Engine`."""
        x = x.contiguous(memory_format=torch.channels_last)
        # Trying out cuDNN's ways takes a good part of a second for each new size: not for one that
        # may never come again, as reused pictures and folders bring them.
        shape = tuple(x.shape)
        again = shape in self._seen
        if not again:
            self._seen.append(shape)
        # TF32, cuDNN's default for fp32, is not what somebody who asks for fp32 means.
        with torch.backends.cudnn.flags(enabled=True, benchmark=again, allow_tf32=False):
            out: Tensor = self._network(x)
        return out

    @property
    def max_pixels(self) -> int:
        """See `Engine`."""
        # Convolutions index with 32 bits.
        return (2**31 - 1) // self._network.widest

    def bytes_for(self, pixels: int) -> int:
        """See `Engine`."""
        return pixels * self._bytes_per_pixel

    def fall_back_to_fp32(self) -> bool:
        """See `Engine`."""
        if self.precision == "fp32":
            return False
        self._set_precision(torch.float32, "fp32")
        return True


class PassThroughEngine:
    """No network: the classical resizers do all their work in the resize that follows."""

    name = "none"
    label = ""
    pinned_name: EngineName = "torch"
    scale = 1
    multiple = 1
    receptive_radius = 0
    sees_whole = False
    dtype = torch.float32
    precision = "fp32"
    max_pixels = 2**31 - 1

    def __init__(self, *, device: torch.device) -> None:
        self.device = device

    def __call__(self, x: Tensor) -> Tensor:
        """See `Engine`."""
        return x

    def bytes_for(self, pixels: int) -> int:
        """See `Engine`."""
        return 0 * pixels

    def fall_back_to_fp32(self) -> bool:
        """See `Engine`."""
        return False
