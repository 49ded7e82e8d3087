"""Bias and activation behind PyTorch's convolutions, in one kernel of ours (`activate.cu`).

PyTorch's two operations go through memory once each. The kernel goes once, and rounds where they
round, so a result does not tell which of them made it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.engine.cuda.kernel_runner import CudaKernelRunner
from vsr.engine.kernel_launch import KernelStep, Launch, kernel_text

AHEAD = 4  # units of a thread that are on their way together, as in the kernel
THREADS = 256
BLOCKS = 4  # that a multiprocessor has room for
UNIT = 16  # bytes
FORMATS = {torch.float16: 0, torch.bfloat16: 1, torch.float32: 2}
_SIGNATURE = "pppfii"
_FEATURES, _UNITS = 0, 4  # places in it
_PACKAGE = "vsr.engine.cuda.kernels"


class JoinedActivation:
    """Does what is behind a network's convolutions: a `Joined` of `vsr.nets.network`.

    For parameters that stay as they are. Raises KernelsUnavailable.
    """

    def __init__(self, run: CudaKernelRunner) -> None:
        self._run = run
        self._steps: dict[nn.Conv2d, Activation | None] = {}

    def __call__(self, conv: nn.Conv2d, x: Tensor, slope: Tensor | float) -> Tensor:
        """See `Joined`."""
        if conv not in self._steps:
            self._steps[conv] = self._step(conv, slope)
        step = self._steps[conv]
        if step is None or torch.is_grad_enabled():
            return activated(conv(x), slope)
        return step(F.conv2d(x, step.weight, None, 1, conv.padding))

    def _step(self, conv: nn.Conv2d, slope: Tensor | float) -> Activation | None:
        if conv.bias is None or not fits(conv.bias, slope):
            return None
        plain = conv.stride == conv.dilation == (1, 1) and conv.groups == 1
        return Activation(self._run, conv.weight, conv.bias, slope) if plain else None


class Activation:
    """The kernel behind one convolution; `weight` is that convolution's."""

    def __init__(
        self, run: CudaKernelRunner, weight: Tensor, bias: Tensor, slope: Tensor | float
    ) -> None:
        """Take a bias and slopes that `fits`."""
        self.weight = weight
        self._run, self._bias, self._slope = run, bias, slope
        self._of_pixel = bias.nbytes // UNIT
        self._queue: Callable[[int, Mapping[int, int]], None] | None = None

    def __call__(self, features: Tensor) -> Tensor:
        """Return what is made of (N, C, H, W) features, in their own memory if that can be."""
        if not lies_well(features):
            return apart(features, self._bias, self._slope)
        if self._queue is None:
            step = activating(features, self._bias, self._slope, self._run.processors)
            self._queue = self._run.prepared(step)
        units = features.numel() // (UNIT // features.element_size())
        grid = blocks(units, self._of_pixel, self._run.processors)
        self._queue(grid, {_FEATURES: features.data_ptr(), _UNITS: units})
        return features


def apart(features: Tensor, bias: Tensor, slope: Tensor | float) -> Tensor:
    """Return what PyTorch makes of it on CUDA, where it adds a bias behind the convolution."""
    return activated(features.add_(bias.view(1, -1, 1, 1)), slope)


def activated(features: Tensor, slope: Tensor | float) -> Tensor:
    """Return PyTorch's own PReLU or LeakyReLU of it."""
    if isinstance(slope, Tensor):
        return F.prelu(features, slope)
    return F.leaky_relu(features, slope, inplace=True)


def fits(bias: Tensor, slope: Tensor | float) -> bool:
    """Return whether the kernel has them: in whole units, and as many slopes as channels, or one
    that is a number.
    """
    own = [bias, slope] if isinstance(slope, Tensor) else [bias]
    return (
        bias.dtype in FORMATS
        and bias.nbytes % UNIT == 0
        and all(one.dtype is bias.dtype and one.shape == bias.shape for one in own)
        and all(one.data_ptr() % UNIT == 0 for one in own)
    )


def lies_well(features: Tensor) -> bool:
    """Return whether channels lie beside each other, in as many numbers as 32 bits count."""
    return (
        features.is_contiguous(memory_format=torch.channels_last)
        and features.data_ptr() % UNIT == 0
        and 0 < features.numel() < 2**31
    )


def activating(
    features: Tensor, bias: Tensor, slope: Tensor | float, processors: int
) -> KernelStep:
    """Add `bias` (C,) to `features` (N, C, H, W), and take the PReLU, in place.

    They have to be what `fits` and `lies_well`.
    """
    many = isinstance(slope, Tensor)
    numbers = UNIT // features.element_size()
    units, of_pixel = features.numel() // numbers, features.shape[1] // numbers
    launch = Launch(
        kernel="activate",
        signature=_SIGNATURE,
        grid=blocks(units, of_pixel, processors),
        threads=THREADS,
        shared=0,
        arguments=(
            features.data_ptr(), bias.data_ptr(),
            *((slope.data_ptr(), 0.0) if isinstance(slope, Tensor) else (0, slope)),
            units, of_pixel,
        ),
    )  # fmt: skip
    return KernelStep(
        package=_PACKAGE,
        options=(f"-DFORMAT={FORMATS[features.dtype]}", f"-DMANY={int(many)}", "--std=c++17"),
        launch=launch,
        reads=(bias, slope) if isinstance(slope, Tensor) else (bias,),
        writes=(features,),
    )


def blocks(units: int, of_pixel: int, processors: int) -> int:
    """Return as many as there is room for, or work, and such that a thread keeps its channels."""
    wanted = min(BLOCKS * processors, -(-units // THREADS))
    step = of_pixel // math.gcd(of_pixel, THREADS)
    return -(-wanted // step) * step


def text() -> str:
    """Return the kernel's text."""
    return kernel_text(_PACKAGE, "activate.cu")
