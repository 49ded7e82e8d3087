"""The kinds of value that options have, and how they are read from text."""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from vsr.errors import UsageError

Precision = Literal["auto", "fp32", "fp16", "bf16"]
EngineName = Literal["auto", "torch", "ncnn", "cuda", "vulkan"]
Reuse = Literal["off", "exact", "safe", "fast"]
Consistency = Literal["auto", "off", "1", "2", "3", "4", "5"]  # steps
FilterStrength = Literal["off", "light", "strong", "auto"]
Codec = Literal[
    "h264", "h265", "av1", "vp9", "ffv1", "prores", "h264_nvenc", "hevc_nvenc", "av1_nvenc",
    "gif", "apng", "webp", "png", "jpeg", "raw",
]  # fmt: skip
Chroma = Literal["auto", "420"]
PipeFormat = Literal["nut", "y4m"]
MatrixChoice = Literal["auto", "bt601", "bt709", "bt2020"]
RangeChoice = Literal["auto", "limited", "full"]

Activation = Literal["prelu", "relu", "leakyrelu"]
PlainActivation = Literal["relu", "leakyrelu"]  # what a file without PReLU may have
Deinterlace = Literal["auto", "off", "bwdif", "bob", "ivtc"]

Metric = Literal["psnr", "ssim", "ms-ssim", "vmaf", "vmaf1", "cambi", "warping", "flicker", "tof"]
VmafModel = Literal["vmaf_v0.6.1", "vmaf_v0.6.1neg", "vmaf_4k_v0.6.1"]
Kernel = Literal["nearest", "bicubic", "lanczos"]

PRECISIONS: tuple[Precision, ...] = typing.get_args(Precision)
ENGINES: tuple[EngineName, ...] = typing.get_args(EngineName)
REUSES: tuple[Reuse, ...] = typing.get_args(Reuse)
CHROMAS: tuple[Chroma, ...] = typing.get_args(Chroma)
FILTER_STRENGTHS: tuple[FilterStrength, ...] = typing.get_args(FilterStrength)
CODECS: tuple[Codec, ...] = typing.get_args(Codec)
MATRICES: tuple[MatrixChoice, ...] = typing.get_args(MatrixChoice)
PIPE_FORMATS: tuple[PipeFormat, ...] = typing.get_args(PipeFormat)
DEINTERLACERS: tuple[Deinterlace, ...] = typing.get_args(Deinterlace)
RANGES: tuple[RangeChoice, ...] = typing.get_args(RangeChoice)
METRICS: tuple[Metric, ...] = typing.get_args(Metric)
VMAF_MODELS: tuple[VmafModel, ...] = typing.get_args(VmafModel)
KERNELS: tuple[Kernel, ...] = typing.get_args(Kernel)

DEFAULT_MODEL = "realesr-animevideov3"


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A place in a film: seconds on its own clock, or a frame's number, counted from 0."""

    seconds: Fraction | None = None
    frame: int | None = None

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.frame is None):
            raise UsageError("a moment: give seconds or a frame's number")
        if (self.seconds or self.frame or 0) < 0:
            raise UsageError("a moment: must not be negative")

    @classmethod
    def parse(cls, text: str) -> Moment:
        """Parse `90`, `90.5`, `1:30`, `1:02:03.5`, or `240f` for a frame. Raises UsageError."""
        if match := re.fullmatch(r"(\d+)f", text):
            return cls(frame=int(match[1]))
        match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", text)
        if match is None:
            raise UsageError(f"{text!r} is no time such as 90, 1:30, 1:02:03.5, or 240f")
        hours, minutes, seconds = (Fraction(part or 0) for part in match.groups())
        return cls(seconds=hours * 3600 + minutes * 60 + seconds)

    def __str__(self) -> str:
        return f"{self.frame}f" if self.seconds is None else f"{float(self.seconds):.10g}"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A part of a film: from the frame at `start` up to the one at `end`, which is not in it."""

    start: Moment | None = None  # None: the film's beginning
    end: Moment | None = None  # None: the film's end, or what `duration` says
    duration: Moment | None = None  # in seconds, or as a number of frames

    def __post_init__(self) -> None:
        if self.end is not None and self.duration is not None:
            raise UsageError("end and duration of a clip: give one of them, not both")

    @classmethod
    def parse(cls, text: str) -> Clip:
        """Parse `START-END` or `START+DURATION`; either side may be left out. Raises UsageError."""
        match = re.fullmatch(r"([^-+]*)([-+])([^-+]*)", text)
        if match is None or not (match[1] or match[3]):
            raise UsageError(f"{text!r} is no clip such as 1:20-1:30, 80+10, 1:20- or 0f-240f")
        start, last = (Moment.parse(side) if side else None for side in (match[1], match[3]))
        if match[2] == "-":
            return cls(start=start, end=last)
        return cls(start=start, duration=last)

    def __str__(self) -> str:
        start = self.start or "0"
        return f"{start}+{self.duration}" if self.duration else f"{start}-{self.end or 'end'}"


def number(text: str) -> Fraction:
    """Read `2`, `1.5` or `4/3`, exactly. Raises UsageError."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"{text!r} is no number such as 2, 1.5 or 4/3") from None


def factor(text: str) -> Fraction:
    """Read a number as `number` does, also as `2x`, `x2` or `200%`. Raises UsageError."""
    match = re.fullmatch(r"[x×]?(.+?)([x×%]?)", text.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"{text!r} is no factor such as 2, 1.5 or 4/3")
    return number(match[1]) / (100 if match[2] == "%" else 1)


def size(text: str) -> tuple[int, int]:
    """Read `1920x1080`. Raises UsageError."""
    match = re.fullmatch(r"\s*(\d+)\s*[x×*:]\s*(\d+)\s*", text, re.IGNORECASE)
    if match is None:
        hint = f"; <size.height> {text} is a height alone" if _is_height(text) else ""
        raise UsageError(f"{text!r} is no size such as 1920x1080{hint}")
    return int(match[1]), int(match[2])


_HEIGHTS = {"4k": 2160, "uhd": 2160, "8k": 4320}


def lines(text: str) -> int:
    """Read a picture's height: `1080`, `1080p`, `4k`. Raises UsageError."""
    if not _is_height(text):
        raise UsageError(f"{text!r} is no height such as 1080, 1080p or 4k")
    known = _HEIGHTS.get(text.strip().lower())
    return known if known is not None else int(text.strip().lower().rstrip("p"))


def _is_height(text: str) -> bool:
    return re.fullmatch(r"\s*(-?\d+p?|[48]k|uhd)\s*", text, re.IGNORECASE) is not None


def crop(text: str) -> tuple[int, int, int, int]:
    """Read `704:480:8:0`, as ffmpeg: width, height, left, top. Raises UsageError."""
    try:
        width, height, left, top = (int(side) for side in text.split(":"))
    except ValueError:
        raise UsageError(f"{text!r} is neither auto nor W:H:X:Y, as 704:480:8:0") from None
    if min(width, height) < 1 or min(left, top) < 0:
        raise UsageError(f"{text!r}: sides are at least 1, X and Y at least 0")
    return width, height, left, top


def share(text: str) -> float:
    """Read `keep`, `remove` or a number from 0 to 1. Raises UsageError."""
    try:
        return float({"keep": "1", "remove": "0"}.get(text.lower(), text))
    except ValueError:
        raise UsageError(f"{text!r} is neither keep, remove nor a number") from None


def pair(text: str) -> tuple[str, str]:
    """Read `name=value`. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"{text!r} is not of the form name=value")
    return name, value
