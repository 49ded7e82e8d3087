"""The kernels that convert colours, on the host, launched as on a GPU."""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tests.support.cuda.host import build
from tests.support.cuda.watched import Buffer, HostFault, WatchedMachine, buffer_of
from vsr.engine.kernel_launch import KernelStep
from vsr.stages.colour.cuda_backend import CudaColourBackend


@functools.cache
def _image(text: str, options: tuple[str, ...]) -> bytes:
    return build.kernels(text, options)


@dataclass
class HostRunner:
    """Stands in for `KernelRunner`. `plant`: a pattern in the kernels, and what stands there.

    Raises HostFault for races, for reads of what was not handed over and for outputs that are
    written twice or not at all.
    """

    plant: tuple[str, str] | None = None
    steps: list[KernelStep] = field(default_factory=list)
    _machine: WatchedMachine = field(default_factory=WatchedMachine)

    @property
    def wavefronts(self) -> Counter[str]:
        """Return those of all launches."""
        return self._machine.wavefronts

    @property
    def ideal(self) -> Counter[str]:
        """Return how many there would be without a bank that is waited for."""
        return self._machine.ideal

    def backend(self, processors: int = 2) -> CudaColourBackend:
        """On a GPU of so many multiprocessors."""
        return CudaColourBackend(self, processors, _poisoned)

    def __call__(self, step: KernelStep) -> None:
        text = step.text
        if self.plant is not None:
            text, times = re.subn(*self.plant, text)
            assert times == 1
        reads = [buffer_of(one) for one in step.reads]
        writes = [Buffer(one.data_ptr(), one.nbytes, one.itemsize) for one in step.writes]
        written = self._machine.run(step.launch, _image(text, step.options), reads, writes)
        expected = [one.begin + np.arange(0, one.size, one.unit) for one in writes]
        if not np.array_equal(written, np.sort(np.concatenate(expected))):
            raise HostFault(f"{step.launch.kernel} leaves a part unwritten")
        self.steps.append(step)


def _poisoned(*size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """NaN, of floats."""
    made = torch.empty(*size, dtype=dtype, device=device)
    return made.view(torch.uint8).fill_(0xFF).view(dtype)
