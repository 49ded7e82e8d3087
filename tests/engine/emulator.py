"""The CUDA engine's kernels on the PTX machine, with its own plans, packing and launches."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tests.engine.ptx import Machine
from tests.engine.ptx_memory import Array, GlobalMemory, PtxError
from tests.engine.ptx_program import Program, parse
from vsr.engine.cuda.engine import source
from vsr.engine.cuda.launch import Batch, Launch, Plan
from vsr.engine.cuda.nvrtc import Nvrtc


@dataclass
class Emulated:
    """What a network made of some pictures, and what was counted on the way."""

    planes: Tensor
    wavefronts: dict[str, int] = field(default_factory=dict)
    ideal: dict[str, int] = field(default_factory=dict)


@functools.cache
def programs(names: tuple[str, ...], options: tuple[str, ...]) -> dict[str, Program]:
    """The kernels of a plan, for sm_80, in PTX."""
    return parse(Nvrtc().ptx(source(names), architecture=80, options=options))


def emulate(plan: Plan, x: Tensor, processors: int) -> Emulated:
    """(N, 3, H, W) fp32 through a plan on the CPU, on a GPU of so many multiprocessors.

    Raises PtxError for races, for reads of what was not written and for outputs that are
    written twice or not at all.
    """
    count, _, height, width = x.shape
    # NaN, wherever nothing is written.
    scratch = torch.full((plan.scratch * count * height * width,), torch.nan, dtype=torch.float16)
    planes = torch.full((count, 3, height * plan.scale, width * plan.scale), torch.nan)
    batch = Batch(
        count=count, height=height, width=width, picture=x.data_ptr(), strides=x.stride(),
        planes=planes.data_ptr(), scratch=scratch.data_ptr(),
    )  # fmt: skip
    # Of a view, all that it is a view of.
    whole = torch.empty(0).set_(x.untyped_storage())
    numbers = [t.numpy() for t in (whole, *_tensors(vars(plan))) if t.numel()]
    made = Emulated(planes=planes)
    for launch in plan.launches(batch, processors):
        buffer = planes if launch.kernel == "last" else scratch
        memory = GlobalMemory(numbers, scratch.numpy(), planes.numpy())
        machine = Machine(
            programs(plan.sources, plan.options)[launch.kernel], memory,
            blocks=launch.grid, threads=launch.threads, dynamic=launch.shared,
        )  # fmt: skip
        machine.run(launch.arguments)
        expected = _output(launch, batch, buffer)
        if not np.array_equal(np.sort(memory.written_at()), np.sort(expected)):
            raise PtxError(
                f"{launch.kernel} leaves a part unwritten, or writes what is not its own"
            )
        for kind, times in machine.shared.wavefronts.items():
            made.wavefronts[kind] = made.wavefronts.get(kind, 0) + times
            made.ideal[kind] = made.ideal.get(kind, 0) + machine.shared.ideal[kind]
    return made


def _output(launch: Launch, batch: Batch, buffer: Tensor) -> Array:
    """Addresses of all 4-byte words that a launch has to write."""
    given = launch.arguments
    if launch.kernel == "last":
        return buffer.data_ptr() + 4 * np.arange(buffer.numel())
    start, units = {
        "first": (given[5], given[6]), "middle": (given[1], 8), "mix": (given[3], given[4]),
    }.get(launch.kernel, (given[4], given[5]))  # fmt: skip
    pixels = int(np.prod(given[-3:]))
    words = 16 if launch.kernel == "grow" else 32
    return (start + 16 * units * np.arange(pixels)[:, None] + 4 * np.arange(words)).reshape(-1)


def _tensors(value: object) -> list[Tensor]:
    """All tensors in a plan's attributes, however deep."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for one in value.values() for t in _tensors(one)]
    if isinstance(value, list | tuple):
        return [t for one in value for t in _tensors(one)]
    return _tensors(vars(value)) if hasattr(value, "__dict__") else []
