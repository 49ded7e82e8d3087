"""`vsr models`: list, fetch, verify, show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vsr.cli.options import tree_of, tree_options
from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.settings import with_user_settings
from vsr.cli.work import WorkCommand
from vsr.errors import UnknownModel
from vsr.nets.catalogue import Model, catalogue, find
from vsr.nets.weight_files import models_folder, packaged, whereabouts
from vsr.options import ModelOptions

_where = tree_options(ModelOptions, without=("name", "denoise", "activation", "keep_colours"))


def _chosen(names: tuple[str, ...]) -> list[Model]:
    models = [find(name) for name in names] if names else list(catalogue())
    return [model for model in models if not model.is_resizer]


@click.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List the networks; fetch their weights and check them."""
    if context.invoked_subcommand is None:
        context.invoke(list_models)


@models.command("list")
@_where
def list_models(**values: Any) -> None:
    """Show every model: name, scale, where its weights are, what it is for."""
    options = tree_of(ModelOptions, with_user_settings(values, "model"))
    for model in catalogue():
        if model.is_resizer:
            state = "built in"
        elif packaged(model) is not None:
            state = "installed"
        elif whereabouts(model, options) is not None:
            state = "fetched"
        else:
            state = f"to fetch, {model.bytes / 1e6:.1f} MB"
        click.echo(f"{model.name:28} x{model.scale}  {state:18} {model.title}")
        if model.aliases:
            click.echo(f"{'':34}also {', '.join(model.aliases)}")
    click.echo(f"\nWeights are kept in {models_folder(options)}")


@models.command(cls=WorkCommand, needs=("vsr.nets.store",))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_where
@listening
def fetch(names: tuple[str, ...], quiet: bool, progress: ProgressKind, **values: Any) -> None:
    """Download the weights of the named models, or of all; check them by sha256.

    A download that broke off goes on where it stopped.
    """
    from vsr.nets import store

    options = tree_of(ModelOptions, with_user_settings(values, "model"))
    with Listener(quiet=quiet, progress=progress) as terminal:
        for model in _chosen(names):
            click.echo(f"{model.name}: {store.fetch(model, options, terminal)}")


@models.command(cls=WorkCommand, needs=("vsr.nets.store",))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_where
def verify(names: tuple[str, ...], **values: Any) -> None:
    """Check the weights that are here by sha256. Downloads nothing."""
    from vsr.nets import store

    options = tree_of(ModelOptions, with_user_settings(values, "model"))
    for model in _chosen(names):
        path = store.verify(model, options)
        click.echo(f"{model.name}: {f'right, {path}' if path else 'not here'}")


@models.command(cls=WorkCommand, needs=("vsr.nets.store",))
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def show(file: Path) -> None:
    """Show what network is in a weight file, and what the file says about itself."""
    from vsr.nets import store
    from vsr.nets.reading import notes_of

    if not file.is_file():
        raise UnknownModel(f"{file}: there is no such weight file")
    network, notes = store.load_file_as_network(file), notes_of(file)
    parameters = sum(p.numel() for p in network.parameters())
    kind = notes.pop("architecture", type(network).__name__)
    click.echo(f"{file.name}: {kind} x{network.scale}, {parameters:,} parameters")
    if (steps := notes.pop("steps", None)) is not None:
        click.echo(f"{'taught':14}{steps} steps from {notes.pop('from', 'elsewhere')}")
    for name, value in notes.items():
        click.echo(f"{name.replace('_', ' '):14}{value}")
