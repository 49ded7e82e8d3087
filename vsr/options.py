"""One tree of frozen options: the command line, the Python API and a file say the same.

`to_dict` and `from_dict` carry the tree through JSON. Values are checked when
the tree is built, so that a stage never sees a bad one.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar

from vsr.errors import UsageError

Precision = Literal["auto", "fp32", "fp16", "bf16"]
EngineName = Literal["auto", "torch", "ncnn", "cuda"]
Reuse = Literal["off", "exact", "safe", "fast"]
Stabilise = Literal["off", "light", "strong", "auto"]
Codec = Literal[
    "h264", "h265", "av1", "vp9", "ffv1", "prores", "h264_nvenc", "hevc_nvenc", "av1_nvenc",
    "gif", "apng", "webp", "png", "jpeg", "raw",
]  # fmt: skip
PipeFormat = Literal["nut", "y4m"]
Chroma = Literal["auto", "420"]
MatrixChoice = Literal["auto", "bt601", "bt709", "bt2020"]
RangeChoice = Literal["auto", "limited", "full"]

Activation = Literal["prelu", "relu", "leakyrelu"]
Deinterlace = Literal["auto", "off", "bwdif", "ivtc"]

Metric = Literal["psnr", "ssim", "ms-ssim", "vmaf", "warping", "flicker", "tof"]
VmafModel = Literal["vmaf_v0.6.1", "vmaf_v0.6.1neg", "vmaf_4k_v0.6.1"]
Kernel = Literal["nearest", "bicubic", "lanczos"]

PRECISIONS: tuple[Precision, ...] = typing.get_args(Precision)
ENGINES: tuple[EngineName, ...] = typing.get_args(EngineName)
REUSES: tuple[Reuse, ...] = typing.get_args(Reuse)
STABILISE: tuple[Stabilise, ...] = typing.get_args(Stabilise)
CODECS: tuple[Codec, ...] = typing.get_args(Codec)
MATRICES: tuple[MatrixChoice, ...] = typing.get_args(MatrixChoice)
CHROMAS: tuple[Chroma, ...] = typing.get_args(Chroma)
PIPE_FORMATS: tuple[PipeFormat, ...] = typing.get_args(PipeFormat)
DEINTERLACERS: tuple[Deinterlace, ...] = typing.get_args(Deinterlace)
RANGES: tuple[RangeChoice, ...] = typing.get_args(RangeChoice)
METRICS: tuple[Metric, ...] = typing.get_args(Metric)
VMAF_MODELS: tuple[VmafModel, ...] = typing.get_args(VmafModel)
KERNELS: tuple[Kernel, ...] = typing.get_args(Kernel)

DEFAULT_MODEL = "realesr-animevideov3"


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which network, from where."""

    name: str = DEFAULT_MODEL  # a name or alias of the catalogue, or the path of a weight file
    denoise: float | None = None  # 0 keeps noise .. 1 removes it; realesr-general-x4v3 only
    activation: Activation = "relu"  # of a compact network file without PReLU parameters
    folder: Path | None = None  # where downloads are kept; default: the user's cache
    mirror: str | None = None  # base URL in place of the official release addresses
    offline: bool = False  # never download
    keep_colours: bool = True  # take the network's slow colour drift out (vsr.stages.anchor)

    def __post_init__(self) -> None:
        if self.denoise is not None and not 0 <= self.denoise <= 1:
            raise UsageError(f"--denoise {self.denoise}: must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class SizeOptions:
    """How large. At most one of the three; none: the network's own scale."""

    scale: Fraction | None = None
    fit: tuple[int, int] | None = None  # the largest (width, height) of the same shape inside
    height: int | None = None

    def __post_init__(self) -> None:
        if sum(x is not None for x in (self.scale, self.fit, self.height)) > 1:
            raise UsageError("--scale, --size and --height: give only one of them")
        if self.scale is not None and not Fraction(1, 16) <= self.scale <= 64:
            raise UsageError(f"--scale {float(self.scale):g}: must lie between 1/16 and 64")
        for side in (*(self.fit or ()), *(() if self.height is None else (self.height,))):
            if not 2 <= side <= 32768:
                raise UsageError(
                    f"--size, --height: a side of {side} pixels must lie between 2 and 32768"
                )


@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """Where and how the network runs."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1; several as cuda:0,cuda:1
    precision: Precision = "auto"
    engine: EngineName = "auto"  # the runtime; auto: the fastest here that is right
    reuse: Reuse = "off"  # of what was drawn before, where the source stands still
    batch: int | None = None  # frames at once; None: by memory
    tile: int | None = None  # side in source pixels; 0: whole frames if they fit; None: by memory
    overlap: int | None = None  # around each tile; None: the network's receptive radius
    threads: int | None = None  # CPU threads of the network; None: all
    workers: int | None = None  # processes that share a film; None: one for each device

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"--batch {self.batch}: must be at least 1")
        if self.tile is not None and self.tile != 0 and self.tile < 16:
            raise UsageError(f"--tile {self.tile}: must be 0 (off) or at least 16")
        if self.overlap is not None and self.overlap < 0:
            raise UsageError(f"--tile-overlap {self.overlap}: must not be negative")
        if self.workers is not None and not 1 <= self.workers <= 64:
            raise UsageError(f"--workers {self.workers}: must lie between 1 and 64")
        if self.threads is not None and not 1 <= self.threads <= 1024:
            raise UsageError(f"--threads {self.threads}: must lie between 1 and 1024")


@dataclass(frozen=True, kw_only=True)
class TemporalOptions:
    """What is done about flicker, light that pumps, and grain."""

    stabilise: Stabilise = "off"  # how far a frame may lean on those beside it; auto: by measure
    deflicker: bool = False  # take the pumping of light out
    grain: float = 0.0  # share of the grain that the network removes which is put back

    def __post_init__(self) -> None:
        if not 0 <= self.grain <= 1:
            raise UsageError(f"--grain {self.grain:g}: must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class ColourOptions:
    """What to believe about the source's colours when its tags are missing or wrong."""

    matrix: MatrixChoice = "auto"
    range: RangeChoice = "auto"


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
        """`90`, `90.5`, `1:30`, `1:02:03.5`, or `240f` for a frame. Raises UsageError."""
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
            raise UsageError("--end and --duration: give only one of them for a clip")

    @classmethod
    def parse(cls, text: str) -> Clip:
        """`START-END` or `START+DURATION`; either side may be left out. Raises UsageError."""
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


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What is read of the source."""

    clips: tuple[Clip, ...] = ()  # played one after the other; none: the whole film
    follow: float | None = None  # seconds that a file must stand still to count as complete
    patience: float = 30.0  # seconds without a byte from an address
    deinterlace: Deinterlace = "auto"  # auto: what a look at the pictures asks for
    strict: bool = False  # refuse a source whose video is damaged anywhere
    stream: int | None = None  # the video to upscale, by its index; None: the main one
    # Frames per second: of the film that pictures become (None: 25), or of the pictures that
    # are taken out of a film (None: every frame).
    fps: Fraction | None = None

    def __post_init__(self) -> None:
        for name, value in (("--follow", self.follow), ("--timeout", self.patience)):
            if value is not None and not 0 < value <= 86400:
                raise UsageError(f"{name} {value:g}: must be a time in seconds")
        if self.fps is not None and not Fraction(1, 86400) <= self.fps <= 1000:
            raise UsageError(f"--fps {self.fps}: must lie between one a day and 1000")


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """How the result is written."""

    codec: Codec | None = None  # None: what is usual in the output's container
    crf: float | None = None  # the encoder's own scale; None: the codec's default here
    preset: str | None = None
    bits: int | None = None  # 8 or 10; None: as the source
    chroma: Chroma = "auto"  # auto: as the source, as far as the codec can
    encoder_options: tuple[tuple[str, str], ...] = ()  # handed to the encoder as they are
    pipe_format: PipeFormat = "nut"  # of what goes to standard output
    audio: bool = True  # False: the source's sound is not wanted
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.bits not in (None, 8, 10):
            raise UsageError(f"--bits {self.bits}: must be 8 or 10")


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """How the work is kept safe."""

    part: float = 10.0  # seconds of film that are finished together, and lost by a kill at most
    restart: bool = False  # throw away what an earlier run has finished

    def __post_init__(self) -> None:
        if not 0.1 <= self.part <= 86400:
            raise UsageError(f"--part {self.part:g}: must lie between 0.1 and 86400 seconds")


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions:
    """Everything that a run needs to know besides the names of its files."""

    model: ModelOptions = field(default_factory=ModelOptions)
    size: SizeOptions = field(default_factory=SizeOptions)
    device: DeviceOptions = field(default_factory=DeviceOptions)
    temporal: TemporalOptions = field(default_factory=TemporalOptions)
    source: SourceOptions = field(default_factory=SourceOptions)
    colour: ColourOptions = field(default_factory=ColourOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    jobs: JobOptions = field(default_factory=JobOptions)


@dataclass(frozen=True, kw_only=True)
class MetricsOptions:
    """How a film is compared with a reference."""

    metrics: tuple[Metric, ...] | None = None  # None: psnr, ssim and vmaf, as far as they can be
    resize: Kernel | None = None  # brings OUT to REF's size; None: the sizes have to be equal
    vmaf_model: VmafModel = "vmaf_v0.6.1"
    colour: ColourOptions = field(default_factory=ColourOptions)  # of both
    crop: bool = False  # cuts OUT's right and bottom to REF's size instead
    align: bool = False  # the first frames belong together, whatever their times
    fps: Fraction | None = None  # of pictures; None: the other one's rate

    def __post_init__(self) -> None:
        if self.crop and self.resize is not None:
            raise UsageError("--crop and --resize: give only one of them")
        if self.metrics is not None and not self.metrics:
            raise UsageError(f"--metric: name at least one of {', '.join(METRICS)}")
        for name in self.metrics or ():
            if name not in METRICS:
                raise UsageError(f"--metric {name}: must be one of {', '.join(METRICS)}")
        if self.fps is not None and not Fraction(1, 86400) <= self.fps <= 1000:
            raise UsageError(f"--fps {self.fps}: must lie between one a day and 1000")


# --- the same object as plain JSON types ---

O = TypeVar("O")  # noqa: E741  (an options dataclass)


def to_dict(options: object) -> dict[str, Any]:
    """Plain JSON types: fractions become "3/2", paths become strings, tuples lists."""

    def plain(value: object) -> Any:
        if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Fraction | Path):
            return str(value)
        if isinstance(value, tuple):
            return [plain(v) for v in value]
        return value

    return typing.cast("dict[str, Any]", plain(options))


def from_dict(kind: type[O], data: Mapping[str, Any]) -> O:
    """The inverse of `to_dict`. Raises UsageError for a name or value that does not belong."""
    if not isinstance(data, Mapping):
        raise UsageError(f"{kind.__name__}: {data!r} is no table of options")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise UsageError(f"{kind.__name__}: no option is called {', '.join(unknown)}")
    return kind(**{name: _parse(hints[name], value, name) for name, value in data.items()})


# What JSON may hold where an option of that type is wanted.
_PLAIN: dict[Any, tuple[type, ...]] = {
    int: (int,),
    float: (int, float),
    bool: (bool,),
    str: (str,),
    Path: (str, Path),
    Fraction: (int, str, Fraction),
}


def _parse(hint: Any, value: Any, name: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = (a for a in arguments if a is not type(None))
        return _parse(inner, value, name)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast("type[Any]", hint), value)
    if origin is Literal:
        if value not in arguments:
            raise UsageError(f"{name} {value!r}: must be one of {', '.join(arguments)}")
        return value
    wrong = UsageError(f"{name} {value!r}: not a {getattr(hint, '__name__', 'list')}")
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise wrong
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) != len(value):
            raise wrong
        return tuple(_parse(h, v, name) for h, v in zip(inner, value, strict=True))
    if not isinstance(value, _PLAIN[hint]) or (isinstance(value, bool) and hint is not bool):
        raise wrong
    try:
        return hint(value)
    except (ArithmeticError, ValueError):
        raise wrong from None
