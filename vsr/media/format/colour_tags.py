"""What a frame's code values mean: read from its tags, or guessed as players do."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import av

from vsr.frame import (
    CAMERA_CURVES,
    CHROMATICITIES,
    Colour,
    Layout,
    Matrix,
    Range,
    Siting,
)
from vsr.media.format.stream_dump import SITINGS
from vsr.options import ColourOptions

_CHOSEN = {"bt601": Matrix.SMPTE170M, "bt709": Matrix.BT709, "bt2020": Matrix.BT2020_NCL}
_UNKNOWN = 2  # H.273's number for "unspecified" primaries and transfer
# The (primaries, transfer) that go with a matrix where nothing else is said.
_USUAL = {
    Matrix.BT709: (1, 1),
    Matrix.BT470BG: (5, 6),
    Matrix.SMPTE170M: (6, 6),
    Matrix.SMPTE240M: (7, 7),
    Matrix.BT2020_NCL: (9, 14),
    Matrix.BT2020_CL: (9, 14),
    Matrix.YCGCO: (1, 1),
    Matrix.ICTCP: (9, _UNKNOWN),
}
_SRGB = (1, 13)


@dataclass(frozen=True, kw_only=True)
class ColourTags:
    """The numbers as ffmpeg reports them; the enums of H.273, and the siting's name."""

    matrix: int
    range: int
    primaries: int
    transfer: int
    siting: str | None


def tags_of(frame: av.VideoFrame, siting: str | None) -> ColourTags:
    """Read the tags of a frame; the siting is the stream's."""
    return ColourTags(
        matrix=int(frame.colorspace),
        range=int(frame.color_range),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        siting=siting,
    )


def describe(
    tags: ColourTags,
    layout: Layout,
    *,
    width: int,
    height: int,
    pix_fmt: str,
    options: ColourOptions,
) -> tuple[Colour, tuple[str, ...]]:
    """Return the colour of a frame, and in words what had to be guessed.

    Untagged pictures are read as players read them (mpv's rule): BT.709 from 1280
    columns or above 576 lines on, BT.601 below; limited range; chroma to the left.
    Primaries and transfer that are not tagged are written as those of that system: a
    player would otherwise guess anew from the larger size and shift the colours, and MP4
    can only tell all three or none. Raises UnreadColours for tags that nothing here reads, unless
    `options` name a matrix.
    """
    if layout.family == "rgb":
        primaries = _SRGB[0] if tags.primaries == _UNKNOWN else tags.primaries
        transfer = _SRGB[1] if tags.transfer == _UNKNOWN else tags.transfer
        # GBR video may be tagged limited, but hardly any player or encoder knows that.
        return (
            Colour(matrix=Matrix.RGB, range=Range.FULL, primaries=primaries, transfer=transfer),
            (),
        )
    matrix, guesses = _matrix(tags, layout, width, height, options)
    if options.range != "auto":
        range_ = Range.FULL if options.range == "full" else Range.LIMITED
    elif tags.range in (Range.LIMITED, Range.FULL):
        range_ = Range(tags.range)
    else:
        full = pix_fmt.startswith("yuvj") or layout.family == "gray"
        range_ = Range.FULL if full else Range.LIMITED
    usual = _USUAL.get(matrix, (_UNKNOWN, _UNKNOWN))
    primaries = usual[0] if tags.primaries == _UNKNOWN else tags.primaries
    transfer = usual[1] if tags.transfer == _UNKNOWN else tags.transfer
    siting = SITINGS.get(tags.siting or "")
    if siting is None:
        # JPEG and MPEG-1, the full-range formats, centre their chroma; BT.2020 does not.
        jpeg = pix_fmt.startswith("yuvj")
        siting = Siting.CENTER if jpeg else Siting.LEFT
    colour = Colour(
        matrix=matrix, range=range_, primaries=primaries, transfer=transfer, siting=siting
    )
    if layout.family == "gray":
        return written(colour), ()
    _check(colour)
    if (plain := written(colour)) != colour:
        told = f"its colours are coded as {name_of(matrix)}"
        guesses.append(f"{told}; they are written as {name_of(plain.matrix)}, which players read")
    return colour, tuple(guesses)


def _matrix(
    tags: ColourTags, layout: Layout, width: int, height: int, options: ColourOptions
) -> tuple[Matrix, list[str]]:
    """Return the matrix, and in words how it was guessed. Raises UnreadColours."""
    if options.matrix != "auto":
        return _CHOSEN[options.matrix], []
    if tags.matrix in _KNOWN:
        return Matrix(tags.matrix), []
    if tags.matrix not in _UNTOLD and layout.family != "gray":
        name = _UNREAD.get(tags.matrix, f"matrix {tags.matrix} of H.273")
        raise UnreadColours(f"its colours are coded as {name}, which vsr cannot read; {_WAY_OUT}")
    large = width >= 1280 or height > 576
    matrix = Matrix.BT709 if large else Matrix.SMPTE170M
    if height == 576 and not large:
        matrix = Matrix.BT470BG
    rgb = tags.matrix == Matrix.RGB
    wrong = "is tagged as RGB and is not" if rgb else "no colour matrix is tagged"
    return matrix, [f"{wrong}: read as {name_of(matrix)}"]


