"""`vsr finetune`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.work import WorkCommand
from vsr.options import DEFAULT_MODEL

if TYPE_CHECKING:
    from vsr.train.finetune import HeldOutScore


@click.command(cls=WorkCommand, needs=("vsr.train.finetune",))
@click.argument("clean", metavar="CLEAN", type=click.Path(path_type=Path))
@click.option(
    "--like",
    metavar="DAMAGED",
    type=click.Path(path_type=Path),
    help="Estimate the damage of this film, and learn to undo it.",
)
@click.option(
    "--damage",
    metavar="FILE.toml",
    type=click.Path(path_type=Path),
    help="Learn to undo the damage of this file instead; see `vsr degrade`.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="OUT.safetensors",
    help="Write the weights here.  [default: CLEAN's name, in this folder]",
)
@click.option("-m", "--from", "start", default=DEFAULT_MODEL, help="Begin with this network.")
@click.option("--minutes", type=float, default=15.0, help="Take this long for all of it.")
@click.option("--steps", type=int, help="Train for so many steps, in place of --minutes.")
@click.option("--clips", type=int, default=48, help="Take so many clips from CLEAN.")
@click.option("--patch", type=int, default=160, help="Side of a clean sample, in pixels.")
@click.option("--batch", type=int, default=4, help="Samples in a step.")
@click.option("--rate", type=float, default=2e-4, help="Learning rate, which goes down to 0.")
@click.option("--seed", type=int, default=0, help="Seed of all that is random.")
@click.option("--device", default="auto", help="Train on auto, cpu, cuda or cuda:1.")
@click.option("--licence", default="", help="Licence of the weights, written into the file.")
@click.option("--keep", is_flag=True, help="Write the weights even if they are no better.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is there already.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@listening
def finetune(
    *,
    clean: Path,
    like: Path | None,
    output: Path | None,
    overwrite: bool,
    quiet: bool,
    progress: ProgressKind,
    as_json: bool,
    **values: Any,
) -> None:
    """Teach a shipped network to undo the damage of one film.

    CLEAN is a film, or pictures, that look as the damaged one should. Its scenes are damaged in
    the same way and learnt from; some are held out, to tell whether it got any better. Weights
    that did not are not written. The work lies beside OUT, in a folder that ends in .train, and
    the same command goes on with it.
    """
    from vsr.train.finetune import FinetuneOptions
    from vsr.train.finetune import finetune as teach

    output = output or Path(f"{clean.stem}.safetensors")
    options = FinetuneOptions(**values)
    with Listener(quiet=quiet, progress=progress) as terminal:
        report = teach(clean, like, output, options, overwrite=overwrite, sink=terminal)
    if as_json:
        before, after = (vars(score) for score in (report.before, report.after))
        click.echo(json.dumps({
            "output": None if report.output is None else str(report.output),
            "damage": report.damage, "steps": report.steps, "seconds": round(report.seconds, 1),
            "before": before, "after": after, "picture": str(report.picture),
        }, indent=1))  # fmt: skip
        return
    click.echo(f"before  {_line(report.before)}")
    click.echo(f"after   {_line(report.after)}  ({report.steps} steps, {report.seconds:.0f} s)")
    click.echo(f"        on {report.scenes} scenes that it never saw; see {report.picture}")
    if report.output is None:
        click.echo("it did not get better: nothing is written (--keep writes it)")
    else:
        click.echo(f"vsr upscale FILM --model {report.output}")


def _line(score: HeldOutScore) -> str:
    judged = "no VMAF here" if math.isnan(score.vmaf) else f"VMAF {score.vmaf:6.2f}"
    return f"PSNR {score.psnr:6.2f} dB  {judged}"
