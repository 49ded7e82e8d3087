"""What networks of the same scale cost beside each other: SPAN, Compact, native x2, folded x4.

    python benchmarks/networks.py [--on torch,ncnn,vulkan] [--rounds 5] [--threads 1]

All run in turn, in one process, on the same picture; the median of the rounds' ratios to the first
of the scale is what counts. `--on cuda` is PyTorch on a GPU. Those without weights here are random:
a convolution takes as long for any. Real-CUGAN has its own, by the extra `cugan`, or is left out.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from fractions import Fraction

import click
import torch
from script import run_script

from vsr.bench.machine import describe
from vsr.engine.base import Engine
from vsr.engine.build import build_engine
from vsr.errors import ModelError, UsageError
from vsr.nets.families.span import SPAN
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.nets.store import LoadedModel, load
from vsr.options import DeviceOptions, ModelOptions

_WAYS = {
    "torch": DeviceOptions(device="cpu", engine="torch", precision="fp32"),
    "bf16": DeviceOptions(device="cpu", engine="torch", precision="bf16"),
    "ncnn": DeviceOptions(device="cpu", engine="ncnn"),
    "vulkan": DeviceOptions(device="vulkan"),
    "cuda": DeviceOptions(device="cuda", engine="torch"),
}


def _random(make: Callable[[], Network]) -> Callable[[], LoadedModel]:
    def loaded() -> LoadedModel:
        torch.manual_seed(0)
        network = make().eval().requires_grad_(False)
        return LoadedModel(name="random", network=network, scale=network.scale, kernel="bicubic")

    return loaded


def _named(name: str) -> Callable[[], LoadedModel]:
    return lambda: load(ModelOptions(name=name, offline=True))


_NETWORKS: dict[int, dict[str, Callable[[], LoadedModel]]] = {
    2: {
        "animevideov3 (x4), folded": _named("realesr-animevideov3"),
        "Compact x2, 64 features": _random(lambda: SRVGGNetCompact(upscale=2)),
        "SPAN x2, 48 features": _random(lambda: SPAN(num_feat=48, scale=2)),
        "Real-CUGAN x2": _named("cugan2x"),
        "x4plus-anime (x4), folded": _named("x4plus-anime"),
    },
    4: {
        "animevideov3 (Compact x4)": _named("realesr-animevideov3"),
        "SPAN x4, 48 features": _random(lambda: SPAN(num_feat=48, scale=4)),
    },
}


def _engines(scale: int, options: DeviceOptions) -> dict[str, Engine]:
    engines = {}
    for name, make in _NETWORKS[scale].items():
        try:
            engines[name] = build_engine(make(), Fraction(scale), options)
        except (ModelError, UsageError) as error:
            click.echo(f"    {name}: left out, {error}")
    return engines


def _seconds(engine: Engine, picture: torch.Tensor) -> float:
    began = time.perf_counter()
    engine(picture).float().sum().item()  # waits for the device
    return time.perf_counter() - began


def _compare(engines: dict[str, Engine], width: int, height: int, rounds: int) -> None:
    took: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(rounds + 1):
        for name, engine in engines.items():
            picture = torch.rand(1, 3, height, width).to(engine.device, engine.dtype)
            seconds = _seconds(engine, picture)
            if number:  # the first one warms up
                took[name].append(seconds)
    first = next(iter(took.values()), [])
    for name, seconds_each in took.items():
        ratios = [one / other for one, other in zip(seconds_each, first, strict=True)]
        spread = f"{min(ratios):.2f} .. {max(ratios):.2f}"
        click.echo(
            f"    {name:28}{statistics.median(seconds_each) * 1e3:9.1f} ms, "
            f"{statistics.median(ratios):5.2f} times the first ({spread})"
        )


@click.command()
@click.option("--on", "ways", default="torch,ncnn", show_default=True, help=", ".join(_WAYS))
@click.option("--rounds", default=5, show_default=True)
@click.option("--threads", default=1, show_default=True, help="Of PyTorch's and ncnn's.")
@click.option("--width", default=160, show_default=True)
@click.option("--height", default=96, show_default=True)
@torch.inference_mode()
def main(ways: str, rounds: int, threads: int, width: int, height: int) -> None:
    """Time all networks of each scale, in turn."""
    machine = describe(torch.device("cpu"), torch.float32)
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    click.echo(f"{machine.device}, {machine.cores} cores, {machine.date}; {versions}")
    click.echo(f"{width}x{height}, {threads} threads, {rounds} rounds")
    for way in ways.split(","):
        options = _WAYS[way]
        for scale in _NETWORKS:
            click.echo(f"  {way}, x{scale}")
            chosen = dataclasses.replace(options, threads=threads)
            engines = _engines(scale, chosen)
            _compare(engines, width, height, rounds)


if __name__ == "__main__":
    run_script(main)