_KNOWN = {m.value for m in Matrix} - {Matrix.RGB, Matrix.UNKNOWN}
_UNTOLD = (0, 2, 3)  # RGB, of what is none; unspecified; reserved, which players take as that
_DERIVED = (Matrix.DERIVED_NCL, Matrix.DERIVED_CL)
_CONSTANT = (Matrix.BT2020_CL, Matrix.DERIVED_CL)
_ODD = (Matrix.YCGCO, Matrix.ICTCP, *_DERIVED, *_CONSTANT)  # hardly any player reads them
_UNREAD = {11: "Y'D'zD'x", 15: "IPT-C2, as Dolby Vision has it", 16: "YCgCo-Re", 17: "YCgCo-Ro"}
_WAY_OUT = "convert it, or name what it is to be read as with <colour.matrix>"


class UnreadColours(ValueError):
    """Colours that nothing here can read; the message says which, and what to do."""


def _check(colour: Colour) -> None:
    """Raise UnreadColours unless there is what the matrix' formula asks for."""
    wants = ""
    if colour.matrix is Matrix.ICTCP and not colour.hdr:
        wants = "a transfer of PQ or HLG"
    elif colour.matrix in _CONSTANT and colour.transfer not in CAMERA_CURVES:
        wants = "the transfer of BT.709 or BT.2020"
    elif colour.matrix in _DERIVED and colour.primaries not in CHROMATICITIES:
        wants = "primaries that are known"
    if wants:
        name = name_of(colour.matrix)
        raise UnreadColours(f"is tagged as {name}, but not with {wants}; {_WAY_OUT}")


def written(colour: Colour) -> Colour:
    """Return `colour` with a matrix that players read and we write: that of the same primaries."""
    if colour.matrix not in _ODD:
        return colour
    usual = {5: Matrix.BT470BG, 6: Matrix.SMPTE170M, 7: Matrix.SMPTE170M, 9: Matrix.BT2020_NCL}
    return dataclasses.replace(colour, matrix=usual.get(colour.primaries, Matrix.BT709))


def for_output(
    source: Colour,
    source_layout: Layout,
    layout: Layout,
    *,
    sitings: Collection[Siting],
    full_range: bool,
) -> Colour:
    """Return the colour that the output is written in: the source's, as far as it can be said.

    RGB becomes BT.709 limited range, and a matrix that few players read a usual one. Chroma
    moves to the left, and full range becomes limited, where the codec could not tell a player
    otherwise.
    """
    if (source_layout.family == "rgb") == (layout.family == "rgb"):
        siting = source.siting if source.siting in sitings else Siting.LEFT
        range_ = source.range if full_range or layout.family == "rgb" else Range.LIMITED
        return written(dataclasses.replace(source, siting=siting, range=range_))
    matrix, range_ = (Matrix.RGB, Range.FULL)
    if layout.family != "rgb":
        matrix, range_ = (Matrix.BT709, Range.LIMITED)
    return Colour(matrix=matrix, range=range_, primaries=source.primaries, transfer=source.transfer)


def guessed(layout: Layout, *, width: int, height: int) -> Colour:
    """Return the colour that a player takes a picture for that nothing is tagged of."""
    nothing = ColourTags(
        matrix=_UNKNOWN, range=0, primaries=_UNKNOWN, transfer=_UNKNOWN, siting=None
    )
    colour, _ = describe(
        nothing, layout, width=width, height=height, pix_fmt="", options=ColourOptions()
    )
    return colour


_NAMES: Mapping[Matrix, str] = {
    Matrix.RGB: "RGB",
    Matrix.BT709: "BT.709",
    Matrix.FCC: "FCC",
    Matrix.BT470BG: "BT.601",
    Matrix.SMPTE170M: "BT.601",
    Matrix.SMPTE240M: "SMPTE 240M",
    Matrix.YCGCO: "YCgCo",
    Matrix.BT2020_NCL: "BT.2020",
    Matrix.BT2020_CL: "BT.2020 with constant luminance",
    Matrix.DERIVED_NCL: "luma derived from the primaries",
    Matrix.DERIVED_CL: "constant luminance derived from the primaries",
    Matrix.ICTCP: "ICtCp",
}


def name_of(matrix: Matrix) -> str:
    """Return the name that ffmpeg has for a matrix."""
    return _NAMES.get(matrix, "unknown")
