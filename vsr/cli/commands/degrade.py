"""`vsr degrade`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.work import WorkCommand
from vsr.errors import UsageError
from vsr.events import Note


@click.command(cls=WorkCommand, needs=("vsr.train.like", "vsr.train.worse"))
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--damage",
    "damage_file",
    metavar="FILE.toml",
    type=click.Path(path_type=Path),
    help="Change settings of vsr/train/degrade/damage.toml by those of this file.",
)
@click.option(
    "--like",
    metavar="FILM",
    type=click.Path(path_type=Path),
    help="Estimate the damage of this film, and do the same.",
)
@click.option(
    "-s", "--scale", type=int, help="Make the result smaller by this factor.  [default: 4]"
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    help="Seed of all that is random: the same gives the same damage.",
)
@click.option(
    "--sheet",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Write N damaged pictures side by side, each with a seed of its own.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is there already.")
@listening
def degrade(
    *,
    source: Path,
    output: Path,
    damage_file: Path | None,
    like: Path | None,
    scale: int | None,
    seed: int,
    sheet: int,
    overwrite: bool,
    quiet: bool,
    progress: ProgressKind,
) -> None:
    """Make the film or picture IN worse, as networks are taught with.

    What is random hangs on the seed alone. A film has one draw for all of its frames.
    """
    from vsr.train.degrade.settings import read_damage
    from vsr.train.like import estimate
    from vsr.train.worse import degrade_file

    if like is not None and damage_file is not None:
        raise UsageError("--like and --damage: one of them")
    changes: dict[str, Any] = {} if scale is None else {"scale": scale}
    with Listener(quiet=quiet, progress=progress) as terminal:
        if like is not None:
            found = estimate(like, source, scale or 4)
            terminal(Note(text=f"{like.name}: {found}"))
            changes |= found.changes(scale or 4)
        damage = read_damage(damage_file, changes)
        degrade_file(
            source, output, damage, seed=seed, sheet=sheet, overwrite=overwrite, sink=terminal
        )
