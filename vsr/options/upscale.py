"""The options of a run, as a tree of frozen dataclasses.

Values are checked when the tree is built, so that a stage never sees a bad one. A message
names an option as `<size.scale>`; whoever shows it puts the name there that people use.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from vsr.errors import UsageError
from vsr.options.media import ColourOptions, EncodeOptions, SourceOptions
from vsr.options.table import option, takes_former_names
from vsr.options.values import (
    DEFAULT_MODEL,
    KERNELS,
    Consistency,
    EngineName,
    FilterStrength,
    PlainActivation,
    Precision,
    Reuse,
    factor,
    lines,
    pair,
    share,
    size,
)

_NO = {"no": "off", "none": "off", "false": "off"}


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which network, from where."""

    name: str = option(
        DEFAULT_MODEL,
        "-m",
        "--model",
        common=True,
        help=f"Network: a name of `vsr models`, a weight file, or {', '.join(KERNELS)}. The "
        "default is for anime and cartoons; x4plus and general are for what a camera took.",
    )
    then: str | None = option(
        None,
        "--then",
        belongs_to="model.name",
        metavar="TEXT",
        help="Another network for what --model has made: `--model restore.pth --then x4plus`. Both "
        "in one pass; sizes and colours are those of both together.",
    )
    denoise: float | None = option(
        None,
        "--denoise",
        belongs_to="model.name",
        help="How much noise to remove, 0 to 1; realesr-general-x4v3 only.",
    )
    activation: PlainActivation = option(
        "relu",
        "--activation",
        belongs_to="model.name",
        help="Activation of a compact network whose file does not say it (most do: PReLU).",
    )
    keep_colours: bool = option(
        True,
        "--keep-colours/--network-colours",
        help="Take the network's colour drift out again, or leave it in.",
    )
    consistent: Consistency = option(
        "auto",
        "--consistent",
        common=True,
        also=_NO,
        help="Change the result so that, made smaller, it is the source again, in so many steps; "
        "auto takes two, which keep noise out, where the source is coded without loss.",
    )
    strength: float = option(
        1.0,
        "--strength",
        common=True,
        metavar="0..1",
        help="Keep this much of the detail that the network invented, 0 to 1; the rest is a "
        "classical enlargement.",
    )
    folder: Path | None = option(
        None,
        "--models-dir",
        changes_result=False,
        metavar="DIRECTORY",
        help="Keep downloaded weights, and look for your own, in this folder.  [default: the "
        "user's cache]",
    )
    mirror: str | None = option(
        None,
        "--mirror",
        changes_result=False,
        metavar="URL",
        help="Download weights from this address instead.",
    )
    offline: bool = option(
        False, "--offline", changes_result=False, help="Never download anything."
    )

    def __post_init__(self) -> None:
        if self.denoise is not None and not 0 <= self.denoise <= 1:
            raise UsageError(f"<model.denoise> {self.denoise}: must lie between 0 and 1")
        if self.then is not None and (self.name in KERNELS or self.then in KERNELS):
            raise UsageError(
                f"<model.then> {self.then}: joins two networks, and {', '.join(KERNELS)} are none"
            )
        if not 0 <= self.strength <= 1:
            raise UsageError(f"<model.strength> {self.strength:g}: must lie between 0 and 1")
        if not self.keep_colours and self.consistent not in ("auto", "off"):
            raise UsageError(
                f"<model.consistent> {self.consistent} keeps the source's colours, which "
                "<model.keep_colours> does not; give only one of them"
            )

    @property
    def steps(self) -> tuple[ModelOptions, ...]:
        """One for each of the networks, in their order."""
        if self.then is None:
            return (self,)
        return replace(self, then=None), replace(self, name=self.then, then=None, denoise=None)


@dataclass(frozen=True, kw_only=True)
class SizeOptions:
    """How large. At most one of the three; none: the network's own scale."""

    scale: Fraction | None = option(
        None,
        "-s",
        "--scale",
        parse=factor,
        metavar="NUMBER",
        common=True,
        one_of="size",
        help="Enlarge by this factor: 2, 1.5, 4/3.  [default: the model's own]",
    )
    fit: tuple[int, int] | None = option(
        None,
        "--size",
        parse=size,
        metavar="WxH",
        common=True,
        one_of="size",
        help="Make the result as large as fits inside WxH.",
    )
    height: int | None = option(
        None,
        "--height",
        parse=lines,
        metavar="LINES",
        common=True,
        one_of="size",
        help="Make the result this many lines high, as 1080, 1080p or 4k; the width follows.",
    )
    square: bool = option(
        False,
        "--square",
        help="Make the pixels square, as of a DVD for the web; without it they keep their shape.",
    )

    def __post_init__(self) -> None:
        if sum(x is not None for x in (self.scale, self.fit, self.height)) > 1:
            raise UsageError("<size.scale>, <size.fit> and <size.height>: give only one of them")
        if self.scale is not None and not Fraction(1, 16) <= self.scale <= 64:
            raise UsageError(f"<size.scale> {float(self.scale):g}: must lie between 1/16 and 64")
        sides = [("fit", side) for side in self.fit or ()] + [("height", self.height)]
        for name, side in sides:
            if side is not None and not 2 <= side <= 32768:
                raise UsageError(f"<size.{name}> {side}: must lie between 2 and 32768 pixels")


