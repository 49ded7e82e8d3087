"""What the machine is, and the most that it can do: the floors come from there."""

from __future__ import annotations

import datetime
import importlib.metadata
import importlib.util
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from vsr.engine.device import processor
from vsr.machine import cores
from vsr.version import __version__

_SIDE = 2048  # of the matrices
_BYTES = 1 << 28  # of what is copied
_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A device, by name and by its measured best."""

    device: str
    cores: int
    threads: int  # of PyTorch
    system: str
    versions: dict[str, str]
    date: str
    matrix: dict[str, float]  # operations a second, by precision
    copy: float  # bytes a second, read and written
    upload: float | None  # bytes a second from pinned memory; None: there is nowhere to


def describe(device: torch.device, dtype: torch.dtype) -> Machine:
    """Measure `device`. Takes a few seconds."""
    cuda = device.type == "cuda"
    versions = {"vsr": __version__, "python": platform.python_version()}
    for name in ("torch", "av", "ncnn"):
        if importlib.util.find_spec(name):
            versions[name] = importlib.metadata.version(name)
    kinds = dict.fromkeys((torch.float32, dtype))
    return Machine(
        device=torch.cuda.get_device_name(device) if cuda else processor(),
        cores=cores(),
        threads=torch.get_num_threads(),
        system=platform.platform(),
        versions=versions,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        matrix={str(kind).removeprefix("torch."): _matrix(device, kind) for kind in kinds},
        copy=_copy(device),
        upload=_upload(device) if cuda else None,
    )


def synchronise(device: torch.device) -> None:
    """Wait until `device` has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _best(work: Callable[[], object], device: torch.device) -> float:
    """Return seconds, at its quickest: what the machine can do, not what it did."""
    work()
    took = []
    for _ in range(_TRIES):
        synchronise(device)
        began = time.perf_counter()
        work()
        synchronise(device)
        took.append(time.perf_counter() - began)
    return min(took)


def _matrix(device: torch.device, dtype: torch.dtype) -> float:
    side = _SIDE * (4 if device.type == "cuda" else 1)
    a = torch.rand(side, side, device=device).to(dtype)
    b = torch.rand(side, side, device=device).to(dtype)
    return 2.0 * side**3 / _best(lambda: a @ b, device)


def _copy(device: torch.device) -> float:
    source = torch.zeros(_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * _BYTES / _best(lambda: target.copy_(source), device)


def _upload(device: torch.device) -> float:
    source = torch.zeros(_BYTES, dtype=torch.uint8, pin_memory=True)
    target = torch.empty(_BYTES, dtype=torch.uint8, device=device)
    return _BYTES / _best(lambda: target.copy_(source, non_blocking=True), device)
