"""The CUDA engine's kernels on the host, with its own plans, packing and launches."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tests.support.cuda.host import build
from tests.support.cuda.watched import Array, Buffer, HostFault, WatchedMachine, buffer_of
from vsr.engine.cuda.engine import pieces_of, source
from vsr.engine.cuda.launch import DeviceBatch, LaunchPlan
from vsr.engine.cuda.tile_tables import SubImage
from vsr.engine.kernel_launch import Launch


@dataclass
class Drawn:
    """What a network made of some pictures, and what was counted on the way."""

    planes: Tensor
    wavefronts: Counter[str]
    ideal: Counter[str]


@functools.cache
def _image(text: str, options: tuple[str, ...]) -> bytes:
    return build.kernels(text, options)


def draw(plan: LaunchPlan, x: Tensor, processors: int) -> Drawn:
    """(N, 3, H, W) fp32 through a plan on the CPU, on a GPU of so many multiprocessors.

    Raises HostFault for races, for reads of what was not written and for outputs that are
    written twice or not at all.
    """
    made = draw_pieces(plan, x, pieces_of(list(x)), processors)
    count, _, height, width = x.shape
    made.planes = made.planes.view(count, 3, height * plan.scale, width * plan.scale)
    return made


def draw_pieces(
    plan: LaunchPlan, whole: Tensor, pieces: list[SubImage], processors: int, room: int = 0
) -> Drawn:
    """Pictures of any sizes, likewise, whose offsets count from `whole`'s first number.

    Their planes come one after the other. `room`: pixels that there is scratch memory for; 0: just
    theirs.
    """
    pixels = sum(piece.pixels for piece in pieces)
    room = room or pixels
    # NaN, wherever nothing is written.
    scratch = torch.full((plan.scratch * room,), torch.nan, dtype=torch.float16)
    planes = torch.full((3 * pixels * plan.scale**2,), torch.nan)
    tables = plan.tables(pieces, processors)
    batch = DeviceBatch(
        pixels=room, tables=tables.at(tables.words.ctypes.data), picture=whole.data_ptr(),
        planes=planes.data_ptr(), scratch=scratch.data_ptr(),
    )  # fmt: skip
    tables_at = Buffer(tables.words.ctypes.data, tables.words.nbytes)
    reads = [tables_at, *(buffer_of(t) for t in (whole, *_tensors(vars(plan))) if t.numel())]
    writes = [Buffer(t.data_ptr(), t.nbytes) for t in (scratch, planes)]
    image, machine = _image(source(plan.sources), plan.options), WatchedMachine()
    for launch in plan.launches(batch, processors):
        written = machine.run(launch, image, reads, writes)
        if not np.array_equal(written, np.sort(_output(launch, batch, pixels, planes))):
            raise HostFault(
                f"{launch.kernel} leaves a part unwritten, or writes what is not its own"
            )
    return Drawn(planes, machine.wavefronts, machine.ideal)


_SIDES = {"tiles": 1, "double": 2, "whole": 4}  # of RRDBNet's maps, by what they are cut into


def _output(launch: Launch, batch: DeviceBatch, pixels: int, planes: Tensor) -> Array:
    """Addresses of all 4-byte words that a launch has to write."""
    given = launch.arguments
    if launch.kernel == "last":
        return planes.data_ptr() + 4 * np.arange(planes.numel())
    start, units = {
        "first": (given[3], given[4]), "middle": (given[1], 8), "mix": (given[3], given[4]),
    }.get(launch.kernel, (given[4], given[5]))  # fmt: skip
    if launch.kernel != "first":
        pixels *= next(n for name, n in _SIDES.items() if batch.tables[name].at == given[-1]) ** 2
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
