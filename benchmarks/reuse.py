"""What `--reuse` saves and what it costs in quality, on real clips.

    python benchmarks/reuse.py [CLIP ...] [--frames 24] [--rounds 3] [--height 270] [--threads 1]

The clips are cut from samples/film (`python samples/fetch_film.py`), made smaller, and one of
them coded again at a low bitrate; or give clips of your own. Every way runs in turn, end to
end, by the clock and by the processors' time (with `--threads 1` the steadier of the two, since
several threads wait for each other busily). Quality is the PSNR of the finished planes, over
all samples of a frame, against the same run without reuse, before any encoder; the worst frame
and the median of all.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
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
from vsr.media.ffmpeg import run
from vsr.options import Reuse
from vsr.stages.device.upscaler import Upscaler

Took = tuple[float, float]  # seconds by the clock, and of the processors
FILM = Path(__file__).parent.parent / "samples" / "film" / "big_buck_bunny.mp4"
WAYS: tuple[Reuse, ...] = ("off", "safe", "fast")  # exact is what it says
# Seconds of the film, and the bitrate that a clip is coded with: shots that stand still but for
# somebody, the same at the rate of a bad stream, one in which half of the picture moves, and one
# that moves as a whole.
CLIPS: dict[str, tuple[int, str | None]] = {
    "still": (230, None),
    "one moves": (84, None),
    "one moves, 150 kbit/s": (84, "150k"),
    "much moves": (117, None),
    "all moves": (300, None),
}


def _cut(folder: Path, height: int, frames: int) -> Iterator[tuple[str, Path]]:
    import ffmpeg

    for name, (start, bitrate) in CLIPS.items():
        path = folder / f"{name.replace(' ', '_').replace('/', '-')}.mp4"
        picture = ffmpeg.input(str(FILM), ss=start, t=math.ceil(frames / 24) + 1)["v"]
        coding = (
            {"b:v": bitrate, "maxrate": bitrate, "bufsize": bitrate} if bitrate else {"crf": 20}
        )
        small = picture.filter("scale", w=-2, h=height, flags="bicubic")
        run([small], path, {"c:v": "libx264", "preset": "medium", **coding})
        yield name, path
    # A camera over a painting, as drawn films have it: 2 pixels a frame, with the codec's traces.
    path = folder / "pan.mp4"
    painting = ffmpeg.input(str(FILM), ss=84, t=0.1)["v"].filter("trim", end_frame=1)
    painting = painting.filter("scale", w=-2, h=2 * height, flags="bicubic")
    held = painting.filter("loop", loop=frames, size=1, start=0).filter("setpts", "N/24/TB")
    width = round(height * 16 / 9 / 2) * 2
    view = held.filter("crop", w=width, h=height, x="40+2*n", y=height // 3)
    run([view], path, {"c:v": "libx264", "preset": "medium", "crf": 20})
    yield "a painting, panned", path


def _options(model: str, device: vsr.DeviceOptions, frames: int) -> vsr.UpscaleOptions:
    clip = vsr.Clip(start=vsr.Moment(frame=0), duration=vsr.Moment(frame=frames))
    return vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=model),
        device=device,
        source=vsr.SourceOptions(clips=(clip,)),
        encode=vsr.EncodeOptions(overwrite=True),
    )


def _finished(run: RunContext) -> Iterator[Frame]:
    """The frames as they would go to the encoder."""
    upscale = Upscaler(run.engine, run.picture(), run.options, sink=silent)
    yield from upscale(run.decoded())


def _psnr(frame: Frame, full: Frame) -> float:
    pairs = list(zip(frame.planes, full.planes, strict=True))
    error = sum(float((a.int() - b.int()).square().sum()) for a, b in pairs)
    samples = sum(plane.numel() for plane in frame.planes)
    peak = (1 << frame.layout.bits) - 1
    return 10 * math.log10(peak**2 * samples / error) if error else math.inf


def _work(
    path: Path, output: Path, options: vsr.UpscaleOptions, engines: EngineCache
) -> RunContext:
    return prepare(OpenedSource(path=path, output=output), options, engines, Hooks(sink=silent))


def _quality(
    path: Path, output: Path, options: dict[Reuse, vsr.UpscaleOptions]
) -> dict[Reuse, list[float]]:
    engines = EngineCache()
    runs = {way: _finished(_work(path, output, options[way], engines)) for way in WAYS}
    found: dict[Reuse, list[float]] = {way: [] for way in WAYS}
    for drawn in zip(*runs.values(), strict=True):
        for way, frame in zip(runs, drawn, strict=True):
            found[way].append(_psnr(frame, drawn[0]))
    return found


def _line(way: str, took: dict[str, list[Took]], quality: Sequence[float], note: str) -> str:
    parts = []
    for which, what in enumerate(("clock", "processors")):
        ratios = [a[which] / b[which] for a, b in zip(took["off"], took[way], strict=True)]
        spread = f"({min(ratios):.2f} .. {max(ratios):.2f})"
        parts.append(f"{what}{statistics.median(ratios):6.2f}x {spread:16}")
    worst, middle = min(quality), statistics.median(quality)
    return f"  {way:6}{' '.join(parts)}worst {worst:.1f} dB, median {middle:.1f} dB  {note}"


@click.command()
@click.argument("clips", nargs=-1, type=click.Path(path_type=Path))
@click.option("--model", default="realesr-animevideov3", show_default=True)
@click.option("--frames", default=24, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--height", default=270, show_default=True, help="Of the clips that are cut.")
@click.option("--only", default="", help="Of the clips that are cut, those whose name begins so.")
@click.option("--threads", type=int, help="Of the network.  [default: one for each core]")
def main(  # noqa: PLR0917
    clips: tuple[Path, ...],
    model: str,
    frames: int,
    rounds: int,
    height: int,
    only: str,
    threads: int | None,
) -> None:
    """Time and compare all ways on all clips."""
    machine = describe(torch.device("cpu"), torch.float32)
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    click.echo(f"{machine.device}, {machine.cores} cores, {machine.date}; {versions}")
    click.echo(f"{model}, {frames} frames of each, {rounds} rounds in turn; end to end")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        output = folder / "out.mkv"
        chosen = [(p.name, p) for p in clips] or list(_cut(folder, height, frames))
        for title, path in chosen:
            if not title.startswith(only):
                continue
            devices = {way: vsr.DeviceOptions(reuse=way, threads=threads) for way in WAYS}
            options = {way: _options(model, devices[way], frames) for way in WAYS}
            took: dict[str, list[Took]] = {way: [] for way in WAYS}
            notes = dict.fromkeys(WAYS, "")
            for _ in range(rounds):
                for way in WAYS:
                    began, busy = time.perf_counter(), time.process_time()
                    result = vsr.upscale(path, output, options[way])
                    took[way].append((time.perf_counter() - began, time.process_time() - busy))
                    notes[way] = next((n for n in result.notes if n.startswith("reuse")), "")
            click.echo(f"{title}: {result.width}x{result.height}")
            quality = _quality(path, output, options)
            for way in WAYS[1:]:
                click.echo(_line(way, took, quality[way], notes[way]))


if __name__ == "__main__":
    run_script(main)
