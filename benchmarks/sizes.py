"""Whether a frame's cost grows with its pixels and nothing else, in time and in memory.

    python benchmarks/sizes.py [--model realesr-animevideov3] [--scale 2] [--rounds 3]

Frames of a real film, brought to each size, go through the device stage (everything between
decoder and encoder), each size in a process of its own. Time is given for a million source
pixels: by the clock, and the processor's, which another program's work changes less; with one
thread, since several wait for each other busily.
Memory is what the process took at most, less what it had before its first frame, beside what
vsr plans with.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import click
import torch
from script import run_script

import vsr
from vsr.bench.machine import describe
from vsr.cli.values import ParsedValue
from vsr.engine.cache import EngineCache
from vsr.events import silent
from vsr.jobs.plan.source import OpenedSource
from vsr.jobs.run.context import Hooks
from vsr.jobs.run.upscale import prepare
from vsr.media.ffmpeg import run
from vsr.options.values import size as read_size
from vsr.stages.device.upscaler import Upscaler

SAMPLE = Path(__file__).parent.parent / "samples" / "bunny.mp4"
SIZES = ("160x120", "320x180", "640x360", "960x540", "1280x720", "1920x1080", "3840x2160")
_PIXELS = 300_000  # source pixels that one measurement goes over at least


def measure(clip: Path, model: str, scale: Fraction, rounds: int) -> None:
    """Print seconds and processor seconds of each round; bytes used and planned."""
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=model),
        size=vsr.SizeOptions(scale=scale),
        device=vsr.DeviceOptions(device="cpu", threads=1),
    )
    taken = OpenedSource(path=clip, output=clip.with_suffix(".out.mkv"))
    run = prepare(taken, options, EngineCache(), Hooks(sink=silent))
    upscale = Upscaler(run.engine, run.picture(), options, sink=silent)
    frame = next(iter(run.decoded()))
    pixels = frame.width * frame.height
    before, planned = _peak(), upscale.bytes_for(frame.width, frame.height)
    list(upscale([frame]))  # warms up
    used = _peak() - before
    count = max(1, _PIXELS // pixels)
    took = []
    for _ in range(rounds):
        began, busy = time.perf_counter(), time.process_time()
        for _ in upscale([frame] * count):
            pass
        seconds = (time.perf_counter() - began, time.process_time() - busy)
        took.append([value / count / pixels * 1e6 for value in seconds])
    print(json.dumps({"took": took, "used": used, "planned": planned}))


def _peak() -> int:
    """Bytes of memory that this process had at most."""
    for line in Path(f"/proc/{os.getpid()}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("VmHWM is told by Linux only")


def _clip(folder: Path, size: str) -> Path:
    import ffmpeg

    path = folder / f"{size}.mkv"
    width, height = size.split("x")
    picture = ffmpeg.input(str(SAMPLE), t=0.2)["v"].filter("scale", width, height)
    run([picture], path, {"c:v": "libx264", "preset": "veryfast"})
    return path


@click.command()
@click.option("--model", default="realesr-animevideov3", show_default=True)
@click.option("--scale", default="2", show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=ParsedValue("WxH", read_size),
    help="Other sizes than the usual.",
)
@click.option("--measure", "clip", type=click.Path(path_type=Path), hidden=True)
def main(
    model: str, scale: str, rounds: int, sizes: tuple[tuple[int, int], ...], clip: Path | None
) -> None:
    """Time all sizes, one after the other."""
    if clip is not None:
        measure(clip, model, Fraction(scale), rounds)
        return
    machine = describe(torch.device("cpu"), torch.float32)
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    click.echo(f"{machine.device}, {machine.cores} cores, {machine.date}; {versions}")
    click.echo(f"{model}, x{scale}, {rounds} rounds, one thread; for a million source pixels")
    chosen = [f"{width}x{height}" for width, height in sizes] or list(SIZES)
    with tempfile.TemporaryDirectory() as name:
        for size in chosen:
            clip = _clip(Path(name), size)
            command = [sys.executable, __file__, "--model", model, "--scale", scale]
            command += ["--rounds", str(rounds), "--measure", str(clip)]
            found = json.loads(subprocess.check_output(command, text=True))
            wall, cpu = zip(*found["took"], strict=True)
            click.echo(
                f"  {size:10}{statistics.median(wall):7.2f} s, processor"
                f"{statistics.median(cpu):7.2f} s ({min(cpu):.2f} .. {max(cpu):.2f}); "
                f"memory{found['used'] / 1e6:6.0f} MB, planned{found['planned'] / 1e6:6.0f} MB"
            )


if __name__ == "__main__":
    run_script(main)
