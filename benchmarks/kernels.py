"""Our own CUDA kernels: right, and how fast, on the GPU that is here.

    python benchmarks/kernels.py [--out cuda.json] [--weights FILE] [--quick] [--compile]

One run does all: what the device is and its measured peaks, conformance with float64 and fp32
of every size, scale and tiling, then times; of the ends, from planes to planes, too. Without
`--weights` the network is a random one of animevideov3's shape; times do not depend on the
weights. Ways are timed in turn, in rounds, with device events, each over several input pictures;
the median of the rounds is shown.

Needs PyTorch and platformdirs, and nothing that reads or writes films.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import itertools
import json
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from script import run_script
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.bench.machine import describe
from vsr.engine.cuda.compact_plan import CompactPlan
from vsr.engine.cuda.driver import Driver
from vsr.engine.cuda.engine import CudaEngine, architecture_of, pieces_of, source
from vsr.engine.cuda.joined_activation import JoinedActivation
from vsr.engine.cuda.kernel_runner import CudaKernelRunner
from vsr.engine.cuda.launch import DeviceBatch
from vsr.engine.cuda.nvrtc import Nvrtc
from vsr.engine.cuda.tiling import TILINGS, CompactTiling, tiling_for
from vsr.engine.cuda.weight_packing import FEATURES
from vsr.engine.torch_engine import TorchEngine
from vsr.frame import Colour, Layout, Matrix, Range
from vsr.nets.arithmetic import fold_area
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.stages.colour.backend import ColourBackend, TorchColourBackend
from vsr.stages.colour.cuda_backend import CudaColourBackend
from vsr.stages.colour.drift_correction import DriftCorrection
from vsr.stages.device.tiles import EDGE, infer

SIZES = ((854, 480), (1280, 720), (1920, 1080))
BATCHES = (1, 2, 4)
DEEP = (640, 360)  # for RRDBNet, which takes 29 times as long a pixel
PICTURES = 3  # that are taken in turn, so that no cache holds the next one
ROUNDS = 12
PIECES = 40  # rectangles of a frame that are drawn anew
LAYERS = 16  # of animevideov3, in the middle
_GROWTH = 32  # channels that a convolution of a dense block adds
# What else may be quicker, by name: fewer warps, two blocks at once, rolled loops.
OTHERS = {
    "16x32, weights as used": CompactTiling(height=16, width=32, rows=4, stages=3),
    "16x32, rolled": CompactTiling(height=16, width=32, rows=4, stages=12, unroll=1),
    "16x32, unrolled": CompactTiling(height=16, width=32, rows=4, stages=12, unroll=4),
    "32x16": CompactTiling(height=32, width=16, rows=4, stages=12),
    "16x32, 16 warps": CompactTiling(height=16, width=32, rows=2, stages=12),
    "8x32, 4 warps": CompactTiling(height=8, width=32, rows=4, stages=12),
    "16x16 twice": CompactTiling(height=16, width=16, rows=4, stages=3, blocks=2),
    "8x32 twice": CompactTiling(height=8, width=32, rows=4, stages=3, blocks=2),
}
# Both kinds of sums, and fp16 ones of other lengths: stages of 48 products.
SHORT = 1  # where they are taken
SUMS = {"sums of fp32": 0, "short sums": SHORT, "sums of 96": 2, "sums of fp16": 12}


def network(weights: Path | None, scale: int = 4, middle: int = LAYERS) -> SRVGGNetCompact:
    """animevideov3, or a random one whose numbers stay as large from layer to layer."""
    if weights is not None:
        from vsr.nets.store import load_file_as_network

        loaded = load_file_as_network(weights, "prelu")
        assert isinstance(loaded, SRVGGNetCompact)
        return loaded
    torch.manual_seed(0)
    made = SRVGGNetCompact(num_feat=FEATURES, num_conv=middle, upscale=scale)
    for layer in made.body:
        if isinstance(layer, nn.PReLU):
            nn.init.uniform_(layer.weight, -0.5, 1.2)
        elif isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=(1.6 / layer.in_channels / 9) ** 0.5)
    assert isinstance(made.body[-1], nn.Conv2d)
    made.body[-1].weight.data.mul_(0.1)  # what a trained one adds to the picture is small
    return made.requires_grad_(False)


def dense(blocks: int) -> RRDBNet:
    """6 blocks are x4plus-anime, 23 x4plus; random, with features that stay as large."""
    torch.manual_seed(0)
    made = RRDBNet(num_block=blocks).requires_grad_(False)
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=(0.5 / layer.in_channels / 9) ** 0.5)
    return made


# --- right ---


def exact(given: Network, x: Tensor) -> Tensor:
    """float64 on the CPU, of weights and pictures that are rounded as the kernels take them."""
    rounded = copy.deepcopy(given).cpu().double()
    for layer in rounded.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.copy_(layer.weight.half())
    x = x.cpu()
    if not isinstance(rounded, SRVGGNetCompact):
        return torch.as_tensor(rounded(x.half().double()))
    drawn = F.pixel_shuffle(rounded.body(x.half().double()), given.scale)
    return drawn + F.interpolate(x.double(), scale_factor=given.scale, mode="nearest")


def poisoned(engine: CudaEngine, x: Tensor) -> Tensor:
    """The engine's result, in memory that held NaN."""
    count, _, height, width = x.shape
    side = engine.scale
    planes = torch.full((count, 3, height * side, width * side), torch.nan, device=x.device)
    numbers = engine.plan.scratch * count * height * width
    scratch = torch.full((numbers,), torch.nan, dtype=torch.float16, device=x.device)
    engine.upscale_into(x, scratch, planes)
    return planes


