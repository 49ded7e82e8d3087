"""How a layer is cut up among the multiprocessors, for each kind of GPU."""

from __future__ import annotations

from dataclasses import dataclass, replace

_FEATURES = 64
_PASSES = 12  # stages of a tile: 3 columns of taps, 4 times 16 channels


@dataclass(frozen=True, kw_only=True)
class CompactTiling:
    """The constants that `compact.cu` is compiled with."""

    height: int  # of a tile, in pixels
    width: int  # a multiple of 16
    rows: int  # of 16 pixels, that a warp computes: 2 or 4
    stages: int  # of weights that are kept in shared memory; 12: all
    blocks: int = 1  # a multiprocessor
    unroll: int = 2  # stages that are one after the other in the program: 1, 2 or 4
    # Stages whose products `middle` adds up in fp16 before they join sums in fp32; 0: none.
    short: int = 0

    @property
    def threads(self) -> int:
        """Of a block."""
        return 32 * (self.width // 16) * (self.height // self.rows)

    def shared(self, pieces: int) -> int:
        """Return bytes of shared memory of a block, for a layer of 16 * `pieces` output
        channels.
        """
        patch = (self.height + 2) * (self.width + 2) * _FEATURES * 2
        return 2 * patch + self.stages * 3 * pieces * 512

    def options(self, scale: int) -> tuple[str, ...]:
        """Return the options for the compiler."""
        return (
            f"-DTILE_H={self.height}", f"-DTILE_W={self.width}", f"-DROWS={self.rows}",
            f"-DSTAGES={self.stages}", f"-DBLOCKS={self.blocks}", f"-DSCALE={scale}",
            f"-DUNROLL={self.unroll}", f"-DSHORT={self.short}",
            "--std=c++17",
        )  # fmt: skip


# Compute capabilities, times ten, where tensor cores of GeForce add up in fp16 at twice the rate
# of fp32. (Those of workstation and server GPUs with the same numbers have one rate for both.)
_FAST_IN_FP16 = (86, 89, 120)


def short_sums(architecture: int) -> int:
    """Return `CompactTiling.short` for a compute capability (86 is 8.6).

    One stage, 48 products: quality is nearly that of fp32, also where a tensor core rounds more
    often than it has to; what that costs, it does beside the products.
    """
    return 1 if architecture in _FAST_IN_FP16 else 0


def tiling_for(shared: int, architecture: int) -> CompactTiling | None:
    """Return the one for a GPU whose blocks may have `shared` bytes of shared memory; None: too
    little.

    227 KB (sm_90, 100, 103): two large patches and all weights. 163 KB (sm_80, 87): all
    weights, smaller patches. 99 KB (sm_86, 89, 120): weights come in as they are used.
    """
    fitting = (one for one in TILINGS if one.shared(4) <= shared)
    tiling = next(fitting, None)
    return None if tiling is None else replace(tiling, short=short_sums(architecture))


TILINGS = (
    CompactTiling(height=16, width=32, rows=4, stages=_PASSES),
    CompactTiling(height=8, width=32, rows=2, stages=_PASSES),
    CompactTiling(height=16, width=16, rows=2, stages=3),
)


@dataclass(frozen=True, kw_only=True)
class DenseTiling:
    """The constants that `dense.cu` is compiled with."""

    height: int
    width: int
    rows: int

    @property
    def threads(self) -> int:
        """Of a block."""
        return 32 * (self.width // 16) * (self.height // self.rows)

    def shared(self, pieces: int) -> int:
        """Return bytes of a block: 32 channels of a tile and their weights, twice."""
        return 2 * ((self.height + 2) * (self.width + 2) * 64 + 18 * pieces * 512)

    @property
    def options(self) -> tuple[str, ...]:
        """Return the options for the compiler."""
        return (
            f"-DDENSE_H={self.height}", f"-DDENSE_W={self.width}", f"-DDENSE_ROWS={self.rows}",
        )  # fmt: skip


def dense_tiling_for(shared: int) -> DenseTiling | None:
    """Choose as `tiling_for`, whatever the architecture: all sums are fp32."""
    fitting = (one for one in DENSE_TILINGS if one.shared(4) <= shared)
    return next(fitting, None)


DENSE_TILINGS = (
    DenseTiling(height=16, width=32, rows=4),
    DenseTiling(height=8, width=16, rows=2),
)
