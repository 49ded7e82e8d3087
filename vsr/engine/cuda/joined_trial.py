"""Trials of the kernel behind PyTorch's convolutions, in a process of their own.

Whether it makes what PyTorch's operations make, bit for bit, and is faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vsr.engine.cuda.joined_activation import (
    AHEAD,
    BLOCKS,
    THREADS,
    UNIT,
    Activation,
    JoinedActivation,
    apart,
)
from vsr.engine.cuda.kernel_runner import CudaKernelRunner
from vsr.engine.device import DTYPES
from vsr.engine.torch_engine import TorchEngine
from vsr.engine.trial_process import answer_of_kernels, ask_of_kernels
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network

MOST = 1.0  # of PyTorch's time
TIMED = (1, 3, 540, 960)
_SMALL = (2, 3, 10, 14)  # of pictures that go through a whole network
_MAX_ERROR = 4 / 255  # of any value of theirs: convolutions may have been summed up in other orders
_RMS = 1e-3
_WARM, _ROUNDS = 3, 7
_BESIDE = 64  # numbers on either side of a map, which have to stay as they are
_SOME = (0.0, -0.0, torch.inf, -torch.inf, 6e-8, -6e-8, 65504.0, -65504.0)


@dataclass(frozen=True, kw_only=True)
class JoinedTrial:
    """What is tried: a precision, and the channels of a kind of network."""

    device: str
    precision: str
    features: int
    growth: int  # of the dense blocks of an RRDBNet; 0: compact


def try_joined(asked: JoinedTrial) -> str | None:
    """Return why the kernel is refused, in words; None: it is right, and faster.

    Raises KernelsUnavailable where it cannot be had, which another run may find otherwise.
    """
    return ask_of_kernels(__name__, asked)


def main() -> None:
    """Make one trial, in a process that may come to harm by it."""
    answer_of_kernels(tried)


@torch.inference_mode()
def tried(asked: JoinedTrial) -> str | None:
    """Return what is wrong with the kernel here and now; None: nothing."""
    device = torch.device(asked.device)
    run = CudaKernelRunner(device)
    streams = [torch.cuda.current_stream(device), torch.cuda.Stream(device)]  # type: ignore[no-untyped-call]
    for stream in streams:
        with torch.cuda.device(device), torch.cuda.stream(stream):
            if not (_maps(run, asked) and _networks(run, asked)):
                return "computed something else in a trial"
    if _ratio(run, asked) >= MOST:
        return "was not faster in a trial"
    return None


def _maps(run: CudaKernelRunner, asked: JoinedTrial) -> bool:
    """Return whether maps of features come out as PyTorch's operations make them, bit for bit."""
    for features, bias, slope in _examples(run, asked):
        around = torch.full((features.numel() + 2 * _BESIDE,), 7.0).to(features)
        mine = around[_BESIDE:-_BESIDE].view_as(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        mine.copy_(features)
        made = Activation(run, bias, bias, slope)(mine)
        torch.cuda.synchronize(run.device)  # which tells of a fault
        right = apart(features, bias, slope)
        beside = torch.cat((around[:_BESIDE], around[-_BESIDE:]))
        if made is not mine or not torch.equal(made, right) or not bool((beside == 7).all()):
            return False
    return True


def _examples(
    run: CudaKernelRunner, asked: JoinedTrial
) -> Iterator[tuple[Tensor, Tensor, Tensor | float]]:
    """Yield maps, biases and slopes: of one pixel, and of more than two rounds of every thread."""
    dtype, device = DTYPES[asked.precision], run.device
    numbers = UNIT // dtype.itemsize
    round_ = AHEAD * BLOCKS * run.processors * THREADS * numbers
    dice = torch.Generator().manual_seed(0)
    # Five units of a pixel: then no number of threads is a multiple of them by itself.
    for channels in {asked.features, asked.growth or asked.features, 5 * numbers}:
        rows = 2 * round_ // (channels * 37) + 3
        for shape in ((1, 1, 1), (1, rows, 37), (3, 7, 5)):
            drawn = torch.randn(shape[0], *shape[1:], channels, generator=dice) * 8
            drawn.flatten()[: len(_SOME)] = torch.tensor(_SOME)
            bias, slopes = (torch.rand(channels, generator=dice) * 3 - 1.4 for _ in range(2))
            for slope in (slopes, 0.2):
                own = slope.to(dtype).to(device) if isinstance(slope, Tensor) else slope
                features = drawn.to(dtype).to(device).permute(0, 3, 1, 2)
                yield features, bias.to(dtype).to(device), own


def _networks(run: CudaKernelRunner, asked: JoinedTrial) -> bool:
    """Return whether a small network draws what it draws without the kernel."""
    plain, joined = (
        _engine(sample_of(asked), asked, join) for join in (None, JoinedActivation(run))
    )
    x = torch.rand(_SMALL, generator=torch.Generator().manual_seed(0))
    x = x.to(plain.dtype).to(plain.device)
    error = (joined(x) - plain(x)).float()
    right = float(error.abs().max()) < _MAX_ERROR and float(error.square().mean().sqrt()) < _RMS
    return bool(torch.isfinite(error).all()) and right


def sample_of(asked: JoinedTrial) -> Network:
    """Return a small random network of the kind, with slopes like trained ones."""
    if asked.growth:
        return _made(lambda: RRDBNet(
            num_block=1, num_feat=asked.features, num_grow_ch=asked.growth, scale=2))  # fmt: skip
    return _made(lambda: SRVGGNetCompact(num_conv=2, num_feat=asked.features, upscale=2))


def _timed(asked: JoinedTrial) -> Network:
    """Return a network that does little else than what is timed."""
    return _made(lambda: SRVGGNetCompact(
        num_conv=4, num_feat=asked.features, upscale=1,
        act_type="leakyrelu" if asked.growth else "prelu"))  # fmt: skip


def _made(make: Callable[[], Network]) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = make()
        for layer in made.modules():
            if isinstance(layer, nn.PReLU):
                nn.init.uniform_(layer.weight, -0.5, 1.2)
    return made.requires_grad_(False)


def _engine(network: Network, asked: JoinedTrial, join: JoinedActivation | None) -> TorchEngine:
    network.join(join)
    return TorchEngine(
        network, device=torch.device(asked.device),
        dtype=DTYPES[asked.precision], precision=asked.precision,
    )  # fmt: skip


def _ratio(run: CudaKernelRunner, asked: JoinedTrial) -> float:
    """Return what the kernel makes of PyTorch's time, at the quickest of either.

    In turn, so that clocks that rise and whatever else runs here favour neither.
    """
    both = [_engine(_timed(asked), asked, join) for join in (None, JoinedActivation(run))]
    x = torch.rand(TIMED).to(both[0].dtype).to(run.device)
    took: list[list[float]] = [[], []]
    for _ in range(_WARM + _ROUNDS):
        for engine, seconds in zip(both, took, strict=True):
            torch.cuda.synchronize(run.device)
            began = time.perf_counter()
            engine(x)
            torch.cuda.synchronize(run.device)
            seconds.append(time.perf_counter() - began)
    plain, joined = (min(seconds[_WARM:]) for seconds in took)
    return joined / plain