def conformance(
    device: torch.device, tilings: dict[str, CompactTiling]
) -> Iterator[dict[str, Any]]:
    """Each tiling, scale, folding and shape against float64; three runs have to be the same."""
    cases = [(scale, 1) for scale in (4, 3, 2, 1)] + [(4, 2), (4, 4)]
    for name, tiling in tilings.items():
        for scale, fold in cases if name == "default" else cases[:1]:
            given = network(None, scale, middle=3)
            if fold > 1:
                fold_area(given, fold)
            engine = CudaEngine(given, device=device, tiling=tiling)
            for shape in ((1, 3, 5, 7), (2, 3, 67, 101), (3, 3, 33, 250), (1, 3, 360, 640)):
                x = torch.rand(shape)
                made = [poisoned(engine, x.to(device)).cpu() for _ in range(3)]
                yield {
                    "tiling": name, "scale": scale, "fold": fold, "shape": shape,
                    "steady": all(torch.equal(made[0], one) for one in made),
                    **_difference(made[0], exact(given, x), x, given.scale),
                }  # fmt: skip
    deep = dense(2)
    engine = CudaEngine(deep, device=device)
    for shape in ((1, 3, 5, 7), (2, 3, 33, 50), (1, 3, 90, 160)):
        x = torch.rand(shape)
        made = [poisoned(engine, x.to(device)).cpu() for _ in range(3)]
        yield {
            "tiling": "RRDBNet", "scale": 4, "fold": 1, "shape": shape,
            "steady": all(torch.equal(made[0], one) for one in made),
            **_difference(made[0], exact(deep, x), torch.zeros_like(x), 4),
        }  # fmt: skip


def _difference(made: Tensor, want: Tensor, x: Tensor, scale: int) -> dict[str, Any]:
    error = made.double() - want
    drawn = want - F.interpolate(x.double(), scale_factor=scale, mode="nearest")
    return {
        "finite": bool(torch.isfinite(made).all()),
        "relative": float(error.norm() / drawn.norm()),  # to what the network adds
        "most": float(error.abs().max()),
    }


