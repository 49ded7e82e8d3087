"""The ends' kernels on the PTX machine, launched as on a GPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tests.support.cuda.ptx import Machine
from tests.support.cuda.ptx_memory import Array, GlobalMemory, PtxError
from tests.support.cuda.ptx_program import Program, parse
from vsr.engine.cuda.nvrtc import Nvrtc
from vsr.engine.kernel_launch import KernelStep
from vsr.stages.colour.cuda_backend import CudaColourBackend

PROCESSORS = 2


@functools.cache
def program(text: str, options: tuple[str, ...]) -> Program:
    """A step's kernel, for sm_80, in PTX."""
    (kernel,) = parse(Nvrtc().ptx(text, architecture=80, options=options)).values()
    return kernel


@dataclass
class Emulator:
    """Stands in for `KernelRunner`. `find`: makes a program of a kernel's text.

    Raises PtxError for races, for reads of what was not handed over and for outputs that are
    written twice or not at all.
    """

    find: Callable[[str, tuple[str, ...]], Program] = program
    steps: list[KernelStep] = field(default_factory=list)
    wavefronts: dict[str, int] = field(default_factory=dict)
    ideal: dict[str, int] = field(default_factory=dict)

    def backend(self, processors: int = 2) -> CudaColourBackend:
        """On a GPU of so many multiprocessors."""
        return CudaColourBackend(self, processors, _poisoned)

    def __call__(self, step: KernelStep) -> None:
        launch = step.launch
        memory = GlobalMemory([_whole(one) for one in step.reads], *map(_numbers, step.writes))
        machine = Machine(
            self.find(step.text, step.options), memory,
            blocks=launch.grid, threads=launch.threads, dynamic=launch.shared,
        )  # fmt: skip
        machine.run(launch.arguments)
        expected = [one.data_ptr() + one.itemsize * np.arange(one.numel()) for one in step.writes]
        if not np.array_equal(np.sort(memory.written_at()), np.sort(np.concatenate(expected))):
            raise PtxError(f"{launch.kernel} leaves a part unwritten")
        self.steps.append(step)
        for kind, times in machine.shared.wavefronts.items():
            self.wavefronts[kind] = self.wavefronts.get(kind, 0) + times
            self.ideal[kind] = self.ideal.get(kind, 0) + machine.shared.ideal[kind]


def _poisoned(*size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """NaN, of floats."""
    made = torch.empty(*size, dtype=dtype, device=device)
    return made.view(torch.uint8).fill_(0xFF).view(dtype)


def _whole(tensor: Tensor) -> Array:
    """Of a view, all that it is a view of."""
    return _numbers(torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage()))


def _numbers(tensor: Tensor) -> Array:
    return tensor.numpy()
