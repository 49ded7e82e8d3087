"""Options that several commands take, and how they become the options tree."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import click

from vsr.errors import UsageError
from vsr.nets.catalogue import catalogue
from vsr.options import (
    CHROMAS,
    CODECS,
    DEFAULT_MODEL,
    DEINTERLACERS,
    ENGINES,
    MATRICES,
    PIPE_FORMATS,
    PRECISIONS,
    RANGES,
    REUSES,
    STABILISE,
    Clip,
    ColourOptions,
    DeviceOptions,
    EncodeOptions,
    JobOptions,
    ModelOptions,
    Moment,
    SizeOptions,
    SourceOptions,
    TemporalOptions,
    UpscaleOptions,
)

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Scale(click.ParamType[Fraction]):
    """`2`, `1.5` or `4/3`, exactly."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fraction:
        try:
            return Fraction(value)
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is no number such as 2, 1.5 or 4/3", param, ctx)


class Size(click.ParamType[tuple[int, int]]):
    """`1920x1080`."""

    name = "WxH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        try:
            width, height = (int(side) for side in str(value).lower().split("x"))
        except ValueError:
            self.fail(f"{value!r} is no size such as 1920x1080", param, ctx)
        return width, height


class Grain(click.ParamType[float]):
    """`keep`, `remove` or a share."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            return float({"keep": 1, "remove": 0}.get(str(value).lower(), value))
        except ValueError:
            self.fail(f"{value!r} is neither keep, remove nor a number", param, ctx)


class KeyValue(click.ParamType[tuple[str, str]]):
    """`tune=animation`."""

    name = "k=v"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, rest = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is not of the form name=value", param, ctx)
        return key, rest


class Parsed(click.ParamType[T]):
    """What a type of the options tree reads from text by itself."""

    def __init__(self, name: str, kind: type[T], parse: Callable[[str], T]) -> None:
        self.name = name
        self._kind, self._parse = kind, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        try:
            return value if isinstance(value, self._kind) else self._parse(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


_TIME = Parsed("time", Moment, Moment.parse)  # 90.5, 1:30, 1:02:03.5 or 240f
_PART = Parsed("start-end", Clip, Clip.parse)  # 1:20-1:30 or 80+10


def _option(*names: str, **settings: Any) -> Callable[[F], F]:
    """An option of click's, also read from `VSR_` and its long name, in every command."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    return click.option(*names, envvar="VSR" + long[1:].replace("-", "_").upper(), **settings)


