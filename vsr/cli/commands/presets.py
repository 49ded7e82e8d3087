"""`vsr presets`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from vsr.cli.help.hints import HintingCommand, HintingGroup
from vsr.cli.options import upscale_options
from vsr.cli.settings import preset_to_save
from vsr.cli.values import PresetName
from vsr.config import Settled, preset_names, preset_text, save_preset
from vsr.options import OptionField, UpscaleOptions, leaves


@click.group(cls=HintingGroup, invoke_without_command=True)
@click.pass_context
def presets(context: click.Context) -> None:
    """List what `--for` takes; show a preset with its reasons, or save your own."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@presets.command("list")
def list_() -> None:
    """List the presets: those that come with vsr, and yours."""
    found = preset_names()
    width = max(map(len, found))
    for name, layer in found.items():
        click.echo(f"{name:{width}}  {layer.about}".rstrip())


@presets.command()
@click.argument("name", type=PresetName())
def show(name: str) -> None:
    """Show a preset as it is written, with the reason beside each choice."""
    click.echo(preset_text(name), nl=False)


@presets.command(cls=HintingCommand)
@click.argument("name")
@upscale_options
@click.option("--about", default="", help="What it is for, in a line.")
@click.option("--overwrite", is_flag=True, help="Replace your preset of that name.")
def save(name: str, about: str, overwrite: bool, **values: Any) -> None:
    """Save the options that are given as your preset NAME, to be used by `--for NAME`.

    Those of a preset that is named with --for are copied into it; other settings are not.
    """
    text = "".join(f"{line}\n" for line in _lines(about, preset_to_save(values)))
    click.echo(save_preset(name, text, overwrite=overwrite))


def _lines(about: str, settled: Settled) -> Iterator[str]:
    if about:
        yield f"about = {json.dumps(about, ensure_ascii=False)}"
    for leaf in leaves(UpscaleOptions):
        if leaf.path in settled.values:
            from_preset = settled.origins[leaf.path].startswith("preset ")
            comment = f"  # as in {settled.origins[leaf.path]}" if from_preset else ""
            yield f"{leaf.flag[2:]} = {_toml(leaf, settled.values[leaf.path])}{comment}"


def _toml(leaf: OptionField, value: Any) -> str:
    if leaf.path == "size.fit":
        return json.dumps("{}x{}".format(*value))
    if leaf.path == "encode.encoder_options":
        return json.dumps(["=".join(pair) for pair in value], ensure_ascii=False)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)  # a fraction, too: "4/3"
