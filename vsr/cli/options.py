"""The options tree as options of click's, and back: both derived from the table of options."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from vsr.cli.help.sections import SectionOption
from vsr.cli.values import Choices, ModelName, ParsedValue, PresetName
from vsr.errors import UsageError, worded
from vsr.options import (
    Clip,
    MetricsOptions,
    Moment,
    OptionField,
    UpscaleOptions,
    flags,
    leaves,
    variable,
)
from vsr.train.options import FinetuneOptions, TrainOptions

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_FORMER = "former__"


def _named(root: str, kind: type[Any]) -> dict[str, str]:
    """Return the flags of a tree as messages name its options, those at its root by `root`."""
    table = flags(kind)
    return {path if "." in path else f"{root}.{path}": flag for path, flag in table.items()}


_FLAGS = {
    "output": "-o",
    "separate": "--separate",
    "like": "--like",
    **flags(UpscaleOptions),
    **_named("metrics", MetricsOptions),
    **_named("train", TrainOptions),
    **_named("finetune", FinetuneOptions),
}


def for_people(text: str) -> str:
    """Put the command line's flags where a message names options."""
    return worded(text, _FLAGS)


def tree_options(
    kind: type[Any], *, without: Collection[str] = (), only: str = "", environment: bool = True
) -> Callable[[F], F]:
    """Decorate a command with the options of the tree `kind`, for `tree_of`.

    `without`: paths of options that the command does not have; `only`: how the paths of all
    that it has begin; `environment`: whether variables set them, too.
    """

    def decorate(function: F) -> F:
        for leaf in reversed(list(leaves(kind))):
            if leaf.path not in without and leaf.path.startswith(only):
                for add in reversed(list(_options(leaf, environment=environment))):
                    function = add(function)
        return function

    return decorate


def upscale_options(function: F) -> F:
    """Decorate a command with everything that decides what is computed, and how it is written."""
    time = ParsedValue("time", Moment.parse, for_people)
    about: dict[str, Any] = {"type": time, "cls": SectionOption, "section": "source"}
    more = (
        click.option(
            "--start", **about, common=True, envvar=variable("--start"),
            help="Begin with the frame shown then: 90.5, 1:30, 1:02:03.5, or 240f for a frame's "
            "number, from 0.",
        ),
        click.option(
            "--end", **about, common=True, envvar=variable("--end"),
            help="End before the frame shown then.",
        ),
        click.option(
            "--duration", **about, envvar=variable("--duration"),
            help="End so much later than --start, in place of --end; 100f: so many frames.",
        ),
        click.option(
            "--for", "preset_name", cls=SectionOption, common=True, metavar="PRESET",
            envvar=variable("--for"), type=PresetName(),
            help="Take what is good for anime, film, vhs, archive, gif, highlight, fast or best; "
            "`vsr presets` has them, and yours. Other options go before it.",
        ),
    )  # fmt: skip
    for add in reversed(more):
        function = add(function)
    return tree_options(UpscaleOptions, without=("encode.overwrite", "jobs.restart"))(function)


def tree_of(kind: type[T], values: Mapping[str, Any], others: Mapping[str, Any] | None = None) -> T:
    """Build the tree from the values that click found for `tree_options`. Raises UsageError.

    `others`: what is no option, by its path.
    """
    given = {
        leaf.path: _value(leaf, values)
        for leaf in leaves(kind)
        if parameter_name(leaf.path) in values
    }
    return _built(kind, {**given, **(others or {})}, "")


def upscale_tree(values: Mapping[str, Any]) -> UpscaleOptions:
    """Build the options as `tree_of` does, for `upscale_options`. Raises UsageError."""
    options = tree_of(UpscaleOptions, values)
    single = {name: values[name] for name in ("start", "end", "duration")}
    if not any(single.values()):
        return options
    if options.source.clips:
        raise UsageError("<source.clips>: not together with --start, --end or --duration")
    source = dataclasses.replace(options.source, clips=(Clip(**single),))
    return dataclasses.replace(options, source=source)


def _options(leaf: OptionField, *, environment: bool) -> Iterator[Callable[[F], F]]:
    """Yield the options of click's for one of the tree: its own, and hidden ones of former
    names.
    """
    told, kind = leaf.option, leaf.inner_type
    several = typing.get_origin(kind) is tuple and told.parse is not None and leaf.default == ()
    settings: dict[str, Any] = {"help": told.help, "metavar": told.metavar}
    if kind is bool:
        settings |= {"default": leaf.default} if "/" in told.flags[0] else {"is_flag": True}
    else:
        settings |= {"type": _type(leaf), "multiple": several}
        settings |= {} if several else {"default": leaf.default}
        settings |= {"show_default": told.default_text} if told.default_text else {}
    section, _, _ = leaf.path.rpartition(".")
    settings |= {"cls": SectionOption, "section": section, "common": told.common}
    variable_name = leaf.environment if environment else None
    yield click.option(*told.flags, parameter_name(leaf.path), envvar=variable_name, **settings)
    for flag in told.former_flags:
        settings |= {"hidden": True, "default": None, "callback": _renamed(leaf)}
        yield click.option(
            flag,
            _FORMER + parameter_name(leaf.path),
            envvar=variable(flag),
            expose_value=False,
            **settings,
        )


def _renamed(leaf: OptionField) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Take what was given by a former name for what it is called now, and say so."""

    def take(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None:
            click.echo(f"vsr: {parameter.opts[0]} is called {leaf.flag} now", err=True)
            context.meta[_FORMER + leaf.path] = value

    return take


def _type(leaf: OptionField) -> Any:
    kind, told = leaf.inner_type, leaf.option
    if told.parse is not None:
        return ParsedValue(told.metavar or leaf.path, told.parse, for_people)
    if typing.get_origin(kind) is Literal:
        return Choices([str(value) for value in typing.get_args(kind)], told.also)
    if leaf.path in ("model.name", "model.then", "start"):
        return ModelName()
    if kind is Path:
        return click.Path(file_okay=leaf.path != "model.folder", path_type=Path)
    return kind


def parameter_name(path: str) -> str:
    """Return the name in click of the option at `path`: `size__scale`."""
    return path.replace(".", "__")


def given_by_former_flag(leaf: OptionField) -> bool:
    """Return whether the command line, or the environment, has an option by its former name."""
    return _FORMER + leaf.path in click.get_current_context().meta


def _value(leaf: OptionField, values: Mapping[str, Any]) -> Any:
    context = click.get_current_context(silent=True)
    former = context.meta.get(_FORMER + leaf.path) if context is not None else None
    value = values[parameter_name(leaf.path)] if former is None else former
    if typing.get_origin(leaf.inner_type) is Literal and value is not None:  # of numbers, too
        return {str(known): known for known in typing.get_args(leaf.inner_type)}[str(value)]
    return value


def _built(kind: type[T], given: Mapping[str, Any], path: str) -> T:
    hints = typing.get_type_hints(kind)
    values = {}
    for one in dataclasses.fields(typing.cast("Any", kind)):
        name = f"{path}{one.name}"
        if name in given:
            values[one.name] = given[name]
        elif dataclasses.is_dataclass(hints[one.name]):
            values[one.name] = _built(hints[one.name], given, f"{name}.")
    return kind(**values)
