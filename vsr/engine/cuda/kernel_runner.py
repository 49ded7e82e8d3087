"""Runs kernels of our own, which a stage brings, on a CUDA device."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from vsr.engine.cuda.driver import Driver, Kernels
from vsr.engine.cuda.nvrtc import Nvrtc, compile_once
from vsr.engine.kernel_launch import KernelStep


@dataclass
class CudaKernelRunner:
    """Runs steps on one device. Raises KernelsUnavailable where it cannot be done."""

    device: torch.device
    _loaded: dict[tuple[str, ...], Kernels] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.driver = Driver()
        properties = torch.cuda.get_device_properties(self.device)
        self.processors = properties.multi_processor_count
        self._architecture = 10 * properties.major + properties.minor

    def __call__(self, step: KernelStep) -> None:
        """Queue it on PyTorch's current stream."""
        with torch.cuda.device(self.device):
            kernels = self._kernels(step)
            kernels.run(step.launch, torch.cuda.current_stream(self.device).cuda_stream)

    def prepared(self, step: KernelStep) -> Callable[[int, Mapping[int, int]], None]:
        """Return what queues it on PyTorch's current stream, as `PreparedLaunch.run`."""
        with torch.cuda.device(self.device):
            launch = self._kernels(step).prepared(step.launch)

        def run(grid: int, changed: Mapping[int, int]) -> None:
            launch.run(torch.cuda.current_stream(self.device).cuda_stream, grid, changed)

        return run

    def describe(self, text: str) -> str:
        """Return all that decides on what kernels of that text compute here."""
        return surroundings(self.device, text)

    def _kernels(self, step: KernelStep) -> Kernels:
        key = (step.package, step.launch.kernel, *step.options)
        if key not in self._loaded:
            code = compile_once(
                Nvrtc(), step.text,
                architecture=self._architecture, options=step.options,
            )  # fmt: skip
            names = (step.launch.kernel,)
            number = self.device.index or 0
            self._loaded[key] = Kernels(self.driver, number, code.image, names)
        return self._loaded[key]


def surroundings(device: torch.device, text: str) -> str:
    """Return the GPU, and all that kernels of that text go through."""
    kernels = hashlib.sha256(text.encode()).hexdigest()[:16]
    return " ".join((
        torch.cuda.get_device_name(device), f"driver {Driver().version()}",
        f"torch {torch.__version__}", f"nvrtc {Nvrtc().version}", f"kernels {kernels}",
    ))  # fmt: skip
