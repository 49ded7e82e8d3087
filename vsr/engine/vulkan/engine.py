"""The network on any GPU that has a Vulkan driver, through the ncnn runtime.

Sums are in 32 bits; weights and feature maps are stored in 16, which is 65 dB from fp32 on
animevideov3 (57 with sums in 16 bits) and 58 on 6B, or in 32. Pictures are on the host: colour,
resizing and all else is done there.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vsr.engine.memory import bytes_per_pixel
from vsr.engine.ncnn_engine import MAPS, load_net, run_net
from vsr.engine.trial_cache import remember
from vsr.errors import VsrError
from vsr.nets.network import Network
from vsr.options import EngineName

_SOFTWARE = 3  # ncnn's number for it
_APART = 0.5  # of the picture's own power: more is not that picture
_LITTLE = 1e-4  # 2.5 of 255: a network makes as much of black
_SHARE = 0.6  # of the GPU's memory; other programs draw with it, too


class VulkanEngine:
    """Runs a `Network` on the Vulkan GPU number `index`. Raises ImportError without ncnn.

    What drivers do wrong can end the process: try it in another one first (`trial`).
    """

    name = "vulkan"
    pinned_name: EngineName = "vulkan"
    device = torch.device("cpu")  # where its pictures are
    dtype = torch.float32  # of its pictures

    def __init__(
        self, network: Network, index: int, *, precision: str = "fp16", trial: str = ""
    ) -> None:
        """Load `network` onto the GPU. `trial`: the description of what `auto` takes it by."""
        ncnn = _instance()
        self.index, self.precision, self._trial = index, precision, trial
        self.label = ncnn.get_gpu_info(index).device_name()
        self.scale = network.scale
        self.multiple = network.multiple
        self._unshuffle = network.unshuffle
        self.receptive_radius = network.receptive_radius
        self.sees_whole = network.sees_whole
        half = precision == "fp16"
        inside = torch.float16 if half else torch.float32
        budget = ncnn.get_gpu_device(index).get_heap_budget() * 2**20
        self.max_pixels = fitting_pixels(network, inside, budget)
        self._host_bytes = bytes_per_pixel(network, self.dtype, maps=0)

        def settings(net: Any) -> None:
            net.opt.use_vulkan_compute = True
            net.opt.use_fp16_packed = net.opt.use_fp16_storage = half
            net.opt.use_fp16_arithmetic = False
            net.opt.use_bf16_packed = net.opt.use_bf16_storage = False
            net.set_vulkan_device(index)

        self._net = load_net(network, settings)
        weakref.finalize(self, self._net.clear)

    def __call__(self, x: Tensor) -> Tensor:
        """See `Engine`. Raises VsrError where the GPU gives up, or computes now this, now that."""
        result = self._upscaled(x)
        if _shows(result, x):
            return result
        # Zeros for a picture, and no error: Mesa's driver in software did that twice.
        again = self._upscaled(x)
        if _shows(again, x) or torch.equal(result, again):  # or the network is like that
            return again
        raise self._failure("computes something else each time")

    def _upscaled(self, x: Tensor) -> Tensor:
        try:
            return run_net(self._net, x, self._unshuffle, shared=False)
        except VsrError as error:
            raise self._failure(error.text) from error

    def _failure(self, words: str) -> VsrError:
        """Return what ends the run; `auto` does without this GPU from now on, for a month."""
        if self._trial:
            remember(self._trial, False, f"has failed at work ({words})")
        return VsrError(
            f"{self.label} {words}; the same command goes on where it was on the processor, "
            "with <device.device> cpu and <device.precision> fp32"
        )

    def bytes_for(self, pixels: int) -> int:
        """See `Engine`; that of the host."""
        return pixels * self._host_bytes

    def fall_back_to_fp32(self) -> bool:
        """See `Engine`."""
        return False


def _shows(result: Tensor, x: Tensor) -> bool:
    """Return whether (N, 3, s*H, s*W) is about what (N, 3, H, W) is; so is what is no number."""
    times = result.shape[3] // x.shape[3]
    seen = result[:, :, times // 2 :: times, times // 2 :: times]
    apart, power = (seen - x).square().mean(), x.square().mean()
    return not bool(apart > _APART * power + _LITTLE)


def fitting_pixels(network: Network, inside: torch.dtype, budget: int) -> int:
    """Return source pixels that a GPU with `budget` bytes of free memory takes at once."""
    fitting = int(budget * _SHARE) // bytes_per_pixel(network, inside, maps=MAPS)
    return max(min(fitting, (2**31 - 1) // network.widest), 1)


def gpus() -> list[dict[str, Any]]:
    """Return what Vulkan sees: number, name and driver of each GPU, and of what kind it is.

    `kind`: 0 a card, 1 in the processor, 2 of a virtual machine, 3 `software`, 4 something else.
    """
    ncnn = _instance()
    found = []
    for index in range(ncnn.get_gpu_count()):
        info = ncnn.get_gpu_info(index)
        found.append({
            "index": index, "name": info.device_name(),
            "kind": info.type() % 5, "software": info.type() == _SOFTWARE,
            "driver": f"{info.vendor_id():x}:{info.device_id():x} {info.driver_version()}",
        })  # fmt: skip
    return found


@functools.cache
def _instance() -> Any:
    """Return the package, with its one instance of Vulkan made; that is given back at the end."""
    import ncnn

    with _hushed():
        ncnn.create_gpu_instance()
    # Finalizers run in the reverse order of their making: those of engines first.
    weakref.finalize(ncnn, ncnn.destroy_gpu_instance)
    return ncnn


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep what the library prints of each GPU from the user's terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
