"""`vsr bench`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsr.cli.options import upscale_options
from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.settings import SettledCommand, settled_options

if TYPE_CHECKING:
    from vsr.bench.run import BenchReport, Timing


@click.command(
    cls=SettledCommand,
    needs=("vsr.bench.run",),
    examples=("vsr bench episode.mkv", "vsr bench film.mp4 -m x4plus --frames 4"),
)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@upscale_options
@click.option("--frames", default=24, help="Measure on this many frames of the film.")
@click.option("--rounds", default=5, help="Measure each figure so many times.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@listening
def bench(
    *,
    source: Path,
    frames: int,
    rounds: int,
    as_json: bool,
    quiet: bool,
    progress: ProgressKind,
    **values: Any,
) -> None:
    """Measure each stage alone, and all together, on frames of the film IN.

    Each figure is the median of its rounds, with the least and the most. Beside it stands
    the floor: operations by the rate of this machine's matrix products, or bytes by the rate at
    which it copies memory, both measured. Nothing is written but to a temporary folder.
    """
    from vsr.bench.run import bench as measure

    options, _ = settled_options(values, [str(source)])
    with Listener(quiet=quiet or as_json, progress=progress) as terminal:
        report = measure(source, options, frames=frames, rounds=rounds, sink=terminal)
    if as_json:
        figures = dataclasses.asdict(report)
        figures |= {"slowest": report.slowest.name, "overlap": report.overlap}
        click.echo(json.dumps(figures, indent=1))
    else:
        click.echo("\n".join(_lines(report)))


def _lines(report: BenchReport) -> Iterator[str]:
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    peaks = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in machine.matrix.items())
    yield f"{machine.device}, {machine.cores} cores, {machine.threads} threads, {machine.date}"
    yield f"{versions}"
    yield f"peaks, measured: {peaks}, copy {machine.copy / 1e9:.1f} GB/s"
    yield f"{report.source}, {report.frames} frames: {report.description}"
    yield ""
    yield f"{'ms a frame':18}{'median':>10}{'least':>10}{'most':>10}{'fps':>9}{'floor':>9}"
    for stage in report.stages:
        yield _line(stage)
    yield _line(report.whole)
    yield ""
    yield (
        f"overlap: all together run at {report.overlap:.2f} of the rate of "
        f"{report.slowest.name}, the slowest; {report.start:.1f} s to the first frame, "
        f"{report.end:.1f} s after the last"
    )


def _line(timing: Timing) -> str:
    figures = [timing.median, timing.least, timing.most]
    floor = "" if timing.floor is None else f"{timing.floor * 1e3:9.1f}  {timing.floor_of}"
    rate = 1 / timing.median if timing.median else 0.0
    times = "".join(f"{seconds * 1e3:10.1f}" for seconds in figures)
    return f"{timing.name:18}{times}{rate:9.1f}{floor}"
