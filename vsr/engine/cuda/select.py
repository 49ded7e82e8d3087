"""Whether our own CUDA kernels run a network: where a trial finds them right, and not slower."""

from __future__ import annotations

import copy
import time

import torch
from torch import Tensor, nn

from vsr.engine.base import Engine
from vsr.engine.cuda.engine import OLDEST, CudaEngine, architecture_of, fits, pieces_of, source
from vsr.engine.cuda.kernel_runner import surroundings
from vsr.engine.cuda.tiling import short_sums
from vsr.engine.kernel_launch import KernelsUnavailable
from vsr.engine.torch_engine import TorchEngine
from vsr.engine.trial_cache import remember, remembered
from vsr.errors import UsageError
from vsr.events import Note, Sink
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.options import EngineName

_MAX_ERROR = 4 / 255  # of any value; both have fp16 inside
_RMS = 1e-3  # 60 dB
_SHAPE = (2, 3, 67, 101)  # odd, across the edges of tiles, and several of them
_PIECES = ((0, 0, 1, 1), (3, 5, 40, 70), (20, 9, 5, 7), (31, 64, 33, 35))  # of it: y, x, h, w
_TIMED = (1, 3, 360, 640)
_TIMED_DEEP = (1, 3, 180, 320)  # RRDBNet, whose tail is 16 times as large
KERNELS = ("common.cu", "compact.cu", "dense.cu")
_ROUNDS = 5
_MARGIN = 1.1  # times PyTorch's time


def cuda_engine_for(
    asked: EngineName, network: Network, device: torch.device, precision: str, sink: Sink
) -> CudaEngine | None:
    """Return our kernels if they were asked for, or do PyTorch's work as well and not slower.

    What speaks against them is told to `sink` once, by the run that finds it. Raises UsageError
    where they were asked for and cannot be had.
    """
    if asked not in ("auto", "cuda") or device.type != "cuda" or precision != "fp16":
        return None
    if (reason := _unfit(network, device)) is None:
        try:
            if asked == "cuda":
                return CudaEngine(network, device=device)
            name = _description(network, device)
            passed = remembered(name)
            if passed is None:
                reason = _trial(network, device)
                passed = reason is None
                remember(name, passed)
                if reason is not None:
                    sink(Note(text=f"PyTorch runs the network: our CUDA kernels {reason}"))
            return CudaEngine(network, device=device) if passed else None
        except (KernelsUnavailable, torch.OutOfMemoryError) as error:
            # Not remembered: a library, or memory, that was missing may be there the next time.
            reason = f"cannot be had here ({str(error).splitlines()[0]})"
            if asked == "auto":
                sink(Note(text=f"PyTorch runs the network: our CUDA kernels {reason}"))
    if asked == "cuda":
        raise UsageError(f"<device.engine> cuda: our CUDA kernels {reason}")
    return None


def _unfit(network: Network, device: torch.device) -> str | None:
    """Return why the kernels are not made for this; nothing that a user has to be told unasked."""
    if not fits(network):
        return "run compact networks of 64 features and whole x4 RRDBNets, which this one is not"
    capability = architecture_of(device)
    if capability < OLDEST:
        return f"need compute capability {OLDEST / 10}, and {device} has {capability / 10}"
    return None


def _trial(network: Network, device: torch.device) -> str | None:
    """Return what is wrong with the kernels on this device; None: nothing."""
    sample = _sample(network)
    engine = CudaEngine(sample, device=device)
    plain = TorchEngine(copy.deepcopy(sample), device=device, dtype=torch.float16, precision="fp16")
    with torch.inference_mode():
        x = torch.rand(_SHAPE, generator=torch.Generator().manual_seed(0)).to(device)
        right = plain(x.half()).float()
        numbers = engine.plan.scratch * x[:, 0].numel()
        for _ in range(3):  # launched one by one; as a graph; as one that was there already
            # NaN wherever nothing is written.
            planes = torch.full_like(right, torch.nan)
            scratch = torch.full((numbers,), torch.nan, dtype=torch.float16, device=device)
            engine.upscale_into(x, scratch, planes)
            error = planes - right
            if not bool(torch.isfinite(error).all()):
                return "left something undone in a trial"
            if float(error.abs().max()) > _MAX_ERROR or float(error.square().mean().sqrt()) > _RMS:
                return "computed something else in a trial"
        if not _lists(engine, x):
            return "computed something else in a trial of many pictures"
        shape = _TIMED_DEEP if isinstance(network, RRDBNet) else _TIMED
        if _seconds(engine, shape) > _MARGIN * _seconds(plain, shape):
            return "were slower in a trial"
    return None


def _lists(engine: CudaEngine, x: Tensor) -> bool:
    """Return whether pieces of a picture come out together as they do one by one."""
    pieces = [x[:1, :, y : y + h, x0 : x0 + w] for y, x0, h, w in _PIECES]
    alone = torch.cat([engine(one).flatten() for one in pieces])
    numbers = engine.plan.scratch * x[:, 0].numel()
    for _ in range(3):
        planes = torch.full_like(alone, torch.nan)
        scratch = torch.full((numbers,), torch.nan, dtype=torch.float16, device=x.device)
        engine.upscale_pieces_into(pieces[0], pieces_of(pieces), scratch, planes)
        if not torch.equal(planes, alone):
            return False
    return True


def _sample(network: Network) -> Network:
    """Return a small random one of its kind that comes to every kernel, with slopes like trained
    ones.
    """
    made: Network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if isinstance(network, RRDBNet):
            made = RRDBNet(num_block=1)
        else:
            made = SRVGGNetCompact(num_conv=3, upscale=network.scale)
        for layer in made.modules():
            if isinstance(layer, nn.PReLU):
                nn.init.uniform_(layer.weight, -1.4, 1.7)
    return made.requires_grad_(False)


def _seconds(engine: Engine, shape: tuple[int, ...]) -> float:
    """Return the seconds of its quickest run."""
    x = torch.rand(shape).to(engine.device, engine.dtype)
    took = []
    for _ in range(_ROUNDS + 3):
        torch.cuda.synchronize(engine.device)
        began = time.perf_counter()
        engine(x)
        torch.cuda.synchronize(engine.device)
        took.append(time.perf_counter() - began)
    return min(took[3:])


def _description(network: Network, device: torch.device) -> str:
    """Return what the outcome depends on. Not the weights: the trial has its own."""
    sums = short_sums(architecture_of(device))
    kind = (type(network).__name__, f"scale:{network.scale}", f"short:{sums}")
    return " ".join((surroundings(device, source(KERNELS)), *kind))
