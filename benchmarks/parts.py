"""What it costs to finish a film in parts: throughput with them against one go.

    python benchmarks/parts.py [--model nearest] [--rounds 5]

Both ways run in turn, in one process, on samples/bunny.mp4 made longer; the ratio of the
medians is what counts. 1.00 means that parts cost nothing.
"""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import click
import torch

import vsr
from vsr.media.ffmpeg import run

SAMPLE = Path(__file__).parent.parent / "samples" / "bunny.mp4"


def _longer(folder: Path, times: int) -> Path:
    import ffmpeg

    path = folder / "long.mp4"
    source = ffmpeg.input(str(SAMPLE), stream_loop=times - 1)
    run([source["v"]], path, {"c": "libx264", "g": 48, "preset": "veryfast"})
    return path


def _seconds(source: Path, output: Path, model: str, part: float) -> float:
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=model),
        size=vsr.SizeOptions(scale=Fraction(2)),
        encode=vsr.EncodeOptions(preset="veryfast", overwrite=True),
        jobs=vsr.JobOptions(part=part),
    )
    began = time.perf_counter()
    vsr.upscale(source, output, options)
    return time.perf_counter() - began


@click.command()
@click.option("--model", default="bicubic", show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--times", default=4, show_default=True, help="How often the sample is repeated.")
@click.option("--part", default=2.0, show_default=True, help="Seconds; 10 is what users have.")
def main(model: str, rounds: int, times: int, part: float) -> None:
    """Time both ways."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _longer(folder, times)
        took: dict[str, list[float]] = {"one go": [], "parts": []}
        for number in range(rounds + 1):
            for way, length in (("one go", 86400.0), ("parts", part)):
                seconds = _seconds(source, folder / "out.mp4", model, length)
                if number:  # the first round warms up
                    took[way].append(seconds)
    click.echo(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    click.echo(f"{model}, {times * 120} frames, parts of {part:g} s; seconds, median of {rounds}")
    for way, times_taken in took.items():
        spread = f"{min(times_taken):.2f} .. {max(times_taken):.2f}"
        click.echo(f"  {way:7} {statistics.median(times_taken):6.2f}  ({spread})")
    ratio = statistics.median(took["one go"]) / statistics.median(took["parts"])
    click.echo(f"  throughput with parts / in one go: {ratio:.3f}")


if __name__ == "__main__":
    main()
