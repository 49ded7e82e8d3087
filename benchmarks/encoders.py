"""What an encoder's speed costs in size, at equal quality, on pictures that a network drew.

    python benchmarks/encoders.py [CLIP ...] [--frames 48] [--model realesr-animevideov3]

Every encoder codes the same upscaled frames at several qualities. Size and processor time are
then read off at the quality (PSNR of luma, mean over frames) that the reference, vsr's default,
has: linear in PSNR for the time, and for the logarithm of the size. Processor time is that of
all threads together, so that what else runs on the machine disturbs it little.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import click
import numpy as np
import torch
from script import run_script

import vsr
from vsr.bench.machine import describe
from vsr.engine.cache import EngineCache
from vsr.events import silent
from vsr.frame import Frame
from vsr.jobs.plan.source import OpenedSource
from vsr.jobs.run.context import Hooks, RunContext
from vsr.jobs.run.upscale import prepare
from vsr.media.format.encoders import ENCODERS, plan_encoder
from vsr.media.read.reader import read_frames
from vsr.media.source.probe import probe
from vsr.options import Codec, ColourOptions
from vsr.stages.device.upscaler import Upscaler

SAMPLE = Path(__file__).parent.parent / "samples" / "bunny.mp4"
REFERENCE = ("h264", "medium")
# Qualities on both sides of the reference's for each encoder.
WAYS: tuple[tuple[Codec, str, tuple[float, ...]], ...] = (
    ("h264", "ultrafast", (8, 12, 16)),
    ("h264", "superfast", (11, 14, 18)),
    ("h264", "veryfast", (12, 15, 18)),
    ("h264", "faster", (12, 15, 18)),
    ("h264", "fast", (14, 17, 20)),
    ("h264", "medium", (14, 17, 20)),
    ("h264", "slow", (14, 17, 20)),
    ("h265", "ultrafast", (12, 16, 20)),
    ("h265", "fast", (12, 16, 20)),
    ("h265", "medium", (12, 16, 20)),
    ("av1", "12", (8, 14, 20, 28)),
    ("av1", "10", (8, 14, 20, 28)),
    ("av1", "8", (10, 16, 22, 30)),
    ("av1", "6", (10, 16, 22, 30)),
)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run of an encoder."""

    codec: str
    preset: str
    crf: float
    cpu_ms: float  # per frame
    wall_ms: float  # per frame
    kbit_s: float
    psnr: float  # dB, luma, mean over frames


def _drawn(clip: Path, folder: Path, model: str, frames: int) -> tuple[RunContext, list[Frame]]:
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=model),
        source=vsr.SourceOptions(
            clips=(vsr.Clip(start=vsr.Moment(frame=0), duration=vsr.Moment(frame=frames)),)
        ),
    )
    taken = OpenedSource(path=clip, output=folder / "out.mkv")
    run = prepare(taken, options, EngineCache(), Hooks(sink=silent))
    upscale = Upscaler(run.engine, run.picture(), options, sink=silent)
    return run, list(upscale(run.decoded()))


def _used() -> float:
    times = os.times()
    return times.user + times.system


def _run(  # noqa: PLR0917
    run: RunContext, frames: list[Frame], folder: Path, codec: Codec, preset: str, crf: float
) -> Point:
    plan = plan_encoder(vsr.EncodeOptions(codec=codec, preset=preset, crf=crf), frames[0].layout)
    path = folder / f"coded.{plan.encoder.container}"
    began, used = time.perf_counter(), _used()
    for _ in run.encode(iter(frames), path, plan, {}):
        pass
    wall, cpu = time.perf_counter() - began, _used() - used
    base = run.plan.source.video.time_base
    seconds = float((frames[-1].pts + frames[-1].duration - frames[0].pts) * base)
    pairs = zip(frames, read_frames(probe(path), ColourOptions(), sink=silent), strict=True)
    return Point(
        codec=codec,
        preset=preset,
        crf=crf,
        cpu_ms=1000 * cpu / len(frames),
        wall_ms=1000 * wall / len(frames),
        kbit_s=path.stat().st_size * 8 / seconds / 1000,
        psnr=statistics.fmean(_psnr(*pair) for pair in pairs),
    )


def _psnr(full: Frame, coded: Frame) -> float:
    error = (full.planes[0].int() - coded.planes[0].int()).square().double().mean()
    return 10 * math.log10(255**2 / max(float(error), 1e-9))


def _at(points: Sequence[Point], psnr: float) -> tuple[float, float, float]:
    """Processor time, size and crf at that quality; outside of the points: not a number."""
    ordered = sorted(points, key=lambda point: point.psnr)
    quality = [point.psnr for point in ordered]
    cpu = np.interp(psnr, quality, [point.cpu_ms for point in ordered], math.nan, math.nan)
    size = np.interp(psnr, quality, [math.log(p.kbit_s) for p in ordered], math.nan, math.nan)
    crf = np.interp(psnr, quality, [point.crf for point in ordered], math.nan, math.nan)
    return float(cpu), math.exp(size), float(crf)


def _table(points: Sequence[Point]) -> Iterator[str]:
    def of(codec: str, preset: str) -> list[Point]:
        return [p for p in points if (p.codec, p.preset) == (codec, preset)]

    default = ENCODERS[cast("Codec", REFERENCE[0])].crf
    same = next(p for p in of(*REFERENCE) if p.crf == default)
    cpu_0, size_0, _ = _at(of(*REFERENCE), same.psnr)
    yield f"at {same.psnr:.1f} dB: {cpu_0:.0f} ms of processor a frame, {size_0:.0f} kbit/s = 1"
    yield "  codec preset        crf   speed    size"
    for codec, preset, _ in WAYS:
        cpu, size, crf = _at(of(codec, preset), same.psnr)
        yield f"  {codec:5} {preset:10} {crf:6.1f} {cpu_0 / cpu:6.2f}x {size / size_0:6.2f}x"


@click.command()
@click.argument("clips", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--model", default="realesr-animevideov3", show_default=True)
@click.option("--frames", default=48, show_default=True)
@click.option("--json", "target", type=click.Path(path_type=Path), help="Every run, written here.")
def main(clips: tuple[Path, ...], model: str, frames: int, target: Path | None) -> None:
    """Code the clips, upscaled, in every way."""
    machine = describe(torch.device("cpu"), torch.float32)
    click.echo(f"{machine.device}, {machine.cores} cores, {machine.date}; {model}")
    found: dict[str, list[Point]] = {}
    for clip in clips or (SAMPLE,):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run, drawn = _drawn(clip, folder, model, frames)
            size = f"{drawn[0].width}x{drawn[0].height}"
            click.echo(f"{clip.name}: {len(drawn)} frames of {size}")
            points = [
                _run(run, drawn, folder, codec, preset, crf)
                for codec, preset, qualities in WAYS
                for crf in qualities
            ]
        found[clip.name] = points
        for line in _table(points):
            click.echo(line)
    if target is not None:
        told = {name: [asdict(point) for point in points] for name, points in found.items()}
        target.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