def whole_frames(
    device: torch.device, given: SRVGGNetCompact, tilings: Mapping[str, CompactTiling]
) -> Iterator[dict[str, Any]]:
    """Full size, against PyTorch in fp32 on the device: indexes that are too small show here.

    And what the sums are worth, on noise, which is harder for them than a picture.
    """
    engines = {
        name: CudaEngine(copy.deepcopy(given), device=device, tiling=tiling)
        for name, tiling in tilings.items()
        if name == "default" or name in SUMS
    }
    plain = TorchEngine(copy.deepcopy(given), device=device, dtype=torch.float32, precision="fp32")
    half = TorchEngine(copy.deepcopy(given), device=device, dtype=torch.float16, precision="fp16")
    for (width, height), count in zip(SIZES, (4, 3, 2), strict=True):
        x = torch.rand(count, 3, height, width, device=device)
        want = torch.cat([plain(one[None]) for one in x])
        other = torch.cat([half(one[None].half()) for one in x]).float()
        for name, engine in engines.items():
            made = poisoned(engine, x)
            yield {
                "tiling": name, "size": f"{width}x{height}", "count": count,
                "finite": bool(torch.isfinite(made).all()),
                "psnr": _psnr(made, want), "most": float((made - want).abs().max()),
                "psnr of PyTorch fp16": _psnr(other, want),
            }  # fmt: skip


def _psnr(made: Tensor, want: Tensor) -> float:
    return float(-10 * (made - want).double().square().mean().log10())


# --- how fast ---

Way = Callable[[Tensor], Tensor]


def ways(
    device: torch.device,
    given: Network,
    tilings: Mapping[str, CompactTiling | None],
    compiled: bool,
) -> dict[str, tuple[Way, torch.dtype]]:
    """All that are compared, and what they take."""
    half = copy.deepcopy(given).to(device, torch.float16)
    eager = TorchEngine(copy.deepcopy(given), device=device, dtype=torch.float16, precision="fp16")
    own = copy.deepcopy(given)
    own.join(JoinedActivation(CudaKernelRunner(device)))
    joined = TorchEngine(own, device=device, dtype=torch.float16, precision="fp16")
    found: dict[str, tuple[Way, torch.dtype]] = {
        "PyTorch, planes": (half, torch.float16),
        "PyTorch, channels last": (eager, torch.float16),
        "PyTorch, bias and activation joined": (joined, torch.float16),
    }
    if compiled:
        last = copy.deepcopy(given).to(device, torch.float16)
        last = last.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        found["torch.compile"] = (torch.compile(last, dynamic=False), torch.float16)
    plain = CudaEngine(given, device=device, graphs=False)
    found["ours, no graph"] = (plain, torch.float32)
    for name, tiling in tilings.items():
        label = "ours" if name == "default" else f"ours, {name}"
        found[label] = (CudaEngine(given, device=device, tiling=tiling), torch.float32)
    return found


