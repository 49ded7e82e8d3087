"""Vulkan GPUs, looked at and tried in a process of their own: a driver can crash or hang.

See `vsr.engine.trial_process`.
"""

from __future__ import annotations

import copy
import functools
import importlib.metadata
import importlib.util
import io
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from vsr.engine.base import Engine
from vsr.engine.device import choose_precision, prepare_cpu
from vsr.engine.select import ncnn_engine_for
from vsr.engine.torch_engine import TorchEngine
from vsr.engine.trial_cache import recalled, remember
from vsr.engine.trial_process import TrialFailed, answer, ask
from vsr.nets.network import Network
from vsr.options import DeviceOptions

_LEAST = {"fp32": 80.0, "fp16": 50.0}  # dB from PyTorch's fp32
_PICTURES = 4  # one alone may come out right by luck
_ROUNDS = 5
_FASTER = 1.5  # times the processor, for `auto` to take it; times of a busy machine are uncertain
# Seconds until a look at what is there counts as hung. It compiles nothing, but on a busy machine
# the start of its process alone took 17.
_LISTING = 60
_NODES = ("/dev/dri/renderD*", "/dev/nvidia[0-9]*", "/dev/dxg")


def find_gpus() -> list[dict[str, Any]]:
    """Return the GPUs as `engine.gpus`; none where there is no runtime, or no driver.

    A process looks once. Raises TrialFailed where a driver crashes or hangs at that.
    """
    if importlib.util.find_spec("ncnn") is None:
        return []
    found = _listed()
    if not isinstance(found, list):
        raise TrialFailed(str(found))
    return found


@functools.cache
def _listed() -> Any:
    """Return what is there, or in words why nobody knows; which of them it was is remembered."""
    found = _ask({"list": True})
    good = isinstance(found, list)
    remember(_surroundings(), good, "" if good else str(found))
    return found


def failed_before() -> bool:
    """Return whether the last look at the GPUs here, within a month, has failed."""
    look = recalled(_surroundings())
    return look is not None and not look.passed


def may_have_gpu() -> bool:
    """Return whether a real GPU may be here: a look that costs nothing, unlike `find_gpus`."""
    return sys.platform != "linux" or bool(_nodes())


def _surroundings() -> str:
    """Return what the outcome of a look depends on, as far as that is known without it."""
    return " ".join(("Vulkan's GPUs", f"ncnn {importlib.metadata.version('ncnn')}", *_nodes()))


def _nodes() -> list[str]:
    return sorted(str(found) for node in _NODES for found in Path("/").glob(node.lstrip("/")))


def try_gpu(index: int, precision: str, network: Network, *, timed: bool = False) -> str | None:
    """Return why the GPU is refused, in words; None: it is right, and the quickest if `timed`."""
    held = io.BytesIO()
    torch.save(network, held)
    asked = {"index": index, "precision": precision, "timed": timed}
    found = _ask(asked, held.getvalue())
    if isinstance(found, str):
        return found
    if not found["decibels"] >= _LEAST[precision]:
        return f"computed something else in a trial ({found['decibels']:.0f} dB)"
    if timed and not _FASTER * found["seconds"] < found["cpu_seconds"]:
        return f"took {found['seconds']:.2g} s in a trial, the processor {found['cpu_seconds']:.2g}"
    return None


def _ask(asked: dict[str, Any], network: bytes = b"") -> Any:
    """Return the answer of a process of its own; in words what became of it, if that is none."""
    try:
        return ask(__name__, (asked, network), _LISTING if asked.get("list") else None)
    except TrialFailed as error:
        return str(error)


def main() -> None:
    """Answer one question, in the process of the trial."""
    answer(_answered)


def _answered(question: tuple[dict[str, Any], bytes]) -> Any:
    from vsr.engine.vulkan.engine import VulkanEngine, gpus

    asked, held = question
    if asked.get("list"):
        return gpus()
    network = torch.load(io.BytesIO(held), weights_only=False)
    engine = VulkanEngine(network, asked["index"], precision=asked["precision"])
    found = _compared(network, engine)
    return found | _timed(network, engine) if asked["timed"] else found


def _compared(network: Network, engine: Engine) -> dict[str, float]:
    chance, worst = torch.Generator().manual_seed(0), math.inf
    with torch.inference_mode():
        for _ in range(_PICTURES):
            coarse = torch.rand(1, 3, 12, 16, generator=chance)
            picture = F.interpolate(coarse, size=(48, 64), mode="bicubic").clamp(0, 1)
            error = (engine(picture) - network(picture)).double().square().mean()
            worst = min(worst, float((-10 * torch.log10(error + 1e-20)).nan_to_num(-1.0)))
    return {"decibels": worst}


def _timed(network: Network, engine: Engine) -> dict[str, float]:
    """Return the seconds of the quickest run on the GPU and on the processor, taken in turn."""
    side = 2 * network.trial_side
    picture = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    plain = _on_processor(network)
    given = picture.to(plain.dtype)
    with torch.inference_mode():
        took = [(_seconds(engine, picture), _seconds(plain, given)) for _ in range(_ROUNDS)]
    seconds, cpu_seconds = (min(column) for column in zip(*took, strict=True))
    return {"seconds": seconds, "cpu_seconds": cpu_seconds}


def _on_processor(network: Network) -> Engine:
    """Return what would run the network if there were no GPU."""
    prepare_cpu(DeviceOptions())
    device = torch.device("cpu")
    precision, dtype = choose_precision("auto", device)
    own = copy.deepcopy(network)  # which the engine changes
    plain = TorchEngine(own, device=device, dtype=dtype, precision=precision)
    return ncnn_engine_for("auto", network, plain) or plain


def _seconds(run: Callable[[torch.Tensor], torch.Tensor], picture: torch.Tensor) -> float:
    began = time.perf_counter()
    run(picture)
    return time.perf_counter() - began
