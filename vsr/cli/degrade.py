"""`vsr degrade`."""

from __future__ import annotations

from pathlib import Path

import click

from vsr.cli.progress import Terminal
from vsr.train.options import read_damage
from vsr.train.worse import degrade_file


@click.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--damage",
    "damage_file",
    metavar="FILE.toml",
    type=click.Path(path_type=Path),
    help="What differs from the reference's damage, vsr/train/degrade/damage.toml.",
)
@click.option(
    "--like",
    metavar="FILM",
    type=click.Path(path_type=Path),
    help="Estimate the damage of this film, and do the same.",
)
@click.option("-s", "--scale", type=int, help="The result is smaller by this.  [default: 4]")
@click.option("--seed", type=int, default=0, help="The same seed gives the same damage.")
@click.option(
    "--sheet",
    type=int,
    default=0,
    metavar="N",
    help="Write N damaged pictures side by side, each with a seed of its own.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is there already.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
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
) -> None:
    """Make the film or picture IN worse, as networks are taught with.

    What is random hangs on the seed alone. A film has one draw for all of its frames.
    """
    changes = {} if scale is None else {"scale": scale}
    with Terminal(quiet=quiet) as terminal:
        damage = read_damage(damage_file, changes)
        degrade_file(
            source, output, damage, seed=seed, sheet=sheet, overwrite=overwrite, sink=terminal
        )
