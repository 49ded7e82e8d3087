"""One picture on its way through vsr: planes, time and colour, travelling together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from fractions import Fraction
from typing import Literal

import torch

# --- colour: the code points of ITU-T H.273, as ffmpeg and every container write them ---


class Matrix(IntEnum):
    """Matrix coefficients (H.273 table 4): how R'G'B' became Y'CbCr."""

    RGB = 0
    BT709 = 1
    UNKNOWN = 2
    FCC = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    YCGCO = 8
    BT2020_NCL = 9
    BT2020_CL = 10  # constant luminance
    DERIVED_NCL = 12  # weights that follow from the primaries
    DERIVED_CL = 13
    ICTCP = 14


PQ, HLG = 16, 18  # transfer characteristics (H.273 table 3) of HDR
CAMERA_CURVES = frozenset({1, 6, 14, 15})  # BT.709, 601 and 2020: one curve under four names

# Primaries (H.273 table 2): x and y of red, green, blue and white.
CHROMATICITIES: Mapping[int, tuple[float, ...]] = {
    1: (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, 0.3127, 0.3290),
    4: (0.670, 0.330, 0.210, 0.710, 0.140, 0.080, 0.310, 0.316),
    5: (0.640, 0.330, 0.290, 0.600, 0.150, 0.060, 0.3127, 0.3290),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
}


class Range(IntEnum):
    """Range of the code values: 16..235 (limited) or 0..255 (full), at 8 bits."""

    UNKNOWN = 0
    LIMITED = 1
    FULL = 2


class Siting(Enum):
    """Where a chroma sample sits among its luma samples (H.273 chroma_loc_info).

    The value is (horizontal, vertical): 0.0 on the first luma sample, 0.5 between
    the first two. An axis that is not subsampled ignores its number.
    """

    LEFT = (0.0, 0.5)  # MPEG-2, H.264 and most of what exists
    CENTER = (0.5, 0.5)  # JPEG, MPEG-1
    TOPLEFT = (0.0, 0.0)  # BT.2020, UHD
    TOP = (0.5, 0.0)
    BOTTOMLEFT = (0.0, 1.0)  # DV
    BOTTOM = (0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class Colour:
    """What the code values of a frame mean. Primaries and transfer are carried, not used."""

    matrix: Matrix
    range: Range
    primaries: int = 2  # H.273 table 2; 2 = unknown
    transfer: int = 2  # H.273 table 3; 2 = unknown
    siting: Siting = Siting.LEFT

    @property
    def hdr(self) -> bool:
        """Whether its light reaches beyond white, as PQ and HLG say it."""
        return self.transfer in (PQ, HLG)


# --- layout: which planes there are ---

Family = Literal["yuv", "rgb", "gray"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The planes of a picture. Order: Y, Cb, Cr or R, G, B or Y; alpha last."""

    family: Family
    bits: int = 8  # 8..16; stored in uint8, or in uint16 above 8
    sub_x: int = 0  # log2 of the horizontal chroma subsampling: 0, 1 or 2
    sub_y: int = 0
    alpha: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The type of the planes' samples."""
        return torch.uint8 if self.bits <= 8 else torch.uint16

    @property
    def name(self) -> str:
        """`4:2:0 10 bit`, for people."""
        chroma = {(0, 0): "4:4:4", (1, 0): "4:2:2", (1, 1): "4:2:0", (0, 1): "4:4:0"}
        kind = {"rgb": "RGB", "gray": "grey"}.get(
            self.family, chroma.get((self.sub_x, self.sub_y), "4:1:0" if self.sub_y else "4:1:1")
        )
        return f"{kind} {self.bits} bit" + (" with alpha" if self.alpha else "")

    def plane_sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Return (height, width) of each plane of a picture of that size; chroma rounds up."""
        full = (height, width)
        chroma = (-(-height >> self.sub_y), -(-width >> self.sub_x))
        sizes = {"gray": [full], "rgb": [full] * 3, "yuv": [full, chroma, chroma]}[self.family]
        return [*sizes, full] if self.alpha else sizes

    def replace(
        self, *, bits: int | None = None, family: Family | None = None, alpha: bool | None = None
    ) -> Layout:
        """Return the layout with other bits, family or alpha; None: as it is."""
        return dataclasses.replace(
            self,
            bits=self.bits if bits is None else bits,
            family=self.family if family is None else family,
            alpha=self.alpha if alpha is None else alpha,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """A picture with its time. Immutable: a stage makes a new one with `with_planes`."""

    planes: tuple[torch.Tensor, ...]  # each (H, W) uint8 or uint16, sizes by `layout`
    layout: Layout
    colour: Colour
    pts: int  # in units of time_base
    duration: int  # in units of time_base; 0 = unknown
    time_base: Fraction
    fresh: bool = False  # what came before it does not belong to it
    gain: float = 1.0  # of its light, to be applied to gamma-encoded RGB
    context: bool = False  # only there for stages that look at neighbours; not to be shown
    captions: bytes = b""  # closed captions (ATSC A/53), three bytes each

    @property
    def width(self) -> int:
        """The picture's width in pixels."""
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        """The picture's height in pixels."""
        return int(self.planes[0].shape[0])

    def with_planes(
        self, planes: tuple[torch.Tensor, ...], layout: Layout, colour: Colour
    ) -> Frame:
        """Return the same moment, another picture."""
        return dataclasses.replace(self, planes=planes, layout=layout, colour=colour)
