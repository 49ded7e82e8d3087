"""HDR10's static metadata: from the source's frames into the encoders' own options.

Encoders do not take it from the frames that they are given, so it is handed to them in
their own notation. SMPTE ST 2086 (mastering display) and CTA-861.3 (content light level).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType

from vsr.frame import HLG, PQ, Colour

Point = tuple[Fraction, Fraction]  # CIE 1931 x, y


@dataclass(frozen=True, kw_only=True)
class MasteringDisplay:
    """The display on which the film was graded. Luminance in cd/m2."""

    red: Point
    green: Point
    blue: Point
    white: Point
    low: Fraction
    high: Fraction


@dataclass(frozen=True, kw_only=True)
class HdrMetadata:
    """What a frame says; either part may be missing."""

    mastering: MasteringDisplay | None = None
    light: tuple[int, int] | None = None  # brightest pixel, brightest frame's mean; cd/m2


def hdr_of(frame: av.VideoFrame) -> HdrMetadata | None:
    """Return the static metadata of `frame`, or None if it has none."""
    display = side_data(frame, SideDataType.MASTERING_DISPLAY_METADATA)
    level = side_data(frame, SideDataType.CONTENT_LIGHT_LEVEL)
    mastering = _mastering(display) if display is not None else None
    light: tuple[int, int] | None = struct.unpack_from("=II", level) if level is not None else None
    return HdrMetadata(mastering=mastering, light=light) if mastering or light else None


def layers_beside(
    frame: av.VideoFrame, dolby: tuple[int, int] | None, colour: Colour
) -> Iterator[str]:
    """Return, in words, what of HDR goes with the picture and is made anew for each scene of it.

    `dolby`: profile of Dolby Vision, and what its base layer is, if the container names them.
    It describes the source's own pixels, in forms that no encoder here writes.
    """
    base = {PQ: "HDR10", HLG: "HLG"}.get(colour.transfer, "plain")
    stays = f"left out; the {base} picture beside it stays"
    if is_dolby_alone(frame, dolby):
        yield "its Dolby Vision metadata is left out, without which its colours are not right"
    elif dolby is not None or side_data(frame, SideDataType.DOVI_RPU_BUFFER) is not None:
        profile = f" (profile {dolby[0]})" if dolby is not None else ""
        yield f"its Dolby Vision layer{profile} is {stays}"
    if side_data(frame, SideDataType.DYNAMIC_HDR_PLUS) is not None:
        yield f"its HDR10+ metadata is {stays}"
    if side_data(frame, SideDataType.DYNAMIC_HDR_VIVID) is not None:
        yield f"its HDR Vivid metadata is {stays}"


def is_dolby_alone(frame: av.VideoFrame, dolby: tuple[int, int] | None) -> bool:
    """Return whether the colours are Dolby Vision's own, with no base layer that other players
    read.
    """
    if dolby is not None:
        profile, base = dolby
        return profile == 5 or (profile in _MAY_BE_ALONE and base == 0)
    untold = int(frame.colorspace) == int(frame.color_trc) == 2  # as H.273 numbers it
    return untold and side_data(frame, SideDataType.DOVI_RPU_BUFFER) is not None


_MAY_BE_ALONE = (10, 20)  # AV1 and MV-HEVC


def side_data(frame: av.VideoFrame, kind: SideDataType) -> bytes | None:
    """Return the raw bytes of one kind of side data, or None."""
    try:
        # The stubs give it the type of another container.
        return bytes(cast("SideDataContainer", frame.side_data)[kind])
    except KeyError:
        return None


def _mastering(data: bytes) -> MasteringDisplay | None:
    """Read AVMasteringDisplayMetadata: ten rationals of two ints, then two flags."""
    numbers = struct.unpack_from("=20i2i", data)
    if not all(numbers[20:]) or not all(numbers[1:20:2]):
        return None  # one half of it alone cannot be written
    values = [Fraction(a, b) for a, b in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
    red, green, blue, white = ((values[i], values[i + 1]) for i in (0, 2, 4, 6))
    return MasteringDisplay(
        red=red, green=green, blue=blue, white=white, low=values[8], high=values[9]
    )


def encoder_parameters(hdr: HdrMetadata, encoder: str) -> tuple[str, str] | None:
    """Return (option, its value) that makes `encoder` write `hdr`; None if it cannot."""
    m, parts = hdr.mastering, []
    if encoder in ("libx264", "libx265"):
        if m is not None:
            points = _points(m, lambda v: str(round(v * 50000)))  # units of 0.00002
            nits = f"L({round(m.high * 10000)},{round(m.low * 10000)})"  # of 0.0001
            name = "mastering-display" if encoder == "libx264" else "master-display"
            parts.append(f"{name}={points}{nits}")
        if hdr.light is not None:
            name = "cll" if encoder == "libx264" else "max-cll"
            parts.append(f"{name}={hdr.light[0]},{hdr.light[1]}")
        return ("x264-params" if encoder == "libx264" else "x265-params", ":".join(parts))
    if encoder == "libsvtav1":
        if m is not None:
            points = _points(m, lambda v: f"{float(v):.5f}")
            parts.append(f"mastering-display={points}L({float(m.high):.4f},{float(m.low):.4f})")
        if hdr.light is not None:
            parts.append(f"content-light={hdr.light[0]},{hdr.light[1]}")
        return ("svtav1-params", ":".join(parts))
    return None


def _points(m: MasteringDisplay, number: Callable[[Fraction], str]) -> str:
    named = (("G", m.green), ("B", m.blue), ("R", m.red), ("WP", m.white))
    return "".join(f"{name}({number(x)},{number(y)})" for name, (x, y) in named)


# --- MP4: the same numbers beside the stream, for players that do not look into it ---

_WAY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
TELLS_LIGHT = frozenset({"mp4", "mov", "matroska", "webm"})  # muxers that write the numbers
_VISUAL = 78  # bytes of a picture's sample entry that come before the boxes in it


def put_boxes(path: Path, boxes: bytes) -> None:
    """Add `boxes` to what the MP4 or MOV `path`, whose index comes last, says of its picture.

    ISO/IEC 14496-12, 12.1. PyAV can hand a muxer no such thing, but it copies them from the stream
    of another file, and each muxer writes them in its own terms.
    """
    with path.open("r+b") as file:
        at, size, name = 0, 0, b""
        while name != b"moov":
            at += size
            file.seek(at)
            head = file.read(16)
            if len(head) < 8:
                return
            size, name = int.from_bytes(head[:4], "big"), head[4:8]
            size = max(int.from_bytes(head[8:], "big") if size == 1 else size, 8)
        file.seek(at)
        index = _grown(file.read(), boxes)
        file.seek(at)
        file.write(index)


def _grown(index: bytes, boxes: bytes) -> bytes:
    """Return a `moov`, and what comes behind it, with more boxes in its first sample entry."""
    grown, at, end = bytearray(index), 0, len(index)
    for name in _WAY:
        while index[at + 4 : at + 8] != name:
            at += max(int.from_bytes(index[at : at + 4], "big"), 8)
            if at >= end:
                return index
        end = at + int.from_bytes(index[at : at + 4], "big")
        grown[at : at + 4] = (end - at + len(boxes)).to_bytes(4, "big")
        at += 8
    at += 8  # of `stsd`: its version, and how many entries there are
    length = int.from_bytes(index[at : at + 4], "big")
    grown[at : at + 4] = (length + len(boxes)).to_bytes(4, "big")
    inside = at + 8 + _VISUAL
    return bytes(grown[:inside]) + boxes + bytes(grown[inside:])


def light_boxes(hdr: HdrMetadata) -> bytes:
    """Return `hdr` as MP4's `mdcv` and `clli`."""
    boxes, m = b"", hdr.mastering
    if m is not None:
        points = [round(v * 50000) for p in (m.green, m.blue, m.red, m.white) for v in p]
        boxes += struct.pack(
            ">I4s8H2I", 32, b"mdcv", *points, round(m.high * 10000), round(m.low * 10000)
        )
    if hdr.light is not None:
        boxes += struct.pack(">I4s2H", 12, b"clli", *(min(v, 65535) for v in hdr.light))
    return boxes
