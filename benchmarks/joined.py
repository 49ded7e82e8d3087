"""PyTorch on CUDA, and how much of its time bias, activation and launches take.

    python benchmarks/joined.py [--out joined.json] [--compile] [--graphs] [--sizes 1280x720 ...]

Of each size and network: PyTorch as it is, with bias and activation in a kernel of ours
(`vsr/engine/cuda/joined_activation.py`), by `torch.compile`, and either of the first two as a CUDA
graph; whether the kernel's bits are PyTorch's; and for how long the host was busy with queueing a
frame. A graph can gain where that is about as long as the frame itself, and no more than the rest.
Then the kernel alone, against the two operations that it stands for.

Needs what `kernels.py` needs.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from kernels import PICTURES, ROUNDS, Way, dense, network, rounds, table, timed
from script import run_script
from torch import Tensor

from vsr.engine.cuda.joined_activation import Activation, JoinedActivation, apart
from vsr.engine.cuda.kernel_runner import CudaKernelRunner
from vsr.engine.torch_engine import TorchEngine
from vsr.nets.network import Network

SIZES = ("640x360", "1280x720", "1920x1080")
DEEP = 1280 * 720  # pixels; of more than a quarter of it RRDBNet is left out
JOINED, PLAIN = "PyTorch, joined", "PyTorch"
CHANNELS = (64, 32)  # of feature maps: compact networks, dense blocks


def engines(device: torch.device, given: Network) -> dict[str, TorchEngine]:
    """PyTorch as it is, and with the kernel, in fp16."""
    made = {}
    for name in (PLAIN, JOINED):
        own = copy.deepcopy(given)
        own.join(JoinedActivation(CudaKernelRunner(device)) if name == JOINED else None)
        made[name] = TorchEngine(own, device=device, dtype=torch.float16, precision="fp16")
    return made


def ways(
    device: torch.device, given: Network, shape: tuple[int, ...], asked: argparse.Namespace
) -> dict[str, tuple[Way, torch.dtype]]:
    """All that are compared, and what they take."""
    both = engines(device, given)
    found: dict[str, tuple[Way, torch.dtype]] = {n: (e, torch.float16) for n, e in both.items()}
    if asked.compile:
        last = copy.deepcopy(given).to(device, torch.float16)
        last = last.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        found["torch.compile"] = (torch.compile(last, dynamic=False), torch.float16)
    if asked.graphs:
        for name, engine in engines(device, given).items():
            found[f"{name}, a graph"] = (captured(engine, shape), torch.float16)
    return found


def captured(engine: TorchEngine, shape: tuple[int, ...]) -> Way:
    """The engine for one shape, as one CUDA graph; a result is there until the next call."""
    given = torch.rand(shape, device=engine.device).half()
    aside = torch.cuda.Stream(engine.device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(aside):
        for _ in range(3):  # until ways are chosen and kernels are loaded
            engine(given)
    torch.cuda.synchronize(engine.device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = engine(given)

    def way(x: Tensor) -> Tensor:
        given.copy_(x)
        graph.replay()
        return made

    return way


def frames(
    device: torch.device, given: Network, size: str, asked: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Milliseconds a frame of each way, of the device and of the host that queues it."""
    width, height = map(int, size.split("x"))
    shape = (1, 3, height, width)
    x = torch.rand(shape, device=device).half()
    # Either finds the same convolutions: neither has tried out cuDNN's ways for the shape yet.
    plain, joined = (engine(x) for engine in engines(device, given).values())
    apart_by = float((plain - joined).abs().max())
    same = {"same bits": torch.equal(plain, joined), "largest difference": apart_by}
    del plain, joined
    found = ways(device, given, shape, asked)
    for row in rounds(found, shape, device):
        way, _ = found[row["way"]]
        own = {"queued in ms": 1e3 * queued(way, x)}
        yield {"network": given.family, **row, **own, **(same if row["way"] == JOINED else {})}


def queued(way: Way, x: Tensor) -> float:
    """Seconds that the host is busy with one frame, at best, where nothing has to be waited for."""
    took = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize(x.device)
        began = time.perf_counter()
        way(x)
        took.append(time.perf_counter() - began)
    return min(took)


def alone(device: torch.device, size: str) -> Iterator[dict[str, Any]]:
    """Microseconds behind one convolution, and what the kernel moves."""
    width, height = map(int, size.split("x"))
    run = CudaKernelRunner(device)
    for channels in CHANNELS:
        bias, slopes = (torch.rand(channels, device=device).half() for _ in range(2))
        maps = [
            torch.rand(1, height, width, channels, device=device).half().permute(0, 3, 1, 2)
            for _ in range(PICTURES)
        ]
        for slope in (slopes, 0.2):
            both: dict[str, Callable[[Tensor], Tensor]] = {
                "kernel": Activation(run, bias, bias, slope),
                "PyTorch": partial(apart, bias=bias, slope=slope),
            }
            took: dict[str, list[float]] = {name: [] for name in both}
            for n in range(ROUNDS + 3):
                for name, way in both.items():
                    seconds = timed(partial(behind, way, iter(maps * 2)), device, 2 * PICTURES)
                    if n >= 3:
                        took[name].append(seconds)
            for name, found in took.items():
                median = statistics.median(found)
                yield {
                    "size": size, "channels": channels,
                    "slopes": "many" if isinstance(slope, Tensor) else "one", "way": name,
                    "us": 1e6 * median,
                    "GB/s of the kernel's bytes": 2e-9 * maps[0].nbytes / median,
                }  # fmt: skip


def behind(way: Callable[[Tensor], Tensor], turn: Iterator[Tensor]) -> Tensor:
    """What is made of the next map, in its place."""
    return way(next(turn))


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("joined.json"))
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    parser.add_argument("--graphs", action="store_true", help="as CUDA graphs, too")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("needs a CUDA device")
    device = torch.device("cuda", 0)
    report: dict[str, Any] = {"device": torch.cuda.get_device_name(device)}

    def add(title: str, rows: Iterator[dict[str, Any]]) -> None:
        report[title] = list(rows)
        table(title, report[title])
        # What is there is kept if the time runs out.
        given.out.write_text(json.dumps(report, indent=1, default=str), encoding="utf-8")

    for size in given.sizes:
        add(f"frames of {size}", frames(device, network(None), size, given))
        add(f"bias and activation at {size}", alone(device, size))
    for size in given.sizes:
        width, height = map(int, size.split("x"))
        if width * height <= DEEP / 4:
            add(f"RRDBNet, frames of {size}", frames(device, dense(6), size, given))


if __name__ == "__main__":
    run_script(main)
