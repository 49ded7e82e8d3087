"""Which runtime runs a network: by what the machine can do, and a short trial of both."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time

import torch

from vsr.engine.base import Engine
from vsr.engine.device import processor
from vsr.engine.ncnn_engine import NcnnEngine
from vsr.engine.trial_cache import remember, remembered
from vsr.errors import UsageError
from vsr.nets.network import Network
from vsr.options import EngineName

_CLOSE = 1e-3  # of 0..1: both compute in 32 bits, and on the way there values of a hundred and more
_ROUNDS = 5
_MARGIN = 1.1  # times PyTorch's time: it should be faster, and caches are shared


def check_engine(asked: EngineName, device: torch.device, precision: str) -> None:
    """Check that the engine that was asked for can work. Raises UsageError."""
    if asked == "cuda" and (device.type != "cuda" or precision != "fp16"):
        raise UsageError(
            f"<device.engine> cuda: works on CUDA in fp16, not on {device} in {precision}"
        )
    if asked != "ncnn":
        return
    if not _is_installed():
        raise UsageError("<device.engine> ncnn: install it, pip install 'vsr-upscale[ncnn]'")
    if device.type != "cpu" or precision != "fp32":
        raise UsageError(
            f"<device.engine> ncnn: works on a CPU in fp32, not on {device} in {precision}"
        )


def ncnn_engine_for(asked: EngineName, network: Network, plain: Engine) -> NcnnEngine | None:
    """Return an ncnn engine, if it was asked for or does the work of `plain` as well and faster."""
    if asked == "ncnn":
        if not network.exports:
            raise UsageError("<device.engine> ncnn: does not run this kind of network")
        return NcnnEngine(network)
    if not network.exports:
        return None
    if asked == "torch" or plain.device.type != "cpu" or plain.precision != "fp32":
        return None
    if not _is_installed():
        return None
    name = _description(network)
    passed = remembered(name)
    if passed is False:
        return None
    if passed is None:
        passed = _trial(network, plain)
        remember(name, passed)
    return NcnnEngine(network) if passed else None


def _is_installed() -> bool:
    return importlib.util.find_spec("ncnn") is not None


def _trial(network: Network, plain: Engine) -> bool:
    """Return whether ncnn computes what `plain` does, and is not slower.

    Both with one thread, by that thread's own time: what else runs on the machine takes from
    that little, while several threads wait for each other, and the outcome is for good.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _is_better(NcnnEngine(network), plain, network.trial_side)
    finally:
        torch.set_num_threads(threads)


def _is_better(engine: Engine, plain: Engine, side: int) -> bool:
    picture = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    took: dict[str, list[float]] = {engine.name: [], plain.name: []}
    results = {}
    with torch.inference_mode():
        for _ in range(_ROUNDS):  # in turn, so that what else runs here disturbs both
            for one in (engine, plain):
                began = time.thread_time()
                results[one.name] = one(picture)
                took[one.name].append(time.thread_time() - began)
    right = torch.allclose(results[engine.name], results[plain.name], rtol=0, atol=_CLOSE)
    return right and min(took[engine.name]) < _MARGIN * min(took[plain.name])


def _description(network: Network) -> str:
    """Return what the outcome depends on: the machine, the runtimes, the network's shape."""
    parameters = sum(p.numel() for p in network.parameters())
    return " ".join((
        processor(), f"torch {torch.__version__}",
        f"ncnn {importlib.metadata.version('ncnn')}", type(network).__name__,
        f"scale:{network.scale} features:{network.num_feat} parameters:{parameters}",
    ))  # fmt: skip
