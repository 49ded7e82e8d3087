"""What the streams of a CUDA device do, and who on the host waits for them.

    python benchmarks/timeline.py [--size 1280x720] [--frames 48] [--reuse safe] [--out FOLDER]

Runs the device stage over made frames under torch.profiler, twice: without stacks, for the
streams, and with them, for the names of those who wait. Both traces are written, to be looked at in
chrome://tracing or ui.perfetto.dev. With `--trace FILE` one of them, or any other of this stage, is
read again; that needs no GPU.

Needs PyTorch and platformdirs, and nothing that reads or writes films.
"""

from __future__ import annotations

import argparse
import json
from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from script import run_script
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from vsr.bench.trace import LOOP, Timeline, timeline
from vsr.engine.build import build_engine
from vsr.events import silent
from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.store import LoadedModel
from vsr.options import DeviceOptions, UpscaleOptions
from vsr.stages.device.size import TargetSize
from vsr.stages.device.stage import OutputImage
from vsr.stages.device.upscaler import Upscaler

LAYOUT = Layout(family="yuv", sub_x=1, sub_y=1)
COLOUR = Colour(matrix=Matrix.BT709, range=Range.LIMITED)
WARM = 24  # frames before anything is recorded: engines load, try and capture
SHOWN = 8  # gaps and waits


def network() -> SRVGGNetCompact:
    """A random one of animevideov3's shape, whose numbers stay as large from layer to layer."""
    torch.manual_seed(0)
    made = SRVGGNetCompact(num_conv=16, upscale=4)
    for layer in made.body:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=(1.6 / layer.in_channels / 9) ** 0.5)
    return made.requires_grad_(False)


def frames(count: int, width: int, height: int, still: bool) -> list[Frame]:
    """Noise; `still`: the same in each frame, but for 20 squares of 24 pixels."""
    rng = torch.Generator().manual_seed(0)

    def noise() -> list[torch.Tensor]:
        sizes = LAYOUT.plane_sizes(width, height)
        return [torch.randint(16, 235, size, generator=rng, dtype=torch.uint8) for size in sizes]

    first = noise()
    made = []
    for n in range(count):
        planes = [plane.clone() for plane in first] if still else noise()
        for k in range(20 if still else 0):
            y, x = k * 97 % (height - 24), (k * 211 + 8 * n) % (width - 24)
            planes[0][y : y + 24, x : x + 24] = 16 + (n * 37 + k) % 200
        made.append(
            Frame(
                planes=tuple(planes), layout=LAYOUT, colour=COLOUR,
                pts=n, duration=1, time_base=Fraction(1, 24),
            )
        )  # fmt: skip
    return made


def record(stage: Upscaler, given: list[Frame], file: Path, stacks: bool) -> Timeline:
    """One run over the frames; its trace is written to `file`."""
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with profile(activities=activities, with_stack=stacks) as profiler:
        with record_function(LOOP):
            deque(stage(given), maxlen=0)
        torch.cuda.synchronize()
    profiler.export_chrome_trace(str(file))
    return timeline(json.loads(file.read_text(encoding="utf-8"))["traceEvents"])


def show(found: Timeline, count: int | None) -> None:
    """`count`: of the frames."""
    rate = f", {1e6 * count / found.length:.1f} fps" if count else ""
    print(f"{found.length / 1e3:.2f} ms{rate}")
    for stream in found.streams:
        copied = f", {stream.copied / 1e6:.1f} MB copied" if stream.copied else ""
        busy = f"busy {stream.busy / 1e3:.2f} ms, {stream.share:.1%}"
        print(f"  {stream.name} (stream {stream.stream}): {busy}{copied}")
    share = found.overlapped / found.copies if found.copies else 1
    print(f"  copies took {found.copies / 1e3:.2f} ms, {share:.1%} of it beside computation")
    idle = sum(gap.length for gap in found.gaps)
    print(
        f"  the compute stream stood still {len(found.gaps)} times, {idle / 1e3:.2f} ms; "
        f"the longest:"
    )
    for gap in found.gaps[:SHOWN]:
        host = f", the host in {gap.host}" if gap.host else ""
        print(f"    {gap.length:.1f} us at {gap.start / 1e3:.3f} ms{host}")


def show_waits(found: Timeline) -> None:
    print("the host waited in" if found.waits else "the host waited for nothing")
    for wait in found.waits[: 2 * SHOWN]:
        print(f"  {wait.call}: {wait.count} times, {wait.total / 1e3:.2f} ms; {wait.where}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--reuse", choices=("off", "exact", "safe", "fast"), default="off")
    parser.add_argument("--engine", choices=("auto", "torch", "cuda"), default="auto")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--trace", type=Path, help="look at this one and record nothing")
    given = parser.parse_args()
    if given.trace is not None:
        try:
            found = timeline(json.loads(given.trace.read_text(encoding="utf-8"))["traceEvents"])
        except ValueError as error:
            parser.error(f"{given.trace}: {error}")
        show(found, None)
        show_waits(found)
    elif not torch.cuda.is_available():
        parser.error("needs a CUDA device, or --trace")
    else:
        measure(given)


def measure(given: argparse.Namespace) -> None:
    """On the first CUDA device."""
    stage = made_stage(given, "cuda")
    width, height = map(int, given.size.split("x"))
    film = frames(given.frames, width, height, still=given.reuse != "off")
    deque(stage((film * WARM)[:WARM]), maxlen=0)
    given.out.mkdir(parents=True, exist_ok=True)
    print(f"{torch.cuda.get_device_name(0)}, {given.size}, reuse {given.reuse}")
    show(record(stage, film, given.out / "timeline.json", stacks=False), given.frames)
    show_waits(record(stage, film, given.out / "timeline-stacks.json", stacks=True))


def made_stage(given: Any, device: str) -> Upscaler:
    """For frames of the asked size, enlarged by 4."""
    width, height = map(int, given.size.split("x"))
    options = DeviceOptions(
        device=device, engine=given.engine, reuse=given.reuse, batch=given.batch
    )
    model = LoadedModel(name="random", network=network(), scale=4, kernel="bicubic")
    engine = build_engine(model, Fraction(4), options, print)  # why kernels are refused
    print(f"{type(engine).__name__}, {engine.precision}")
    target = TargetSize(width=4 * width, height=4 * height, scale=Fraction(4))
    picture = OutputImage(target=target, layout=LAYOUT, colour=COLOUR, kernel="bicubic")
    return Upscaler(engine, picture, UpscaleOptions(device=options), sink=silent)


if __name__ == "__main__":
    run_script(main)
