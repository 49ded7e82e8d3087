"""`vsr finetune`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsr.cli.graceful_stop import StopAtStep
from vsr.cli.options import tree_of, tree_options
from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.work import WorkCommand
from vsr.errors import VsrError
from vsr.train.options import FinetuneOptions

if TYPE_CHECKING:
    from vsr.train.finetune import FinetuneReport
    from vsr.train.judge import HeldOutScore


@click.command(cls=WorkCommand, needs=("vsr.train.finetune",))
@click.argument("clean", metavar="CLEAN", type=click.Path(path_type=Path))
@click.option(
    "--like",
    metavar="DAMAGED",
    type=click.Path(path_type=Path),
    help="Estimate the damage of this film, and learn to undo it.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="OUT.safetensors",
    help="Write the weights here.  [default: CLEAN's name, in this folder]",
)
@tree_options(FinetuneOptions, environment=False)
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is there already.")
@click.option("--restart", is_flag=True, help="Throw away what these options have begun.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@listening
def finetune(
    *,
    clean: Path,
    like: Path | None,
    output: Path | None,
    overwrite: bool,
    restart: bool,
    quiet: bool,
    progress: ProgressKind,
    as_json: bool,
    **values: Any,
) -> None:
    """Teach a shipped network to undo the damage of one film.

    CLEAN is a film, or pictures, that look as the damaged one should. Its scenes are damaged in
    the same way and learnt from; some are held out, to tell whether it got any better. Weights
    that did not are not written, and the exit code is 1. The work lies beside OUT, in a folder that
    ends in .train, and the same command goes on with it.
    """
    from vsr.train.finetune import finetune as teach
    from vsr.train.finetune import plain

    output = output or Path(f"{clean.stem}.safetensors")
    options = tree_of(FinetuneOptions, values)
    with Listener(quiet=quiet, progress=progress) as terminal, StopAtStep() as stop:
        report = teach(
            clean, like, output, options, overwrite=overwrite, restart=restart,
            stop=stop.asked, sink=terminal,
        )  # fmt: skip
    if as_json:
        told = plain(report) | {"seconds": round(report.seconds, 1)}
        click.echo(json.dumps(told, indent=1))
    else:
        _show(report)
    if report.output is None:
        raise VsrError(
            f"{output}: not written, as it did not get better (<finetune.keep> writes it)"
        )


def _show(report: FinetuneReport) -> None:
    click.echo(f"before  {_line(report.before)}")
    click.echo(f"after   {_line(report.after)}  ({report.steps} steps, {report.seconds:.0f} s)")
    click.echo(f"        on {report.scenes} scenes that it never saw; see {report.picture}")
    if report.output is not None:
        click.echo(f"vsr upscale FILM --model {report.output}")


def _line(score: HeldOutScore) -> str:
    judged = "no VMAF here" if math.isnan(score.vmaf) else f"VMAF {score.vmaf:6.2f}"
    return f"PSNR {score.psnr:6.2f} dB  {judged}"
