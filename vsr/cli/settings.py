"""The options of a command, settled: command line, environment, files and presets together.

docs/configuration.md has the rules; `--explain` shows what came of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from vsr.cli.options import given_by_former_flag, parameter_name, upscale_tree
from vsr.cli.work import WorkCommand
from vsr.config import Layer, Settled, beside, settle, user_layer
from vsr.config.places import BESIDE, preset
from vsr.config.reader import options_by_key
from vsr.errors import UsageError
from vsr.events import Note
from vsr.options import OptionField, UpscaleOptions, leaves

_NEAR = (ParameterSource.COMMANDLINE, ParameterSource.PROMPT)
LINE, ENVIRONMENT = "the command line", "the environment"


def settled_options(
    values: Mapping[str, Any], sources: Sequence[str]
) -> tuple[UpscaleOptions, Settled]:
    """Return the options for `sources`, and where they come from. Raises UsageError."""
    settled = settle(_layers(values, sources), preset)
    named = {parameter_name(path): value for path, value in settled.values.items()}
    return upscale_tree({**values, **named}), settled


def preset_to_save(values: Mapping[str, Any]) -> Settled:
    """Return what is given on the command line, and what of the preset that it names.

    Raises UsageError for what no file may settle.
    """
    given = _given(values, LINE, _NEAR)
    known = {leaf.path for leaf in options_by_key().values()}
    for leaf in leaves(UpscaleOptions):
        if leaf.path in given.values and leaf.path not in known:
            raise UsageError(f"<{leaf.path}>: is given anew with each film, not saved")
    if any(values[name] for name in ("start", "end", "duration")):
        raise UsageError("--start, --end, --duration: are given anew with each film, not saved")
    upscale_tree(values)
    settled = settle([given], preset)
    if not settled.values:
        raise UsageError("no option is given that could be saved")
    return settled


def with_user_settings(values: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Return the values of a command that has the options of one group alone.

    What was not given is as the user's own settings have it.
    """
    layer = user_layer()
    found = dict(values)
    for path, value in (layer.values if layer is not None else {}).items():
        name = path.removeprefix(f"{group}.")
        if name in found and _source(name) not in (*_NEAR, ParameterSource.ENVIRONMENT):
            found[name] = value
    return found


def note_of(settled: Settled) -> Note | None:
    """Return the note that a film's own settings are used, which may be a surprise."""
    names = {name for name in settled.origins.values() if Path(name).name == BESIDE}
    return Note(text=f"settings of {', '.join(names)}; --explain shows them") if names else None


class SettledCommand(WorkCommand):
    """A command with the options of a run; with `--explain` it only says what they are."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        """Take what click's commands take."""
        super().__init__(*arguments, **settings)
        told = "Only show which options are set, and where each comes from."
        self.params.append(click.Option(["--explain"], is_flag=True, help=told))

    def invoke(self, ctx: click.Context) -> Any:
        """Work, or explain."""
        if not ctx.params.pop("explain", False):
            return super().invoke(ctx)
        params = ctx.params
        sources = params["sources"] if "sources" in params else (params["source"],)
        for line in explanation(settled_options(params, sources)[1]):
            click.echo(line)
        return None


def explanation(settled: Settled) -> Iterator[str]:
    """Yield what is not as it is by default, where it comes from, and what was left out."""
    shown = [
        (leaf.switch if leaf.switch and value is False else leaf.flag, _plain(value), origin)
        for leaf in leaves(UpscaleOptions)
        if (origin := settled.origins.get(leaf.path)) is not None
        for value in (settled.values[leaf.path],)
    ]
    widths = [max((len(row[n]) for row in shown), default=0) for n in range(2)]
    for flag, value, origin in shown:
        yield f"{flag:{widths[0]}}  {value:{widths[1]}}  from {origin}"
    yield from (f"left out: {line}" for line in settled.left_out)
    yield "All else is as `vsr upscale --help` has it."


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple) and value and all(isinstance(side, int) for side in value):
        return "x".join(map(str, value))
    if isinstance(value, tuple):
        return ", ".join("=".join(v) if isinstance(v, tuple) else str(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _layers(values: Mapping[str, Any], sources: Sequence[str]) -> list[Layer]:
    """Return the places, the nearest first."""
    found = [
        _given(values, LINE, _NEAR),
        _given(values, ENVIRONMENT, (ParameterSource.ENVIRONMENT,)),
        beside(list(_local(sources))),
        user_layer(),
    ]
    return [layer for layer in found if layer is not None]


def _given(values: Mapping[str, Any], name: str, kinds: tuple[ParameterSource, ...]) -> Layer:
    given = {
        leaf.path: values[parameter_name(leaf.path)]
        for leaf in leaves(UpscaleOptions)
        if _is_given(leaf, kinds)
    }
    preset_name = values.get("preset_name") if _source("preset_name") in kinds else None
    return Layer(name=name, values=given, preset=preset_name, is_typed=True)


def _is_given(leaf: OptionField, kinds: tuple[ParameterSource, ...]) -> bool:
    if given_by_former_flag(leaf):
        return kinds is _NEAR
    return _source(parameter_name(leaf.path)) in kinds


def _source(name: str) -> ParameterSource | None:
    return click.get_current_context().get_parameter_source(name)


def _local(sources: Sequence[str]) -> Iterator[Path]:
    """Yield what may lie in a folder; whether it can be read is seen later."""
    for source in map(str, sources):
        if source != "-" and "://" not in source and "\0" not in source:
            yield Path(source)
