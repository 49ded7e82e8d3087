"""What it costs that encoders write the same bits on any machine: vsr's settings against none.

    python benchmarks/repeatable.py [--rounds 3] [--size 1280x720] [--frames 48]

Codes the sample, made larger by vsr's bicubic, in turn with and without what
`vsr.media.format.repeatable` and the table of encoders set for that. Prints the ratio of the
processor's time, of all threads together, of the time on the clock, and of the size.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import click
import torch
from script import run_script

import vsr
from vsr.bench.machine import describe
from vsr.frame import Frame
from vsr.media.format.encoders import EncoderPlan, plan_encoder
from vsr.media.format.repeatable import repeatable
from vsr.media.read.reader import read_frames
from vsr.media.source.probe import probe
from vsr.media.write.writer import VideoFormat, write_frames
from vsr.options import Codec, ColourOptions

SAMPLE = Path(__file__).parent.parent / "samples" / "bunny.mp4"
CODECS: tuple[Codec, ...] = ("h264", "h265", "vp9")
# What the table of encoders sets for the sake of the same bits.
SET = {"x264-params": "cpu-independent=1", "threads": None}


def _alone(plan: EncoderPlan) -> EncoderPlan:
    """The same, with the number of threads and the code left to the encoder."""
    settings = {
        name: value
        for name, value in plan.settings.items()
        if not (name in SET and SET[name] in (None, value))
    }
    return dataclasses.replace(plan, settings=settings)


def _run(frames: list[Frame], plan: EncoderPlan, folder: Path) -> tuple[float, float, float]:
    first = frames[0]
    path = folder / "film"
    began, used = time.perf_counter(), time.process_time()
    video = VideoFormat(
        width=first.width,
        height=first.height,
        colour=first.colour,
        rate=Fraction(24),
        time_base=first.time_base,
    )
    for _ in write_frames(iter(frames), path, plan, video, muxer_options={}):
        pass
    taken = time.process_time() - used, time.perf_counter() - began
    size = sum(file.stat().st_size for file in folder.iterdir())
    for file in folder.iterdir():
        file.unlink()
    return *taken, size


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--size", default="1280x720", show_default=True)
@click.option("--frames", default=48, show_default=True)
def main(rounds: int, size: str, frames: int) -> None:
    """Code the sample both ways, in turn."""
    machine = describe(torch.device("cpu"), torch.float32)
    click.echo(f"{machine.device}, {machine.cores} cores, {machine.date}; {size}, {frames} frames")
    width, height = (int(n) for n in size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large, out = folder / "large.mkv", folder / "out"
        out.mkdir()
        vsr.upscale(
            SAMPLE,
            large,
            vsr.UpscaleOptions(
                model=vsr.ModelOptions(name="bicubic"),
                size=vsr.SizeOptions(fit=(width, height)),
                source=vsr.SourceOptions(clips=(vsr.Clip(duration=vsr.Moment(frame=frames)),)),
                encode=vsr.EncodeOptions(codec="ffv1"),
            ),
        )
        shown = list(read_frames(probe(large), ColourOptions(), sink=lambda event: None))
        for codec in CODECS:
            plain = plan_encoder(vsr.EncodeOptions(codec=codec), shown[0].layout)
            ours = repeatable(plain, shown[0].width, shown[0].height)
            ratios = []
            for _ in range(rounds):
                one, other = _run(shown, ours, out), _run(shown, _alone(plain), out)
                ratios.append([a / b for a, b in zip(one, other, strict=True)])
            cpu, wall, bytes_ = (
                f"{statistics.median(k):.3f} ({min(k):.3f} .. {max(k):.3f})"
                for k in zip(*ratios, strict=True)
            )
            click.echo(f"{codec:6} processor {cpu}  clock {wall}  size {bytes_}")


if __name__ == "__main__":
    run_script(main)