def timed(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Seconds of one, by device events around several."""
    if device.type != "cuda":  # a rehearsal
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    for _ in range(repeats):
        work()
    end.record()
    torch.cuda.synchronize(device)
    return float(start.elapsed_time(end)) / 1000 / repeats


def rounds(
    found: dict[str, tuple[Way, torch.dtype]], shape: tuple[int, ...], device: torch.device
) -> Iterator[dict[str, Any]]:
    """Seconds a frame of each way, in turn."""
    pictures = {
        dtype: [torch.rand(shape, device=device).to(dtype) for _ in range(PICTURES)]
        for dtype in {dtype for _, dtype in found.values()}
    }
    took: dict[str, list[float]] = {name: [] for name in found}
    for n in range(ROUNDS + 3):
        for name, (way, dtype) in found.items():
            own = iter(pictures[dtype] * 2)
            seconds = timed(lambda way=way, own=own: way(next(own)), device, 2 * PICTURES)  # type: ignore[misc]
            if n >= 3:  # the first ones load, choose and capture
                took[name].append(seconds / shape[0])
    for name, seconds_ in took.items():
        median = statistics.median(seconds_)
        yield {
            "way": name, "size": f"{shape[3]}x{shape[2]}", "batch": shape[0],
            "ms": 1e3 * median, "least": 1e3 * min(seconds_), "most": 1e3 * max(seconds_),
            "fps": 1 / median,
        }  # fmt: skip


def rectangles(frame: Tensor) -> list[Tensor]:
    """Of what `--reuse` may find changed, with their halos: 48x48 to 160x96 pixels of a frame."""
    height, width = frame.shape[2:]
    found = []
    for n in range(PIECES):
        tall, wide = 48 + 16 * (n % 4), 48 + 16 * (n * 5 % 8)
        y, x = n * 97 % (height - tall), n * 211 % (width - wide)
        found.append(frame[:, :, y : y + tall, x : x + wide])
    return found


def lists(device: torch.device, given: Network, size: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """Rectangles of a frame together, one by one, and the whole frame instead of them."""
    engine = CudaEngine(copy.deepcopy(given), device=device)
    frames = [torch.rand(1, 3, size[1], size[0], device=device) for _ in range(PICTURES)]
    pieces, room = [rectangles(frame) for frame in frames], size[0] * size[1]
    together = engine.infer_many(pieces[0], room)
    alone = [engine(one) for one in pieces[0]]
    same = all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
    found: dict[str, Callable[[int], object]] = {
        "together": lambda n: engine.infer_many(pieces[n % PICTURES], room),
        "one by one": lambda n: [engine(one) for one in pieces[n % PICTURES]],
        "the whole frame": lambda n: engine(frames[n % PICTURES]),
    }
    took: dict[str, list[float]] = {name: [] for name in found}
    for n in range(ROUNDS + 3):
        for name, way in found.items():
            turn = iter(range(2 * PICTURES))
            seconds = timed(lambda way=way, turn=turn: way(next(turn)), device, 2 * PICTURES)  # type: ignore[misc]
            if n >= 3:
                took[name].append(seconds)
    pixels = sum(one[0, 0].numel() for one in pieces[0])
    for name, seconds_ in took.items():
        yield {
            "way": name, "size": f"{size[0]}x{size[1]}",
            "pieces": PIECES, "of the frame": pixels / room,
            "ms": 1e3 * statistics.median(seconds_), "least": 1e3 * min(seconds_),
            "most": 1e3 * max(seconds_), "steady": same,
        }  # fmt: skip


def kernel_by_kernel(
    device: torch.device, given: SRVGGNetCompact, tiling: CompactTiling, shape: tuple[int, ...]
) -> Iterator[dict[str, Any]]:
    """One layer of each kind by itself, with what it computes and moves."""
    engine = CudaEngine(given, device=device, tiling=tiling)
    count, _, height, width = shape
    x = torch.rand(shape, device=device)
    planes = torch.empty(count, 3, height * given.scale, width * given.scale, device=device)
    scratch = torch.randn(engine.plan.scratch * count * height * width, device=device).half()
    tables = engine.plan.tables(pieces_of(list(x)), engine.processors)
    words = torch.from_numpy(tables.words).to(device)
    batch = DeviceBatch(
        pixels=count * height * width, tables=tables.at(words.data_ptr()),
        picture=x.data_ptr(), planes=planes.data_ptr(), scratch=scratch.data_ptr(),
    )  # fmt: skip
    steps = {one.kernel: one for one in engine.plan.launches(batch, engine.processors)}
    stream = torch.cuda.current_stream(device).cuda_stream
    pixels, out = count * height * width, 3 * given.scale**2
    amounts = {  # multiplications and bytes of a pixel
        "first": (27 * FEATURES, 12 + 128),
        "middle": (9 * FEATURES * FEATURES, 256),
        "last": (9 * FEATURES * out, 128 + 12 + 4 * out),
    }
    for name, step in steps.items():
        run = [timed(lambda s=step: engine.kernels.run(s, stream), device, 20) for _ in range(9)]  # type: ignore[misc]
        seconds = statistics.median(run[2:])
        products, moved = amounts[name]
        yield {
            "kernel": name, "us": 1e6 * seconds,
            "TFLOP/s": 2e-12 * products * pixels / seconds,
            "GB/s": 1e-9 * moved * pixels / seconds,
        }  # fmt: skip


# --- planes to planes ---

LAYOUT = Layout(family="yuv", sub_x=1, sub_y=1)
TAGS = Colour(matrix=Matrix.BT709, range=Range.LIMITED)


def ends_right(device: torch.device) -> Iterator[dict[str, Any]]:
    """The ends' kernels at full size, against PyTorch's operations on the device."""
    runner, plain = CudaKernelRunner(device), TorchColourBackend()
    kernels = CudaColourBackend(runner, runner.processors)
    for (width, height), bits in itertools.product(SIZES[:2], (8, 10)):
        layout = LAYOUT.replace(bits=bits)
        planes, drawn = _pictures(width, height, layout, device)
        rgb = kernels.to_rgb(planes, layout, TAGS)
        right = plain.to_rgb(planes, layout, TAGS)
        drift, wanted = (one.find_drift(drawn, right) for one in (kernels, plain))
        made = kernels.from_rgb(drawn, layout, TAGS, wanted)
        want = plain.from_rgb(drawn, layout, TAGS, wanted)
        apart = [(a.int() - b.int()).abs() for a, b in zip(made, want, strict=True)]
        differ = max(float((one > 0).float().mean()) for one in apart)
        row = {
            "size": f"{width}x{height}", "bits": bits,
            "rgb": float((rgb - right).abs().max()),
            "drift": float((drift.cells - wanted.cells).abs().max()),
            "codes": max(int(one.max()) for one in apart), "that differ": differ,
        }  # fmt: skip
        near = row["rgb"] < 4e-6 and row["drift"] < 4e-6 and row["codes"] <= 1
        yield {**row, "finite": near and differ < 2e-6 * 2**bits}


Work = tuple[Callable[[], object], int]  # and the bytes that it cannot but move; 0: not counted


def ends_times(
    device: torch.device, given: SRVGGNetCompact, quick: bool
) -> Iterator[dict[str, Any]]:
    """Each end in kernels and in PyTorch; then all from planes to planes, and the network alone."""
    runner, engine = CudaKernelRunner(device), CudaEngine(given, device=device)
    ways: dict[str, ColourBackend] = {
        "kernels": CudaColourBackend(runner, runner.processors),
        "PyTorch": TorchColourBackend(),
    }
    for width, height in SIZES[1:2] if quick else SIZES:
        padded = torch.rand(1, 3, height + 2 * EDGE, width + 2 * EDGE, device=device)
        works = {("the network alone", "kernels"): _alone(engine, padded)}
        for name, backend in ways.items():
            for what, work in _works(backend, engine, width, height):
                works[what, name] = work
        took: dict[tuple[str, str], list[float]] = {key: [] for key in works}
        for n in range(ROUNDS + 3):
            for key, (run, _) in works.items():
                seconds = timed(run, device, 5)
                if n >= 3:
                    took[key].append(seconds)
        alone = statistics.median(took["the network alone", "kernels"])
        for key, (_, moved) in works.items():
            median = statistics.median(took[key])
            yield {
                "what": key[0], "way": key[1], "size": f"{width}x{height}",
                "us": 1e6 * median, "of the network": median / alone,
                **({"GB/s": 1e-9 * moved / median} if moved else {}),
            }  # fmt: skip


def _alone(engine: CudaEngine, x: Tensor) -> Work:
    return lambda: engine(x), 0


def _works(
    backend: ColourBackend, engine: CudaEngine, width: int, height: int
) -> Iterator[tuple[str, Work]]:
    """What is timed of some ends: each by itself, and all of the stage."""
    planes, drawn = _pictures(width, height, LAYOUT, engine.device)
    rgb = backend.to_rgb(planes, LAYOUT, TAGS)
    drift = backend.find_drift(drawn, rgb)
    nothing = DriftCorrection(cells=torch.zeros_like(drift.cells), side=drift.side)
    source, large = rgb.nbytes, 4 * drawn.numel()
    inside, outside = (3 * numbers // 2 for numbers in (width * height, drawn[0, 0].numel()))

    def whole() -> object:
        shown = backend.to_rgb(planes, LAYOUT, TAGS)
        made = infer(engine, shown, tile=0, overlap=0)
        found = backend.find_drift(made, shown)
        return torch.isfinite(found.cells.sum()), backend.from_rgb(made, LAYOUT, TAGS, found)

    yield "to RGB", (lambda: backend.to_rgb(planes, LAYOUT, TAGS), inside + source)
    yield "drift", (lambda: backend.find_drift(drawn, rgb), large + source)
    yield "to YUV", (lambda: backend.from_rgb(drawn, LAYOUT, TAGS, nothing), large + outside)
    yield "planes to planes", (whole, 0)


def _pictures(
    width: int, height: int, layout: Layout, device: torch.device
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Planes, and what a network draws of them: a piece of something larger."""
    planes = tuple(
        torch.randint(0, 1 << layout.bits, (1, *size)).to(layout.dtype).to(device)
        for size in layout.plane_sizes(width, height)
    )
    drawn = torch.rand(1, 3, 4 * (height + 2 * EDGE), 4 * (width + 2 * EDGE), device=device)
    return planes, drawn[..., 4 * EDGE : -4 * EDGE, 4 * EDGE : -4 * EDGE]


# --- all of it ---


def resources(tilings: dict[str, CompactTiling], architecture: int) -> Iterator[dict[str, Any]]:
    """What the assembler says of each, and how long it takes."""
    for name, tiling in tilings.items():
        began = time.perf_counter()
        options = (*tiling.options(4), "--ptxas-options=-v")
        text = source(CompactPlan.sources)
        log = Nvrtc().compile(text, architecture=architecture, options=options).log
        yield {
            "tiling": name, **dataclasses.asdict(tiling), "shared": tiling.shared(4),
            "seconds": time.perf_counter() - began,
            "registers": [int(n) for n in re.findall(r"Used (\d+) registers", log)],
            "spilled": [int(n) for n in re.findall(r"(\d+) bytes spill stores", log)],
        }  # fmt: skip


def table(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}")
    for row in rows:
        cells = (
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in row.items()
        )
        print("  " + " | ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("cuda.json"))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--quick", action="store_true", help="720p and the default tiling only")
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("needs a CUDA device")
    report = measure(torch.device("cuda", 0), given)
    wrong = [
        row
        for row in report["conformance"] + report["whole frames"] + report["ends"]
        + report["pieces of a frame"]
        if not row.get("finite", True) or not row.get("steady", True)
        # All sums in fp16 are there to be compared with.
        or (row.get("tiling") != "sums of fp16"
        and (row.get("relative", 0) > 3e-3 or row.get("psnr", 99) < 60))
    ]  # fmt: skip
    print(f"\nwrong: {wrong or 'nothing'}")


@torch.inference_mode()
def measure(device: torch.device, given: argparse.Namespace) -> dict[str, Any]:
    """Everything, in an order in which what matters comes first if the time runs out."""
    driver = Driver()
    shared = driver.shared_memory(device.index or 0)
    architecture = architecture_of(device)
    default = tiling_for(shared, architecture)
    assert default is not None
    tilings = {"default": default} | {
        name: dataclasses.replace(default, short=short)
        for name, short in SUMS.items()
        if short != default.short and (short in (0, SHORT) or not given.quick)
    }
    if not given.quick:
        every = {f"{t.height}x{t.width}, {t.threads // 32} warps": t for t in TILINGS} | OTHERS
        own = {n: dataclasses.replace(t, short=default.short) for n, t in every.items()}
        tilings |= {n: t for n, t in own.items() if t != default and _runs(t, shared)}
    machine = describe(device, torch.float16)
    report: dict[str, Any] = {
        "machine": {**dataclasses.asdict(machine), "driver": driver.version(),
                    "nvrtc": Nvrtc().version, "capability": architecture / 10, "shared": shared},
    }  # fmt: skip
    print(json.dumps(report["machine"], default=str))

    def add(title: str, rows: Iterator[dict[str, Any]]) -> None:
        report[title] = list(rows)
        table(title, report[title])
        # What is there is kept if the time runs out.
        given.out.write_text(json.dumps(report, indent=1, default=str), encoding="utf-8")

    compact = network(given.weights)
    add("resources", resources(tilings, architecture))
    add("conformance", conformance(device, tilings))
    add("whole frames", whole_frames(device, compact, tilings))
    add("ends", ends_right(device))
    add("times of the ends", ends_times(device, compact, given.quick))
    add("kernels at 1280x720", kernels(device, compact, tilings))
    add("pieces of a frame", lists(device, compact, SIZES[1]))
    if not given.quick:
        add("pieces of a frame, RRDBNet", lists(device, dense(6), DEEP))
        add("times of RRDBNet", deep_times(device, given.compile))
    add("times", times(device, compact, tilings, given))
    return report


def kernels(
    device: torch.device, compact: SRVGGNetCompact, tilings: dict[str, CompactTiling]
) -> Iterator[dict[str, Any]]:
    """Each kernel of each tiling, at 720p."""
    for name, tiling in tilings.items():
        for row in kernel_by_kernel(device, compact, tiling, (1, 3, *SIZES[1][::-1])):
            yield {"tiling": name, **row}


def times(
    device: torch.device,
    compact: SRVGGNetCompact,
    tilings: dict[str, CompactTiling],
    given: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    """Each way at each size and batch."""
    found = ways(device, compact, tilings, given.compile)
    middle = sum(isinstance(layer, nn.Conv2d) for layer in compact.body) - 2
    products = 27 * FEATURES + 9 * FEATURES * (FEATURES * middle + 3 * compact.scale**2)
    for width, height in SIZES[1:2] if given.quick else (SIZES[1], SIZES[0], SIZES[2]):
        for count in BATCHES[:1] if given.quick else BATCHES:
            for row in rounds(found, (count, 3, height, width), device):
                yield {**row, "TFLOP/s": 2e-12 * products * width * height * row["fps"]}


def deep_times(device: torch.device, compiled: bool) -> Iterator[dict[str, Any]]:
    """RRDBNet with 6 and 23 blocks, one frame."""
    width, height = DEEP
    for blocks in (6, 23):
        found = ways(device, dense(blocks), {"default": None}, compiled)
        # 15 convolutions a group of blocks; behind them one, and a tail at 4 and 16 times the size.
        group = 3 * 9 * (_GROWTH * (64 + 96 + 128 + 160) + 192 * 64)
        products = 27 * 64 + blocks * group + 9 * 64 * (64 * (1 + 4 + 16 + 16) + 16 * 3)
        for row in rounds(found, (1, 3, height, width), device):
            flop = 2e-12 * products * width * height
            yield {"blocks": blocks, **row, "TFLOP/s": flop * row["fps"]}


def _runs(tiling: CompactTiling, shared: int) -> bool:
    # What is shared by all blocks of a multiprocessor is 1 KB more than one may have, and each
    # takes 1 KB for itself.
    return tiling.blocks * (tiling.shared(4) + 1024) <= shared + 1024


if __name__ == "__main__":
    run_script(main)
