"""The CUDA engine's kernels on the PTX machine, with the engine's own packing and launches."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tests.engine.ptx import Machine
from tests.engine.ptx_memory import GlobalMemory, PtxError
from tests.engine.ptx_program import Program, parse
from vsr.engine.cuda.compact import source
from vsr.engine.cuda.nvrtc import Nvrtc
from vsr.engine.cuda.pack import pack
from vsr.engine.cuda.schedule import Batch, launches
from vsr.engine.cuda.tiling import Tiling
from vsr.nets.srvgg import SRVGGNetCompact

_OUTPUT = {"first": 5, "middle": 1, "last": 6}  # of each kernel's arguments


@dataclass
class Emulated:
    """What a network made of some pictures, and what was counted on the way."""

    planes: Tensor
    wavefronts: dict[str, int] = field(default_factory=dict)
    ideal: dict[str, int] = field(default_factory=dict)


@functools.cache
def programs(tiling: Tiling, scale: int) -> dict[str, Program]:
    return parse(Nvrtc().ptx(source(), architecture=80, options=tiling.options(scale)))


def emulate(network: SRVGGNetCompact, x: Tensor, tiling: Tiling, processors: int) -> Emulated:
    """(N, 3, H, W) fp32 through the kernels, on a GPU of so many multiprocessors.

    Raises PtxError for races, for reads of what was not written and for outputs that are
    written twice or not at all.
    """
    packed = pack(network, torch.device("cpu"))
    count, _, height, width = x.shape
    features = [torch.empty(count, height, width, 64, dtype=torch.float16) for _ in range(2)]
    planes = torch.empty(count, 3, height * packed.scale, width * packed.scale)
    batch = Batch(
        count=count, height=height, width=width, picture=x.data_ptr(), strides=x.stride(),
        planes=planes.data_ptr(), features=(features[0].data_ptr(), features[1].data_ptr()),
    )  # fmt: skip
    layers = (packed.first, *packed.middle, packed.last)
    numbers = [t for layer in layers for t in (layer.weights, layer.bias, layer.slope)]
    # Of a view, all that it is a view of.
    whole = torch.empty(0).set_(x.untyped_storage())
    made = Emulated(planes=planes)
    for launch in launches(packed, tiling, batch, processors):
        (output,) = (
            t
            for t in (*features, planes)
            if t.data_ptr() == launch.arguments[_OUTPUT[launch.kernel]]
        )
        inputs = [t.numpy() for t in (whole, *features, *numbers) if t is not output and t.numel()]
        poisoned = output.numpy()
        poisoned.view(np.uint8)[...] = 0xFF
        memory = GlobalMemory(inputs, poisoned)
        machine = Machine(
            programs(tiling, packed.scale)[launch.kernel], memory,
            blocks=launch.grid, threads=launch.threads, dynamic=launch.shared,
        )  # fmt: skip
        machine.run(launch.arguments)
        if not memory.written.all():
            raise PtxError(f"{launch.kernel} leaves a part of its output unwritten")
        for kind, times in machine.shared.wavefronts.items():
            made.wavefronts[kind] = made.wavefronts.get(kind, 0) + times
            made.ideal[kind] = made.ideal.get(kind, 0) + machine.shared.ideal[kind]
    return made
