"""The network by itself: vsr's engine against other ways to run the same one on this machine.

    python benchmarks/peers.py [--model realesr-animevideov3] [--size 640x360] [--rounds 7]
                               [--threads 1] [--ways plain,vsr,openvino]

Each way is a process of its own, since some of them change how the whole process allocates
memory. All are loaded first; then each does one frame in turn, round by round, while the
others wait. What counts is the median, over the rounds, of the ratio of the plain way's time to
each way's in the same round. With one thread the processor's time counts, which other programs
on the same machine change less; several threads wait for each other busily.
Ways whose package is not installed are left out and named.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import torch
from script import run_script
from torch import Tensor

from vsr.bench.machine import describe
from vsr.cli.values import ParsedValue
from vsr.engine.build import build_engine
from vsr.media.read.reader import read_frames
from vsr.media.source.probe import probe
from vsr.nets.ncnn_export import write_ncnn
from vsr.nets.store import load
from vsr.options import ColourOptions, DeviceOptions, EngineName, ModelOptions
from vsr.options.values import size as read_size
from vsr.stages.colour.convert import to_rgb

SAMPLE = Path(__file__).parent.parent / "samples" / "bunny.mp4"
Run = Callable[[], object]


def plain(network: Any, x: Tensor) -> Run:
    """As the official script does: PyTorch as it comes, fp32, planes."""
    return lambda: network(x)


def ours(model: str, x: Tensor, engine: EngineName) -> Run:
    """What vsr takes."""
    built = build_engine(
        load(ModelOptions(name=model)),
        Fraction(4),
        DeviceOptions(device="cpu", engine=engine, threads=torch.get_num_threads()),
    )
    given = x.to(built.dtype)
    return lambda: built(given)


def ncnn(network: Any, x: Tensor) -> Run:
    """ncnn by its own interface, all threads, nothing of vsr around it."""
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = torch.get_num_threads()
    text, weights = write_ncnn(network)
    with TemporaryDirectory() as folder:
        param, model = Path(folder, "net.param"), Path(folder, "net.bin")
        param.write_text(text)
        model.write_bytes(weights)
        net.load_param(str(param))
        net.load_model(str(model))
    planes = np.ascontiguousarray(x[0].numpy())

    def run() -> object:
        extractor = net.create_extractor()
        extractor.input("data", ncnn.Mat(planes))
        return extractor.extract("output")

    return run


def openvino(network: Any, x: Tensor) -> Run:
    """OpenVINO, told to hurry with one frame."""
    import openvino

    model = openvino.convert_model(network, example_input=x, input=[tuple(x.shape)])
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.compile_model(model, "CPU", settings)
    given = x.numpy()
    return lambda: compiled(given)


def onnxruntime(network: Any, x: Tensor) -> Run:
    """ONNX Runtime, with the optimisations that it has by itself."""
    import onnxruntime

    with TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        torch.onnx.export(network, (x,), str(path), input_names=["x"], dynamo=False)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(
            str(path), settings, providers=["CPUExecutionProvider"]
        )
    given = {"x": x.numpy()}
    return lambda: session.run(None, given)


WAYS = ("plain", "vsr", "vsr, torch", "ncnn", "openvino", "onnxruntime")


def _way(name: str, model: str, x: Tensor) -> Run:
    if name == "vsr":
        return ours(model, x, "auto")
    if name == "vsr, torch":
        return ours(model, x, "torch")
    network = load(ModelOptions(name=model)).network
    ways: dict[str, Callable[[Any, Tensor], Run]] = {
        "plain": plain, "ncnn": ncnn, "openvino": openvino, "onnxruntime": onnxruntime,
    }  # fmt: skip
    return ways[name](network, x)


def picture(width: int, height: int) -> Tensor:
    """A real frame, (1, 3, height, width), fp32."""
    frame = next(iter(read_frames(probe(SAMPLE), ColourOptions(), sink=lambda event: None)))
    rgb = to_rgb(tuple(p.unsqueeze(0) for p in frame.planes), frame.layout, frame.colour)
    return torch.nn.functional.interpolate(rgb, size=(height, width), mode="bicubic").contiguous()


def _serve(name: str, model: str, size: tuple[int, int], threads: int | None) -> None:
    """The child: one frame for each line that comes, answered with its seconds."""
    clock = time.perf_counter
    if threads:
        torch.set_num_threads(threads)
    if threads == 1:
        clock = time.process_time
    with torch.inference_mode():
        run = _way(name, model, picture(*size))
        run()
        print(json.dumps("ready"), flush=True)
        for _ in sys.stdin:
            began = clock()
            run()
            print(json.dumps(clock() - began), flush=True)


class Child:
    """A way in its process."""

    def __init__(self, name: str, model: str, size: tuple[int, int], threads: int | None) -> None:
        self.name = name
        command = [sys.executable, __file__, "--child", name, "--model", model]
        command += ["--threads", str(threads)] if threads else []
        self._process = subprocess.Popen(
            [*command, "--size", f"{size[0]}x{size[1]}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._answer()

    def once(self) -> float:
        """Seconds of one frame."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(('"ready', "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")):
                return json.loads(line)
        if (code := self._process.wait()) > 0:
            sys.exit(code)  # it has said why
        raise click.ClickException(f"{self.name}: ended unexpectedly")

    def end(self) -> None:
        """Let it go."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _table(took: dict[str, list[float]]) -> None:
    click.echo(
        f"{'way':14}{'seconds':>9}{'least':>9}{'most':>9}{'times plain':>13}  (least .. most)"
    )
    for name, seconds in took.items():
        ratios = [a / b for a, b in zip(took["plain"], seconds, strict=True)]
        times = f"{statistics.median(seconds):9.3f}{min(seconds):9.3f}{max(seconds):9.3f}"
        spread = f"({min(ratios):.2f} .. {max(ratios):.2f})"
        click.echo(f"{name:14}{times}{statistics.median(ratios):13.2f}  {spread}")


@click.command()
@click.option("--model", default="realesr-animevideov3", show_default=True)
@click.option("--size", type=ParsedValue("WxH", read_size), default="640x360", show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--threads", type=click.IntRange(1), help="All that the machine has, if not given.")
@click.option("--ways", default=",".join(WAYS), show_default=True)
@click.option("--child", hidden=True)
def main(  # noqa: PLR0917 (click names them)
    model: str,
    size: tuple[int, int],
    rounds: int,
    threads: int | None,
    ways: str,
    child: str | None,
) -> None:
    """Time all ways in turn."""
    if child is not None:
        _serve(child, model, size, threads)
        return
    missing = [way for way in ("ncnn", "openvino", "onnxruntime") if not find_spec(way)]
    asked = ("plain", *(way for way in ways.split(",") if way != "plain"))
    children = [Child(way, model, size, threads) for way in asked if way not in missing]
    took: dict[str, list[float]] = {one.name: [] for one in children}
    for _ in range(rounds):
        for one in children:
            took[one.name].append(one.once())
    for one in children:
        one.end()
    machine = describe(torch.device("cpu"), torch.float32)
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    click.echo(f"{machine.device}, {machine.cores} cores, {machine.date}; {versions}")
    click.echo(f"{model}, one frame of {size[0]}x{size[1]}, {rounds} rounds in turn")
    if threads:
        click.echo(f"{threads} threads" if threads > 1 else "one thread, its processor's time")
    if missing:
        click.echo(f"not installed: {', '.join(missing)}")
    _table(took)


if __name__ == "__main__":
    run_script(main)
