"""What is handed to a GPU: kernels, their arguments, and the plan that names them for a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from vsr.engine.cuda.tile_tables import SubImage, TileTable, TileTables
from vsr.engine.kernel_launch import Launch

# Of each kernel's parameters, see `Launch`.
SIGNATURES = {
    "first": "ppppippp",
    "middle": "pppppp",
    "last": "ppppppp",
    "grow": "piiipipppp",
    "wide": "piiipipppp",
    "mix": "piipipppipipp",
}


@dataclass(frozen=True, kw_only=True)
class DeviceBatch:
    """Pictures, where they come from and go to. Addresses are of the device."""

    pixels: int  # that there is room for in `scratch`; of all pictures or more
    tables: dict[str, TileTable]  # of the pictures, made by the plan
    picture: int  # fp32; what the pictures' offsets count from
    planes: int  # of each picture (3, scale * height, scale * width) fp32, one after the other
    scratch: int  # as many fp16 as the plan asks for


class LaunchPlan(Protocol):
    """A network whose numbers are on a device, and how it is run there."""

    scale: int
    sources: tuple[str, ...]  # files of this folder, one after the other
    options: tuple[str, ...]  # that they are compiled with
    kernels: tuple[str, ...]
    short_sums: bool  # whether some are fp16, which can be seen in the last bits of a result
    scratch: int  # fp16 numbers that it works in, for each source pixel
    max_pixels: int  # over a batch; beyond it 32 bits do not count everything

    def tables(self, pieces: Sequence[SubImage], processors: int) -> TileTables:
        """Return the tables of these pictures, for a GPU of so many multiprocessors."""

    def launches(self, batch: DeviceBatch, processors: int) -> Iterator[Launch]:
        """Return the launches in order, on a GPU of so many multiprocessors."""
