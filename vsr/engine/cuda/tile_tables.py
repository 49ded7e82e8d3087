"""What kernels find their way by: pictures of any sizes, one after the other, and their tiles.

All in 32-bit words, as `tile_at` and `piece_of` in `common.cu` read them. A tile is 4 words: its
first pixel, counted over all pictures; its picture's width; which rows and columns of it, and of
the one pixel around it, are in the picture (a byte each: from, to); picture and column / 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.int32]

MAX_IMAGES = 1 << 16  # pictures, at once


@dataclass(frozen=True, kw_only=True)
class SubImage:
    """A picture that is upscaled by itself: its size, and where it lies."""

    height: int
    width: int
    offset: int  # of its first number from the batch's, in numbers
    strides: tuple[int, int, int]  # of colour, row and column, in numbers

    @property
    def pixels(self) -> int:
        """Return how many pixels the picture has."""
        return self.height * self.width


@dataclass(frozen=True, kw_only=True)
class TileTable:
    """One of them on the device."""

    at: int  # address
    count: int  # of tiles or pictures


@dataclass(frozen=True, kw_only=True)
class TileTables:
    """All that a plan asks for, one behind the other."""

    words: Words
    starts: dict[str, tuple[int, int]]  # of each: its first word, and how many entries count

    def at(self, address: int) -> dict[str, TileTable]:
        """Return the tables as they lie where `words` are copied to."""
        return {
            name: TileTable(at=address + 4 * start, count=count)
            for name, (start, count) in self.starts.items()
        }


def together(named_tables: dict[str, tuple[Words, int]]) -> TileTables:
    """Put tables, and the number of entries that count in each, one behind the other."""
    starts: dict[str, tuple[int, int]] = {}
    start = 0
    for name, (words, count) in named_tables.items():
        starts[name] = (start, count)
        start += words.size
    return TileTables(
        words=np.concatenate([w.reshape(-1) for w, _ in named_tables.values()]), starts=starts
    )


def tiles_of(
    pieces: Sequence[SubImage], tall: int, wide: int, *, times: int = 1, blocks: int = 0
) -> tuple[Words, int]:
    """Return tiles of `tall` x `wide` pixels of pictures that are `times` as large as `pieces`.

    Along rows, rows of tiles down the pictures. Behind them are as many of no tile as blocks that
    go from one to the next, and look two ahead, may come to: 2 * `blocks`.
    """
    sizes = np.array([(p.height, p.width) for p in pieces]).reshape(-1, 2) * times
    height, width = sizes.T
    across, down = -(-width // wide), -(-height // tall)
    counts = across * down
    of = np.repeat(np.arange(len(pieces)), counts)
    within = np.arange(of.size) - np.repeat(np.cumsum(counts) - counts, counts)
    y, x = within // across[of] * tall, within % across[of] * wide
    ahead = np.cumsum(height * width) - height * width
    made = np.zeros((of.size + 2 * blocks, 4), np.int64)
    own = made[: of.size]
    own[:, 0] = ahead[of] + y * width[of] + x
    own[:, 1] = width[of]
    own[:, 2] = _edges(y, height[of], tall) | _edges(x, width[of], wide) << 16
    own[:, 3] = of | x // 16 << 16
    return made.astype(np.uint32).view(np.int32), of.size


def _edges(start: NDArray[np.int64], size: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Return from where to where `side` + 2 pixels reach, the first of which is the one before
    `start`.
    """
    begin: NDArray[np.int64] = (start == 0).astype(np.int64)
    end: NDArray[np.int64] = np.minimum(size - start + 1, side + 2)
    return begin | end << 8


def sources_of(
    pieces: Sequence[SubImage], *, times: int = 1, empty: bool = False
) -> tuple[Words, int]:
    """Return where pictures `times` as large lie, 8 words each; `empty`: one number stands for
    them all.

    Its offset, in two; strides of colour, row and column; pixels before it, pixels of it.
    """
    made = np.zeros((len(pieces), 8), np.int64)
    if not empty:
        made[:, 0] = [p.offset & 0xFFFFFFFF for p in pieces]
        made[:, 1] = [p.offset >> 32 for p in pieces]
        made[:, 2:5] = [p.strides for p in pieces]
    pixels = np.array([p.pixels for p in pieces]) * times**2
    made[:, 5], made[:, 6] = np.cumsum(pixels) - pixels, pixels
    return made.astype(np.uint32).view(np.int32), len(pieces)
