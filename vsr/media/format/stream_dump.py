"""What libavformat's own description of a file says of a stream, and PyAV has no property for."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

import av
import av.logging

from vsr.frame import Siting

SITINGS = {siting.name.lower(): siting for siting in Siting}  # by ffmpeg's names
_LOG = threading.Lock()
_STREAM = re.compile(r"^\s*Stream #0:(\d+)\b", re.MULTILINE)
_PIX_FMT = re.compile(r"\b(?:yuv|nv|p0|p2|y2)\w+\(([^()]*)\)")  # "yuv420p(tv, bt709, topleft)"
_CROPPING = re.compile(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", re.IGNORECASE)
_CODEC = re.compile(r": (?:Video|Audio|Subtitle|Data|Attachment): (\w+)")
_DOLBY = re.compile(r"DOVI configuration record:.* profile: (\d+),.* compatibility id: (\d+)")


@dataclass(frozen=True, kw_only=True)
class DumpedStream:
    """What was said of one stream; None: nothing."""

    siting: str | None = None  # of chroma: "left", "topleft", ...
    dolby: tuple[int, int] | None = None  # Dolby Vision's profile, and what its base layer is
    cropping: tuple[int, int, int, int] | None = None  # left, right, top, bottom
    codec: str | None = None  # by ffmpeg's name, where PyAV has no decoder to ask, too


def dumped(container: av.container.InputContainer, index: int) -> DumpedStream:
    """Return what is said of stream `index`.

    libavformat says it to its log, when that is verbose. The log levels are the process's, so
    they are put back at once.
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
    begins = list(_STREAM.finditer(text))
    for match, end in zip(begins, [*(m.start() for m in begins[1:]), len(text)], strict=True):
        if int(match[1]) == index:
            return _read(text[match.start() : end])
    return DumpedStream()


def _read(text: str) -> DumpedStream:
    inside = _PIX_FMT.search(text.splitlines()[0])
    names = set(inside[1].split(", ")) if inside else set()
    dolby, cropping = _DOLBY.search(text), _CROPPING.search(text)
    codec = _CODEC.search(text.splitlines()[0])
    return DumpedStream(
        codec=codec[1] if codec and codec[1] not in ("none", "unknown") else None,
        siting=next((name for name in SITINGS if name in names), None),
        cropping=tuple(int(n) for n in cropping.groups()) if cropping else None,  # type: ignore[arg-type]
        dolby=(int(dolby[1]), int(dolby[2])) if dolby else None,
    )
