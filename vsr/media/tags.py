"""What a frame's code values mean: read from its tags, or guessed as players do."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import av
import av.logging

from vsr.frame import Colour, Layout, Matrix, Range, Siting
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
}
_SRGB = (1, 13)

_SITINGS = {siting.name.lower(): siting for siting in Siting}  # by ffmpeg's names


@dataclass(frozen=True, kw_only=True)
class Tags:
    """The numbers as ffmpeg reports them; the enums of H.273, and the siting's name."""

    matrix: int
    range: int
    primaries: int
    transfer: int
    siting: str | None


def tags_of(frame: av.VideoFrame, siting: str | None) -> Tags:
    return Tags(
        matrix=int(frame.colorspace),
        range=int(frame.color_range),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        siting=siting,
    )


def describe(
    tags: Tags, layout: Layout, *, width: int, height: int, pix_fmt: str, options: ColourOptions
) -> tuple[Colour, tuple[str, ...]]:
    """The colour of a frame, and in words what had to be guessed.

    Untagged pictures are read as players read them (mpv's rule): BT.709 from 1280
    columns or above 576 lines on, BT.601 below; limited range; chroma to the left.
    Primaries and transfer that are not tagged are written as those of that system: a
    player would otherwise guess anew from the larger size and shift the colours, and MP4
    can only tell all three or none.
    """
    guesses: list[str] = []
    if layout.family == "rgb":
        primaries = _SRGB[0] if tags.primaries == _UNKNOWN else tags.primaries
        transfer = _SRGB[1] if tags.transfer == _UNKNOWN else tags.transfer
        # GBR video may be tagged limited, but hardly any player or encoder knows that.
        return (
            Colour(matrix=Matrix.RGB, range=Range.FULL, primaries=primaries, transfer=transfer),
            (),
        )
    large = width >= 1280 or height > 576
    if options.matrix != "auto":
        matrix = _CHOSEN[options.matrix]
    elif tags.matrix in _KNOWN:
        matrix = Matrix(tags.matrix)
    else:
        matrix = Matrix.BT709 if large else Matrix.SMPTE170M
        if height == 576 and not large:
            matrix = Matrix.BT470BG
        told = "" if tags.matrix == Matrix.UNKNOWN else f" (matrix {tags.matrix} is not supported)"
        if layout.family != "gray":
            guesses.append(f"no colour matrix is tagged: read as {name_of(matrix)}{told}")
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
    siting = _SITINGS.get(tags.siting or "")
    if siting is None:
        # JPEG and MPEG-1, the full-range formats, centre their chroma; BT.2020 does not.
        jpeg = pix_fmt.startswith("yuvj")
        siting = Siting.CENTER if jpeg else Siting.LEFT
    colour = Colour(
        matrix=matrix, range=range_, primaries=primaries, transfer=transfer, siting=siting
    )
    return colour, tuple(guesses)


_KNOWN = {m.value for m in Matrix} - {Matrix.RGB, Matrix.UNKNOWN}


def for_output(
    source: Colour,
    source_layout: Layout,
    layout: Layout,
    *,
    sitings: Collection[Siting],
    full_range: bool,
) -> Colour:
    """The colour that the output is written in: the source's, as far as it can be said.

    RGB becomes BT.709 limited range. Chroma moves to the left, and full range becomes
    limited, where the codec could not tell a player otherwise.
    """
    if (source_layout.family == "rgb") == (layout.family == "rgb"):
        siting = source.siting if source.siting in sitings else Siting.LEFT
        range_ = source.range if full_range or layout.family == "rgb" else Range.LIMITED
        return dataclasses.replace(source, siting=siting, range=range_)
    matrix, range_ = (Matrix.RGB, Range.FULL)
    if layout.family != "rgb":
        matrix, range_ = (Matrix.BT709, Range.LIMITED)
    return Colour(matrix=matrix, range=range_, primaries=source.primaries, transfer=source.transfer)


def guessed(layout: Layout, *, width: int, height: int) -> Colour:
    """The colour that a player takes a picture for that nothing is tagged of."""
    nothing = Tags(matrix=_UNKNOWN, range=0, primaries=_UNKNOWN, transfer=_UNKNOWN, siting=None)
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
    Matrix.BT2020_NCL: "BT.2020",
}


def name_of(matrix: Matrix) -> str:
    return _NAMES.get(matrix, "unknown")


# --- chroma siting, which PyAV does not expose ---

_LOG = threading.Lock()
_PIX_FMT = re.compile(r"\b(?:yuv|nv|p0|p2|y2)\w+\(([^()]*)\)")  # "yuv420p(tv, bt709, topleft)"
_STREAM = re.compile(r"^\s*Stream #0:(\d+)\b.*?: Video: (.*)$", re.MULTILINE)


def siting_of(container: av.container.InputContainer, index: int) -> str | None:
    """The tagged chroma siting of stream `index`: "left", "topleft", ... or None.

    PyAV has no property for it; libavformat's description of the file names it
    when its log is verbose. The log levels are the process's, so they are put
    back at once.
    """
    with _LOG:
        level = av.logging.get_level()
        try:
            av.logging.set_level(av.logging.VERBOSE)
            av.logging.set_libav_level(av.logging.VERBOSE)
            text: str = getattr(container, "dumps_format")()  # noqa: B009 (18's stubs lack it)
        finally:
            av.logging.set_level(level)
            av.logging.set_libav_level(av.logging.INFO)  # libav's own default
    for match in _STREAM.finditer(text):
        if int(match[1]) == index:
            inside = _PIX_FMT.search(match[2])
            names = set(inside[1].split(", ")) if inside else set()
            return next((name for name in _SITINGS if name in names), None)
    return None
