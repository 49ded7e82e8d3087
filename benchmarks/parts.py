"""What it costs to finish a film in parts: throughput with them against one go.

    python benchmarks/parts.py [--model nearest] [--rounds 5] [--segment 10]

Both ways run in turn, in one process, on samples/bunny.mp4 made longer; the
median of the rounds' ratios is what counts. 1.00 means that parts cost nothing. With
`--times 120` the film takes ten minutes; its halves are compared, too.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import click
import torch
from script import run_script

import vsr
from vsr.events import Event, Progress
from vsr.media.ffmpeg import run

SAMPLE = Path(__file__).parent.parent / "samples" / "bunny.mp4"


def _longer(folder: Path, times: int) -> Path:
    import ffmpeg

    path = folder / "long.mp4"
    source = ffmpeg.input(str(SAMPLE), stream_loop=times - 1)
    run([source["v"]], path, {"c": "libx264", "g": 48, "preset": "veryfast"})
    return path


def _seconds(source: Path, output: Path, model: str, part: float) -> tuple[float, float, float]:
    """By the clock, and of all processors together, which another's work disturbs less.

    Then the second half's time, of the processors, for each of the first's.
    """
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=model),
        size=vsr.SizeOptions(scale=Fraction(2)),
        encode=vsr.EncodeOptions(preset="veryfast", overwrite=True),
        jobs=vsr.JobOptions(segment=part),
    )
    at: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, Progress):
            at.append(_used())

    began, used = time.perf_counter(), _used()
    vsr.upscale(source, output, options, sink=watch)
    half = (at[-1] - at[len(at) // 2]) / (at[len(at) // 2] - at[0])
    return time.perf_counter() - began, _used() - used, half


def _used() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@click.command()
@click.option("--model", default="bicubic", show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--times", default=8, show_default=True, help="How often the sample is repeated.")
@click.option("--segment", default=10.0, show_default=True, help="Seconds.")
def main(model: str, rounds: int, times: int, part: float) -> None:
    """Time both ways."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _longer(folder, times)
        took: dict[str, list[tuple[float, float, float]]] = {"one go": [], "parts": []}
        warming = 1 if rounds > 1 else 0
        for number in range(rounds + warming):
            for way, length in (("one go", 86400.0), ("parts", part)):
                seconds = _seconds(source, folder / "out.mp4", model, length)
                if number >= warming:
                    took[way].append(seconds)
    click.echo(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    click.echo(f"{model}, {times * 120} frames, parts of {part:g} s; seconds, median of {rounds}")
    for which, what in enumerate(("clock", "processors")):
        figures = {way: [times[which] for times in runs] for way, runs in took.items()}
        for way, values in figures.items():
            spread = f"{min(values):.2f} .. {max(values):.2f}"
            click.echo(f"  {what:10} {way:7} {statistics.median(values):6.2f}  ({spread})")
        ratios = [a / b for a, b in zip(figures["one go"], figures["parts"], strict=True)]
        spread = f"{min(ratios):.3f} .. {max(ratios):.3f}"
        click.echo(
            f"  {what:10} in one go / with parts: {statistics.median(ratios):.3f}  ({spread})"
        )
    for way, runs in took.items():
        halves = [times[2] for times in runs]
        spread = f"{min(halves):.3f} .. {max(halves):.3f}"
        click.echo(f"  {way:7} second half / first: {statistics.median(halves):.3f}  ({spread})")


if __name__ == "__main__":
    run_script(main)
