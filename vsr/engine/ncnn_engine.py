"""The network in the ncnn runtime, for processors without 16-bit matrix instructions.

There its Winograd convolutions in 32 bits are the fastest that can be had. The package is
an optional extra (`pip install 'vsr-upscale[ncnn]'`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.engine.memory import bytes_per_pixel
from vsr.errors import BrokenWeights, VsrError
from vsr.nets.ncnn_export import INPUT, OUTPUT, write_ncnn
from vsr.nets.network import Network
from vsr.options import EngineName

# Feature maps of the widest kind at once: its Winograd convolutions keep the transformed ones,
# too. Measured: 8 to 12.6 with the compact networks, 11 to 13 with RRDBNet.
MAPS = 11


_NO_MEMORY = -100  # ncnn's code for it


class NcnnEngine:
    """Runs a `Network` on a CPU, in 32 bits. Raises ImportError without the package."""

    name = "ncnn"
    label = "ncnn"
    pinned_name: EngineName = "ncnn"
    dtype = torch.float32
    precision = "fp32"

    def __init__(self, network: Network) -> None:
        self.scale = network.scale
        self.multiple = network.multiple
        self._unshuffle = network.unshuffle
        self.receptive_radius = network.receptive_radius
        self.sees_whole = network.sees_whole
        self.device = torch.device("cpu")
        self.max_pixels = (2**31 - 1) // network.widest
        self._bytes_per_pixel = bytes_per_pixel(network, self.dtype, maps=MAPS)
        self._net = load_net(network, _on_cpu)

    def __call__(self, x: Tensor) -> Tensor:
        """See `Engine`."""
        return run_net(self._net, x, self._unshuffle, shared=True)

    def bytes_for(self, pixels: int) -> int:
        """See `Engine`."""
        return pixels * self._bytes_per_pixel

    def fall_back_to_fp32(self) -> bool:
        """See `Engine`."""
        return False


def _on_cpu(net: Any) -> None:
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = torch.get_num_threads()


def load_net(network: Network, settings: Callable[[Any], None]) -> Any:
    """Load `network` into ncnn, after `settings` has set its options. Raises BrokenWeights."""
    import ncnn

    net = ncnn.Net()
    settings(net)
    text, weights = write_ncnn(network)
    # Its Python binding reads weights from files only.
    with tempfile.TemporaryDirectory(prefix="vsr-") as folder:
        param, model = Path(folder, "net.param"), Path(folder, "net.bin")
        param.write_text(text, encoding="ascii")
        model.write_bytes(weights)
        if net.load_param(str(param)) != 0 or net.load_model(str(model)) != 0:
            raise BrokenWeights("ncnn does not take this network")
    return net


def run_net(net: Any, x: Tensor, unshuffle: int, *, shared: bool) -> Tensor:
    """Map (N, 3, H, W) -> (N, 3, scale * H, scale * W), one picture after the other.

    `unshuffle`: of the pixels before it. Unless memory is `shared` with the processor,
    pictures and results are copied: a GPU may fetch the one when it is gone, and use what the other
    lies in for the next. Raises MemoryError where ncnn gives up, and VsrError where a GPU does.
    """
    import ncnn

    if unshuffle > 1:
        x = F.pixel_unshuffle(x, unshuffle)
    results = []
    for picture in x:
        extractor = net.create_extractor()
        # Borrowed, not copied: `planes` has to live until the result is there.
        planes = picture.contiguous().numpy()
        given = ncnn.Mat(planes)
        extractor.input(INPUT, given if shared else given.clone())
        code, out = extractor.extract(OUTPUT)
        if code == _NO_MEMORY or (code != 0 and shared):
            raise MemoryError(f"ncnn gave up with code {code}")
        if code != 0:  # smaller pieces would not help: its driver has reset it, say
            raise VsrError(f"gave up (ncnn: {code})")
        # What is not copied keeps `out` alive.
        results.append(torch.from_numpy(np.asarray(out) if shared else np.array(out)))
    return torch.stack(results) if len(results) > 1 else results[0].unsqueeze(0)