def _stack(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def model_source_options(function: F) -> F:
    """Where weights come from."""
    return _stack(
        _option(
            "--models-dir",
            "folder",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder of downloaded and of your own weights.  [default: the user's cache]",
        ),
        _option("--mirror", metavar="URL", help="Download weights from here instead."),
        _option("--offline", is_flag=True, help="Never download."),
    )(function)


def pixel_options(function: F) -> F:
    """Everything that decides what is computed and how it is written."""
    resizers = ", ".join(m.name for m in catalogue() if m.is_resizer)
    return _stack(
        _option(
            "-m",
            "--model",
            default=DEFAULT_MODEL,
            help=f"A name of `vsr models`, a weight file, or {resizers}.",
        ),
        _option(
            "--denoise",
            type=float,
            help="0 keeps noise, 1 removes it; realesr-general-x4v3 only.",
        ),
        _option(
            "--activation", type=click.Choice(["relu", "leakyrelu"]), default="relu",
            help="Of a compact network file that does not say (most say: PReLU).",
        ),
        _option(
            "--keep-colours/--network-colours", default=True,
            help="Take the network's colour drift out again, or leave it in.",
        ),
        _option("-s", "--scale", type=Scale(), help="Any number: 2, 1.5, 4/3."),
        _option("--size", type=Size(), help="The largest of its shape inside WxH."),
        _option("--height", type=int, help="Lines of the result; the width follows."),
        _option(
            "--device", "--devices", default="auto",
            help="auto, cpu, cuda, cuda:1; several share a film: cuda:0,cuda:1.",
        ),
        _option(
            "--workers", type=int,
            help="Processes that share a film.  [default: one for each device]",
        ),
        _option(
            "--precision", type=click.Choice(PRECISIONS), default="auto", help="Of the network."
        ),
        _option(
            "--engine", type=click.Choice(ENGINES), default="auto",
            help="What runs the network; auto tries once, and takes the fastest that is right.",
        ),
        _option(
            "--reuse", type=click.Choice(REUSES), default="off",
            help="What stands still is not drawn again: exact to the bit of the source, safe, "
            "or fast.",
        ),
        _option(
            "--stabilise", type=click.Choice(STABILISE), default="off",
            help="Take out the flicker of texture that the network invents anew for each frame; "
            "auto looks at a few places of the film first.",
        ),
        _option("--deflicker", is_flag=True, help="Take the pumping of light out of old film."),
        _option(
            "--grain", type=Grain(), default="remove", metavar="[keep|remove|0..1]",
            help="Grain that the network removes: keep puts made grain of the same strength and "
            "kind back, a number from 0 to 1 some of it.",
        ),
        _option("--batch", type=int, help="Frames at once.  [default: by memory]"),
        _option(
            "--tile", type=int, help="Side of a tile in source pixels, 0: whole frames.  "
            "[default: by memory]",
        ),
        _option(
            "--tile-overlap", type=int,
            help="Source pixels around a tile.  [default: the network's receptive radius]",
        ),
        _option("--threads", type=int, help="CPU threads of the network.  [default: all]"),
        _option(
            "--matrix", type=click.Choice(MATRICES), default="auto",
            help="Read the source with this colour matrix, whatever its tags say.",
        ),
        _option(
            "--range", "range_", type=click.Choice(RANGES), default="auto",
            help="Read the source with this range, whatever its tags say.",
        ),
        _option(
            "--start", type=_TIME,
            help="Begin with the frame shown then: 90.5, 1:30, 1:02:03.5, or 240f for a frame's "
            "number, from 0.",
        ),
        _option("--end", type=_TIME, help="End before the frame shown then."),
        _option("--duration", type=_TIME, help="In place of --end; 100f: so many frames."),
        _option(
            "--clip", "clips", type=_PART, multiple=True,
            help="A part, as 1:20-1:30 or 80+10; repeatable: joined in the order given.",
        ),
        _option(
            "--follow", type=float, metavar="SECONDS",
            help="The file is still being written: read on until it stands still for so long.",
        ),
        _option(
            "--timeout", "patience", type=float, default=30.0, metavar="SECONDS",
            help="Without a byte from an address, until it counts as broken off.",
        ),
        _option(
            "--strict", is_flag=True,
            help="Decode all of the video first, and refuse it if anything in it is damaged.",
        ),
        _option(
            "--stream", type=int,
            help="The video to upscale, as `vsr probe` counts.  [default: the main one]",
        ),
        _option(
            "--deinterlace", type=click.Choice(DEINTERLACERS), default="auto",
            help="auto looks at the pictures; ivtc restores telecined film.",
        ),
        _option(
            "--fps", type=Scale(),
            help="Of the film that pictures become, 24 or 24000/1001; of a film that becomes "
            "pictures, how many a second.  [default: 25; every frame]",
        ),
        _option(
            "--codec", type=click.Choice(CODECS), help="[default: what is usual in the container]"
        ),
        _option(
            "--pipe-format", type=click.Choice(PIPE_FORMATS), default="nut",
            help="Of standard output (-o -): nut has timestamps and sound, y4m neither.",
        ),
        _option("--no-audio", is_flag=True, help="Leave the sound out."),
        _option(
            "--crf", type=float, help="Quality; lower is better.  [default: by codec, high]"
        ),
        _option(
            "--preset",
            help="The encoder's own speed setting. At equal quality h264's veryfast is 1.3 times "
            "as fast as its default and a tenth larger; --codec av1 is nearly as fast as that "
            "default and half as large, but older devices do not play it.  [default: by codec]",
        ),
        _option("--bits", type=click.Choice(["8", "10"]), help="[default: as the source]"),
        _option(
            "--chroma", type=click.Choice(CHROMAS), default="auto",
            help="420: what every player plays, also of tapes in 4:2:2.  [default: as the source]",
        ),
        _option(
            "--part", type=float, default=10.0, metavar="SECONDS",
            help="Of film that are finished together: what a kill can cost at most.",
        ),
        _option(
            "--encoder-option", "encoder_options", type=KeyValue(), multiple=True,
            help="Handed to the encoder after a check that it knows the name; repeatable.",
        ),
        model_source_options,
    )(function)  # fmt: skip


def options_from(values: dict[str, Any]) -> UpscaleOptions:
    """The tree, from the values of `pixel_options` (and `overwrite`, if the command has it)."""
    bits = values["bits"]
    return UpscaleOptions(
        model=ModelOptions(
            name=values["model"],
            denoise=values["denoise"],
            activation=values["activation"],
            folder=values["folder"],
            mirror=values["mirror"],
            offline=values["offline"],
            keep_colours=values["keep_colours"],
        ),
        size=SizeOptions(scale=values["scale"], fit=values["size"], height=values["height"]),
        device=DeviceOptions(
            device=values["device"],
            precision=values["precision"],
            engine=values["engine"],
            reuse=values["reuse"],
            batch=values["batch"],
            tile=values["tile"],
            overlap=values["tile_overlap"],
            threads=values["threads"],
            workers=values["workers"],
        ),
        temporal=TemporalOptions(
            stabilise=values["stabilise"], deflicker=values["deflicker"], grain=values["grain"]
        ),
        source=SourceOptions(
            clips=_clips(values),
            follow=values["follow"],
            patience=values["patience"],
            deinterlace=values["deinterlace"],
            strict=values["strict"],
            stream=values["stream"],
            fps=values["fps"],
        ),
        colour=ColourOptions(matrix=values["matrix"], range=values["range_"]),
        encode=EncodeOptions(
            codec=values["codec"],
            crf=values["crf"],
            preset=values["preset"],
            bits=int(bits) if bits else None,
            chroma=values["chroma"],
            encoder_options=tuple(values["encoder_options"]),
            pipe_format=values["pipe_format"],
            audio=not values["no_audio"],
            overwrite=values.get("overwrite", False),
        ),
        jobs=JobOptions(part=values["part"], restart=values.get("restart", False)),
    )


def _clips(values: dict[str, Any]) -> tuple[Clip, ...]:
    single = {name: values[name] for name in ("start", "end", "duration")}
    clips: tuple[Clip, ...] = tuple(values["clips"])
    if not any(single.values()):
        return clips
    if clips:
        raise UsageError("--clip: not together with --start, --end or --duration")
    return (Clip(**single),)