@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """Where and how the network runs."""

    device: str = option(
        "auto",
        "--device",
        "--devices",
        changes_result=False,
        common=True,
        help="Run on auto, cpu, cuda, cuda:1, vulkan or vulkan:1; several share a film: "
        "cuda:0,cuda:1.",
    )
    workers: int | None = option(
        None,
        "--workers",
        changes_result=False,
        help="Share a film among this many processes.  [default: one for each device]",
    )
    cluster: str | None = option(
        None,
        "--cluster",
        changes_result=False,
        metavar="auto|HOST:PORT",
        help="Share a film among the machines of a Ray cluster that this one has joined; source "
        "and output lie where all see them.",
    )
    label: tuple[str, str] | None = option(
        None,
        "--cluster-label",
        changes_result=False,
        parse=pair,
        metavar="K=V",
        belongs_to="device.cluster",
        help="Take only the cluster's nodes with this label (`ray start --labels`), so that all "
        "compute alike.",
    )
    precision: Precision = option(
        "auto",
        "--precision",
        also={
            "half": "fp16",
            "float16": "fp16",
            "float32": "fp32",
            "full": "fp32",
            "bfloat16": "bf16",
        },
        help="Compute the network in these numbers; auto takes the fastest that are right here.",
    )
    engine: EngineName = option(
        "auto",
        "--engine",
        help="Run the network with this engine; auto tries once, and takes the fastest that is "
        "right.",
    )
    reuse: Reuse = option(
        "off",
        "--reuse",
        common=True,
        also=_NO,
        help="Upscale only what changed since the last frame: exact (to the bit of the source), "
        "safe (no loss that can be seen), or fast.",
    )
    batch: int | None = option(
        None,
        "--batch",
        changes_result=False,
        help="Put this many frames through the network at once.  [default: by memory]",
    )
    tile: int | None = option(
        None,
        "--tile",
        help="Cut frames into tiles of this many source pixels a side; 0: whole frames.  "
        "[default: by memory]",
    )
    overlap: int | None = option(
        None,
        "--tile-overlap",
        help="Overlap tiles by this many source pixels.  [default: the network's receptive radius]",
    )
    threads: int | None = option(
        None,
        "--threads",
        changes_result=False,
        help="Run the network on this many CPU threads.  [default: all]",
    )

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"<device.batch> {self.batch}: must be at least 1")
        if self.tile is not None and self.tile != 0 and self.tile < 16:
            raise UsageError(f"<device.tile> {self.tile}: must be 0 (off) or at least 16")
        if self.overlap is not None and self.overlap < 0:
            raise UsageError(f"<device.overlap> {self.overlap}: must not be negative")
        if self.workers is not None and not 1 <= self.workers <= 64:
            raise UsageError(f"<device.workers> {self.workers}: must lie between 1 and 64")
        if self.threads is not None and not 1 <= self.threads <= 1024:
            raise UsageError(f"<device.threads> {self.threads}: must lie between 1 and 1024")


@takes_former_names
@dataclass(frozen=True, kw_only=True)
class TemporalOptions:
    """What is done about flicker, light that pumps, and grain."""

    filter: FilterStrength = option(
        "off",
        "--temporal-filter",
        common=True,
        also=_NO,
        former_flags=("--stabilise",),
        former_name="stabilise",
        help="Take out the flicker of texture that the network invents anew for each frame; auto "
        "looks at a few places of the film first.",
    )
    deflicker: bool = option(
        False, "--deflicker", help="Take the pumping of light out of old film."
    )
    grain: float = option(
        0.0,
        "--grain",
        common=True,
        parse=share,
        metavar="[keep|remove|0..1]",
        default_text="remove",
        help="Put film grain back that the network removes: keep adds new grain of the same "
        "strength and kind, a number from 0 to 1 a part of it.",
    )

    def __post_init__(self) -> None:
        if not 0 <= self.grain <= 1:
            raise UsageError(f"<temporal.grain> {self.grain:g}: must lie between 0 and 1")


@takes_former_names
@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """How the work is kept safe."""

    segment: float = option(
        10.0,
        "--segment",
        metavar="SECONDS",
        changes_result=False,  # a job remembers its segments themselves
        former_flags=("--part",),
        former_name="part",
        help="Finish the film in segments of this many seconds; a kill loses at most one.",
    )
    restart: bool = option(
        False,
        "--restart",
        changes_result=False,
        help="Throw away what an earlier run has finished.",
    )

    def __post_init__(self) -> None:
        if not 0.1 <= self.segment <= 86400:
            raise UsageError(
                f"<jobs.segment> {self.segment:g}: must lie between 0.1 and 86400 seconds"
            )


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
