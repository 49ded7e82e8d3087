"""Launches of kernels on the host, of which every access to memory is watched.

What is read has to be handed over, and what is written has to be written whole, once, and by a
thread that shares it with no other: a GPU would pass over all of that.
"""

from __future__ import annotations

import ctypes
import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tests.support.cuda.host import build
from vsr.engine.cuda.driver import Driver, Kernels
from vsr.engine.kernel_launch import Launch

Array = NDArray[Any]
Compile = Callable[[str, Sequence[str]], bytes]
_ACCESSES = ("load", "store", "copy", "ldmatrix")  # to shared memory


class HostFault(Exception):
    """A kernel did what it must not do."""


@dataclass(frozen=True)
class Buffer:
    """Memory by its address; `unit`: bytes of what is written at once at the least."""

    begin: int
    size: int
    unit: int = 4


def buffer_of(tensor: Tensor) -> Buffer:
    """Return where a tensor's numbers are; of a view, all that it is a view of."""
    whole = tensor.untyped_storage()
    return Buffer(whole.data_ptr(), whole.nbytes(), tensor.itemsize)


@dataclass
class WatchedMachine:
    """Runs launches one by one, and counts wavefronts: accesses to shared memory by a whole warp.

    `ideal`: how many there would be if no bank had to be waited for. Raises HostFault for races,
    for reads of what was not handed over or not written, and for outputs that are written twice.
    """

    wavefronts: Counter[str] = field(default_factory=Counter)
    ideal: Counter[str] = field(default_factory=Counter)

    def run(
        self, launch: Launch, image: bytes, reads: Sequence[Buffer], writes: Sequence[Buffer]
    ) -> Array:
        """Return the addresses of all units that were written, in order."""
        lib = _library()
        lib.host_forget()
        lib.host_configure(227 << 10)  # the most that any GPU's block may have
        lib.machine_checks(1)
        kernels = _loaded(image, launch.kernel)
        lib.machine_counts(1)
        for writable, buffers in ((1, writes), (0, reads)):
            for one in buffers:
                lib.machine_watch(one.begin, one.size, one.unit, writable)
        try:
            kernels.run(launch, 0)
            if lib.host_sticky():
                raise HostFault(lib.machine_words().decode())
            written = [_written(lib.machine_writers(n), one) for n, one in enumerate(writes)]
        finally:
            lib.machine_unwatch()
            lib.machine_counts(0)
            lib.host_forget()
            self._count(lib)
        return np.sort(np.concatenate(written))

    def _count(self, lib: ctypes.CDLL) -> None:
        took, ideal = ((ctypes.c_long * len(_ACCESSES))() for _ in range(2))
        lib.machine_wavefronts(took, ideal)
        for counts, found in ((self.wavefronts, took), (self.ideal, ideal)):
            counts.update({kind: n for kind, n in zip(_ACCESSES, found, strict=True) if n})


def _written(writers: Any, one: Buffer) -> Array:
    found = np.ctypeslib.as_array(writers, (-(-one.size // one.unit),))
    return one.begin + one.unit * np.flatnonzero(found >= 0)


@functools.cache
def _library() -> ctypes.CDLL:
    lib = build.driver()
    lib.machine_watch.argtypes = (
        ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
    )  # fmt: skip
    lib.machine_writers.restype = ctypes.POINTER(ctypes.c_int)
    lib.machine_words.restype = ctypes.c_char_p
    return lib


@functools.lru_cache(maxsize=64)
def _loaded(image: bytes, kernel: str) -> Kernels:
    return Kernels(Driver(), 0, image, (kernel,))
