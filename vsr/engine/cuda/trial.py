"""Trials of our CUDA kernels, in a process of their own: whether they do what PyTorch does."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vsr.engine.base import Engine
from vsr.engine.cuda.engine import CudaEngine, pieces_of
from vsr.engine.torch_engine import TorchEngine
from vsr.engine.trial_process import answer_of_kernels, ask_of_kernels
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network

_MAX_ERROR = 4 / 255  # of any value; both have fp16 inside
_RMS = 1e-3  # 60 dB
_TILE = (16, 32)  # pixels; no tiling has larger tiles
_TIMED = (1, 3, 360, 640)
_TIMED_DEEP = (1, 3, 180, 320)  # RRDBNet, whose tail is 16 times as large
_WARM, _ROUNDS = 3, 5
_MARGIN = 1.1  # times PyTorch's time


@dataclass(frozen=True, kw_only=True)
class KernelTrial:
    """What is tried: a kind of network on a device; `timed`: and whether it is slower there."""

    device: str
    deep: bool  # RRDBNet
    scale: int
    timed: bool


def try_kernels(asked: KernelTrial) -> str | None:
    """Return why the kernels are refused, in words; None: they are right.

    Raises KernelsUnavailable where they cannot be had, which another run may find otherwise.
    """
    return ask_of_kernels(__name__, asked)


def main() -> None:
    """Make one trial, in a process that may come to harm by it."""
    answer_of_kernels(tried)


def tried(asked: KernelTrial) -> str | None:
    """Return what is wrong with the kernels here and now; None: nothing."""
    device = torch.device(asked.device)
    sample = sample_of(asked)
    engine = CudaEngine(sample, device=device)
    plain = TorchEngine(copy.deepcopy(sample), device=device, dtype=torch.float16, precision="fp16")
    with torch.inference_mode():
        pictures = [picture.to(device) for picture in _pictures(shape_for(engine.processors))]
        for x in (*pictures, pictures[0]):  # launched one by one; as a graph; as one that was there
            if (reason := _difference(engine, plain, x)) is not None:
                return f"{reason} in a trial"
        if not _lists(engine, pictures[0]):
            return "computed something else in a trial of many pictures"
        if asked.timed:
            x = torch.rand(_TIMED_DEEP if asked.deep else _TIMED).to(device)
            if (reason := _difference(engine, plain, x)) is not None:
                return f"{reason} in a trial"
            if _is_slower(engine, plain, x):
                return "were slower in a trial"
    return None


def shape_for(processors: int) -> tuple[int, int, int, int]:
    """Return the shape of a trial's pictures: odd, and more than two tiles for every block.

    Only from its second tile on a block computes what it has copied beside the one before, and
    only from its third on it goes back to where it began.
    """
    across = 4 if processors > 8 else 2
    down = -(-(processors + 1) // across)  # in each of two pictures
    height, width = _TILE
    return 2, 3, height * down - 11, width * across - 27


def sample_of(asked: KernelTrial) -> Network:
    """Return a small random network that comes to every kernel, with slopes like trained ones."""
    made: Network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if asked.deep:
            made = RRDBNet(num_block=1)
        else:
            made = SRVGGNetCompact(num_conv=3, upscale=asked.scale)
        for layer in made.modules():
            if isinstance(layer, nn.PReLU):
                nn.init.uniform_(layer.weight, -1.4, 1.7)
    return made.requires_grad_(False)


def _pictures(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return noise, and something drawn: slopes, edges, flat white and black."""
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    count, colours, height, width = shape
    y, x = torch.arange(height)[:, None] / height, torch.arange(width)[None, :] / width
    drawn = torch.stack([
        torch.where((x + n * y) % 0.3 < 0.15, x * y, (n + 1 - y) / (colours + 1))
        for n in range(colours)
    ])  # fmt: skip
    drawn[:, height // 2 :, : width // 3] = 1.0
    drawn[:, : height // 3, -width // 3 :] = 0.0
    return noise, drawn.expand(count, -1, -1, -1).contiguous()


def _difference(engine: CudaEngine, plain: Engine, x: Tensor) -> str | None:
    """Return what the kernels have made of `x` other than PyTorch, in words."""
    right = plain(x.half()).float()
    # NaN wherever nothing is written. (`full_like` would lie as PyTorch's result lies, which may be
    # channels-last.)
    planes = torch.full(right.shape, torch.nan, device=x.device)
    numbers = engine.plan.scratch * x[:, 0].numel()
    scratch = torch.full((numbers,), torch.nan, dtype=torch.float16, device=x.device)
    engine.upscale_into(x, scratch, planes)
    error = planes - right
    if not bool(torch.isfinite(error).all()):
        return "left something undone"
    if float(error.abs().max()) > _MAX_ERROR or float(error.square().mean().sqrt()) > _RMS:
        return "computed something else"
    return None


def _lists(engine: CudaEngine, x: Tensor) -> bool:
    """Return whether pieces of a picture come out together as they do one by one."""
    height, width = x.shape[2:]
    corners = ((0, 0, 1, 1), (0, 0, height, width), (1, 5, 3, 7), (height // 2, width // 3, 2, 9))
    pieces = [x[:1, :, top : top + h, left : left + w] for top, left, h, w in corners]
    alone = torch.cat([engine(one).flatten() for one in pieces])
    numbers = engine.plan.scratch * sum(one[:, 0].numel() for one in pieces)
    for _ in range(3):
        planes = torch.full_like(alone, torch.nan)
        scratch = torch.full((numbers,), torch.nan, dtype=torch.float16, device=x.device)
        engine.upscale_pieces_into(pieces[0], pieces_of(pieces), scratch, planes)
        if not torch.equal(planes, alone):
            return False
    return True


def _is_slower(engine: Engine, plain: Engine, x: Tensor) -> bool:
    """Return whether the kernels are slower than PyTorch, at the quickest of either.

    In turn, so that clocks that rise and whatever else runs here favour neither.
    """
    took: dict[str, list[float]] = {engine.name: [], plain.name: []}
    for _ in range(_WARM + _ROUNDS):
        for one in (engine, plain):
            given = x.to(one.dtype)
            torch.cuda.synchronize(one.device)
            began = time.perf_counter()
            one(given)
            torch.cuda.synchronize(one.device)
            took[one.name].append(time.perf_counter() - began)
    return min(took[engine.name][_WARM:]) > _MARGIN * min(took[plain.name][_WARM:])
