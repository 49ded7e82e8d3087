"""Global and shared memory of the PTX machine, which raise for what a GPU would pass over.

Shared memory is kept in units of the size in which a kernel uses it: 16 bytes, or 8 or 4. Each
unit knows whether it holds something that its reader may rely on:

    EMPTY    nothing was ever written there
    FLYING   cp.async was issued and not yet waited for
    LANDED   written, but no barrier since: other threads may or may not see it
    SEEN     valid for everybody
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
EMPTY, FLYING, LANDED, SEEN = range(4)


class PtxError(Exception):
    """The program did what it must not do."""


class GlobalMemory:
    """Buffers, at their own addresses: some are only read, some may be written.

    What a thread writes may have been read by that thread before, and by no other, since blocks
    run in any order.
    """

    def __init__(self, inputs: Sequence[Array], *outputs: Array) -> None:
        """Contiguous arrays of 4-byte words, or of what can be seen as such, or of 1 or 2 bytes."""
        self._buffers = [_Buffer(array, output=True) for array in outputs]
        self._buffers += [_Buffer(array, output=False) for array in inputs]

    def load(self, threads: Array, address: Array, words: int, size: int = 4) -> Array:
        """(threads,) -> (threads, words) uint32, or words of 1 or 2 bytes."""
        buffer, index = self._find(address, words, size)
        if buffer.writer is not None:
            writer, reader = buffer.writer[index], buffer.reader[index]
            own = threads[:, None]
            if ((writer >= 0) & (writer != own)).any():
                raise PtxError("an output is read that another thread has written")
            buffer.reader[index] = np.where((reader == -1) | (reader == own), own, -2)
            # Two threads of this very access may have read one word.
            buffer.reader[index[buffer.reader[index] != own]] = -2
        return buffer.words[index]

    def store(self, threads: Array, address: Array, values: Array) -> None:
        """`values`: (threads, words), of 4, 2 or 1 bytes."""
        buffer, index = self._find(address, values.shape[1], values.itemsize)
        if buffer.writer is None:
            raise PtxError("an input is written to")
        if (buffer.writer[index] >= 0).any() or np.unique(index).size != index.size:
            raise PtxError("one place in global memory is written twice")
        if ((buffer.reader[index] != -1) & (buffer.reader[index] != threads[:, None])).any():
            raise PtxError("an output is written that another thread may be reading")
        buffer.writer[index] = threads[:, None]
        buffer.words[index] = values

    def written_at(self) -> Array:
        """The addresses of all words that were written."""
        return np.concatenate(
            [
                b.start + b.words.itemsize * np.flatnonzero(b.writer >= 0)
                for b in self._buffers
                if b.writer is not None
            ]
        )

    def _find(self, address: Array, words: int, size: int) -> tuple[_Buffer, Array]:
        if (address % (size * words)).any():
            raise PtxError("a global access is not aligned")
        first = int(address[0])
        for buffer in self._buffers:
            if buffer.start <= first < buffer.start + buffer.words.nbytes:
                if buffer.words.itemsize != size:
                    raise PtxError(f"{size} bytes of an array of {buffer.words.itemsize}")
                offset = address.astype(np.int64) - buffer.start
                index = (offset // size)[:, None] + np.arange(words)
                if index.min() < 0 or index.max() >= buffer.words.size:
                    raise PtxError("out of a buffer's bounds")
                return buffer, index
        raise PtxError(f"address {first:#x} is nobody's")


class _Buffer:
    """An array, and who has read and written which word of it: threads, -1 nobody, -2 several."""

    def __init__(self, array: Array, *, output: bool) -> None:
        flat = array.reshape(-1)
        small = flat.dtype in (np.uint8, np.uint16)
        self.words = flat if small else flat.view(np.uint32)
        self.start = int(self.words.__array_interface__["data"][0])
        self.writer = np.full(self.words.size, -1) if output else None
        self.reader = np.full(self.words.size if output else 0, -1)


@dataclass
class _Copy:
    """What some threads have asked cp.async for, and nobody has waited for yet."""

    threads: Array
    groups: Array  # of each thread
    units: Array
    data: Array


@dataclass
class _Landed:
    """Written since the last barrier."""

    warps: Array
    units: Array


@dataclass
class SharedMemory:
    """All blocks' shared memory, one after the other; a unit's index says whose it is."""

    blocks: int
    threads: int  # of a block
    size: int  # bytes of a block
    unit: int = 16  # bytes that an access has
    wavefronts: dict[str, int] = field(default_factory=dict)  # by kind of access
    ideal: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._units = -(-self.size // self.unit)
        count = self.blocks * self._units
        self._data = np.full((count, self.unit // 4), 0xFFFFFFFF, np.uint32)
        self._state = np.full(count, EMPTY, np.uint8)
        self._epoch = np.zeros(self.blocks, np.int64)  # barriers that a block has passed
        self._read_in = np.full(count, -1, np.int64)  # the epoch in which a unit was last read
        self._reader = np.full(count, -1, np.int64)  # the warp, -2: several
        threads = self.blocks * self.threads
        self._group = np.zeros(threads, np.int64)  # cp.async groups that a thread has committed
        self._flying: list[_Copy] = []
        self._landed: list[_Landed] = []

    # --- access: `threads` are indexes over all blocks ---

    def load(self, threads: Array, address: Array, kind: str) -> Array:
        """(threads,) -> (threads, words of a unit) uint32."""
        units = self._find(threads, address)
        state = self._state[units]
        if (state != SEEN).any():
            words = {EMPTY: "uninitialised", FLYING: "in flight", LANDED: "before a barrier"}
            raise PtxError(f"shared memory is read {words[int(state[state != SEEN][0])]}")
        self._count(threads, units, kind)
        epoch, warps = self._epoch[threads // self.threads], threads // 32
        alone = (self._read_in[units] != epoch) | (self._reader[units] == warps)
        self._read_in[units] = epoch
        self._reader[units] = np.where(alone, warps, -2)
        # Two warps of this very access may have read one unit.
        self._reader[units[self._reader[units] != np.where(alone, warps, -2)]] = -2
        return self._data[units]

    def store(self, threads: Array, address: Array, values: Array) -> None:
        units = self._take(threads, address)
        self._count(threads, units, "store")
        self._data[units] = values
        self._state[units] = LANDED
        self._landed.append(_Landed(threads // 32, units))

    def copy(self, threads: Array, address: Array, values: Array) -> None:
        """cp.async of 16 bytes."""
        units = self._take(threads, address)
        self._count(threads, units, "copy")
        self._state[units] = FLYING
        self._flying.append(_Copy(threads, self._group[threads], units, values))

    def commit(self, threads: Array) -> None:
        self._group[threads] += 1

    def wait(self, threads: Array, left: int) -> None:
        """cp.async.wait_group: all but the last `left` groups of each thread land."""
        waits = np.zeros(self._group.size, bool)
        waits[threads] = True
        flying = []
        for copy in self._flying:
            lands = waits[copy.threads] & (copy.groups < self._group[copy.threads] - left)
            self._data[copy.units[lands]] = copy.data[lands]
            self._state[copy.units[lands]] = LANDED
            self._landed.append(_Landed(copy.threads[lands] // 32, copy.units[lands]))
            if not lands.all():
                still = ~lands
                flying.append(
                    _Copy(
                        copy.threads[still], copy.groups[still],
                        copy.units[still], copy.data[still],
                    )
                )  # fmt: skip
        self._flying = flying

    def barrier(self, block: int) -> None:
        self._show(lambda landed: landed.units // self._units == block)
        self._epoch[block] += 1

    def warp_barrier(self, warps: Array) -> None:
        self._show(lambda landed: np.isin(landed.warps, warps))

    def end(self) -> None:
        """Raises PtxError where a kernel ends while copies are on their way."""
        if self._flying:
            raise PtxError("the kernel ends with copies in flight")

    # --- what is checked ---

    def _show(self, seen: Callable[[_Landed], Array]) -> None:
        left = []
        for landed in self._landed:
            now = seen(landed)
            units = landed.units[now]
            # A copy may have been issued over it meanwhile.
            self._state[units[self._state[units] == LANDED]] = SEEN
            if not now.all():
                left.append(_Landed(landed.warps[~now], landed.units[~now]))
        self._landed = left

    def _find(self, threads: Array, address: Array) -> Array:
        if (address % self.unit).any():
            raise PtxError("a shared access is not aligned")
        if (address >= self.size).any():
            raise PtxError("out of shared memory's bounds")
        own: Array = threads // self.threads * self._units + address.astype(np.int64) // self.unit
        return own

    def _take(self, threads: Array, address: Array) -> Array:
        """Units that are to be written; nobody else may be reading or writing them."""
        units = self._find(threads, address)
        if np.unique(units).size != units.size:
            raise PtxError("one place in shared memory is written by two threads")
        if (self._state[units] == FLYING).any() or (self._state[units] == LANDED).any():
            raise PtxError("shared memory is overwritten before a barrier")
        read = self._read_in[units] == self._epoch[threads // self.threads]
        if (read & (self._reader[units] != threads // 32)).any():
            raise PtxError("shared memory is overwritten while another warp may be reading it")
        return units

    def _count(self, threads: Array, units: Array, kind: str) -> None:
        """Wavefronts: as many threads at a time as fill 128 bytes, each in another part of them."""
        side = 128 // self.unit
        group = threads // side
        whole = np.bincount(group)[group] == side  # what parts of a warp do is not what decides
        if not whole.any():
            return
        units = np.sort(units[whole].reshape(-1, side), axis=1)
        banks = units % side
        once = np.bitwise_or.reduce(1 << banks, axis=1) == (1 << side) - 1
        times = np.ones(len(banks), np.int64)
        if not once.all():
            # What several threads read is read once.
            banks[:, 1:][units[:, 1:] == units[:, :-1]] = -1
            times = (banks[:, :, None] == np.arange(side)).sum(axis=1).max(axis=1)
        self.wavefronts[kind] = self.wavefronts.get(kind, 0) + int(times.sum())
        self.ideal[kind] = self.ideal.get(kind, 0) + len(banks)
