"""`vsr train`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from vsr.cli.graceful_stop import StopAtStep
from vsr.cli.help.sections import SectionOption
from vsr.cli.options import tree_of, tree_options
from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.work import WorkCommand
from vsr.train.degrade.settings import read_damage
from vsr.train.options import TrainOptions

_PATH = click.Path(path_type=Path)


@click.command(
    cls=WorkCommand,
    needs=("vsr.train.loop",),
    examples=(
        "vsr train clean/ -o my.safetensors --from animevideov3 --steps 20000",
        "vsr train clean.mkv -o my.safetensors --damage own.toml",
    ),
)
@click.argument("clean", metavar="CLEAN...", nargs=-1, required=True, type=_PATH)
@click.option(
    "-o",
    "--output",
    cls=SectionOption,
    common=True,
    required=True,
    metavar="OUT.safetensors",
    type=_PATH,
    help="Write the weights here.",
)
@click.option(
    "--damage",
    cls=SectionOption,
    common=True,
    metavar="FILE.toml",
    type=_PATH,
    help="Change settings of vsr/train/degrade/damage.toml by those of this file.",
)
@click.option("-s", "--scale", type=int, help="Scale of a network from scratch.  [default: 4]")
@tree_options(TrainOptions, environment=False)
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is there already.")
@click.option("--restart", is_flag=True, help="Throw away what was begun.")
@listening
def train(
    *,
    clean: tuple[Path, ...],
    output: Path,
    quiet: bool,
    progress: ProgressKind,
    **values: Any,
) -> None:
    """Train a network on films and pictures.

    CLEAN are films, pictures, folders of them, or lists in .txt. What is learnt to undo is the
    damage of a TOML file. Under torchrun several processes share the work. The work lies beside
    OUT, in a folder that ends in .train; after a stop or a
    kill the same command goes on with it.
    """
    from vsr.train.loop import train as learn

    changes = {} if values["scale"] is None else {"scale": values["scale"]}
    others = {"data.clean": clean, "damage": read_damage(values["damage"], changes)}
    options = tree_of(TrainOptions, values, others)
    with Listener(quiet=quiet, progress=progress) as terminal, StopAtStep() as stop:
        done = learn(
            options, output, overwrite=values["overwrite"], restart=values["restart"],
            stop=stop.asked, sink=terminal,
        )  # fmt: skip
    if not quiet:
        judged = "" if math.isnan(done.psnr) else f", {done.psnr:.2f} dB on what was held out"
        share = done.seconds_loading / max(done.seconds, 1e-9)
        click.echo(
            f"{done.output}: {done.steps} steps{judged}; {done.skipped} came to nothing; "
            f"{share:.1%} of the time waited for data"
        )
