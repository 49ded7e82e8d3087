"""A GPU as PyTorch and vsr see it, where there is none: the host's driver, PyTorch's CPU build.

Tensors "on the GPU" are the host's own, in memory that kernels may touch and that holds NaN until
it is written. What this does not show: whether a tensor was moved to the device at all, and two
streams at work at the same time. All else that the driver refuses, it refuses here.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from tests.support.cuda.host import build
from vsr.engine import trial_process
from vsr.engine.cuda import joined_trial, nvrtc
from vsr.stages.colour import cuda_backend

Put = Callable[[Any, str, Any], None]  # as setattr
_VARIABLE = "VSR_CUDA_HOST"  # what a process is told of the GPU that it has
_FAULTS = {700: "an illegal memory access was encountered", 716: "misaligned address"}


@dataclass(frozen=True, kw_only=True)
class HostGpu:
    """What kind of GPU it is. `plants`: patterns in kernels, and what stands there instead."""

    architecture: int = 90
    processors: int = 3
    shared: int = 227 << 10
    plants: tuple[tuple[str, str], ...] = ()
    checks: bool = True  # races and reads of what nobody wrote are faults
    seconds: int = 1200  # of a trial: a processor takes longer than a GPU, and may be a busy one

    def environment(self) -> dict[str, str]:
        """Return the variables by which a Python process, and its own children, have this GPU."""
        here = Path(__file__).parent
        root = here.parents[3]
        paths = [str(here / "site"), str(root), os.environ.get("PYTHONPATH", "")]
        told = json.dumps(dataclasses.asdict(self))
        return {_VARIABLE: told, "PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def install(self, put: Put = setattr) -> None:
        """Let PyTorch and vsr have it. `put`: as `monkeypatch.setattr`, to take it away again."""
        lib = build.driver()
        build.take_memory()
        # Tensors of before lie in memory that no kernel may touch.
        cuda_backend._between.cache_clear()
        lib.host_configure(self.shared)
        lib.host_forget()
        lib.machine_checks(int(self.checks))
        for place, name, value in (*self._cuda(), *self._compiler(), *_tensors()):
            put(place, name, value)
        put(trial_process, "SECONDS", self.seconds)
        # Nothing is fast here.
        put(joined_trial, "MOST", math.inf)
        put(joined_trial, "TIMED", (1, 3, 4, 5))

    def _cuda(self) -> Iterator[tuple[Any, str, Any]]:
        major, minor = divmod(self.architecture, 10)
        about = SimpleNamespace(
            name=f"host sm_{self.architecture}", multi_processor_count=self.processors,
            major=major, minor=minor, total_memory=8 << 30,
        )  # fmt: skip
        for name, value in {
            "is_available": lambda: True, "device_count": lambda: 1, "current_device": lambda: 0,
            "init": lambda: None, "empty_cache": lambda: None, "synchronize": _synchronise,
            "device": lambda device: contextlib.nullcontext(),
            "stream": _on_stream, "Stream": Stream, "Event": Event,
            "current_stream": lambda device=None: Stream.current,
            "get_device_capability": lambda device=None: (major, minor),
            "get_device_properties": lambda device=None: about,
            "get_device_name": lambda device=None: about.name,
            "mem_get_info": lambda device=None: (4 << 30, 8 << 30),
            "memory_reserved": lambda device=None: 0, "memory_allocated": lambda device=None: 0,
        }.items():  # fmt: skip
            yield torch.cuda, name, value

    def _compiler(self) -> Iterator[tuple[Any, str, Any]]:
        def init(compiler: nvrtc.Nvrtc, path: Path | None = None) -> None:
            compiler.version = f"host {build.version()} {self.plants}"

        def compiled(
            _: nvrtc.Nvrtc, source: str, options: tuple[str, ...], kind: str
        ) -> nvrtc.CompiledCode:
            for pattern, instead in self.plants:
                source = re.sub(pattern, instead, source)
            try:
                return nvrtc.CompiledCode(image=build.kernels(source, options), log="")
            except build.HostMissing as error:
                raise nvrtc.CompileError(str(error)) from None

        yield nvrtc.Nvrtc, "__init__", init
        yield nvrtc.Nvrtc, "architectures", lambda _: [self.architecture]
        yield nvrtc.Nvrtc, "_compile", compiled


def from_environment() -> HostGpu | None:
    """Return the GPU that this process was told of."""
    told = os.environ.get(_VARIABLE)
    if told is None:
        return None
    given = json.loads(told)
    return HostGpu(**{**given, "plants": tuple(map(tuple, given["plants"]))})


class Stream:
    """A stream, by a handle that the driver knows. What is queued on it is done at once."""

    current: Stream
    _made = 0

    def __init__(self, device: Any = None, **_: Any) -> None:
        Stream._made += 1
        self.cuda_stream = 0x7F00_0000_0000 + 64 * Stream._made
        build.driver().host_stream(ctypes.c_void_p(self.cuda_stream))

    def wait_stream(self, other: Stream) -> None:
        """Do nothing: the other has done its work."""

    def wait_event(self, event: Event) -> None:
        """Do nothing, likewise."""

    def synchronize(self) -> None:
        """Tell of a fault, as every wait does."""
        _synchronise()


class _DefaultStream(Stream):
    def __init__(self) -> None:
        self.cuda_stream = 0


Stream.current = _DefaultStream()


class Event:
    """An event, which has happened."""

    def __init__(self, **_: Any) -> None:
        pass

    def record(self, stream: Stream | None = None) -> None:
        """Do nothing."""

    def synchronize(self) -> None:
        """Tell of a fault, as every wait does."""
        _synchronise()

    def elapsed_time(self, other: Event) -> float:
        """Return milliseconds; there is no clock on this GPU."""
        return 1.0


@contextlib.contextmanager
def _on_stream(stream: Stream) -> Iterator[None]:
    before, Stream.current = Stream.current, stream
    try:
        yield
    finally:
        Stream.current = before


def _synchronise(device: Any = None) -> None:
    """Raise as PyTorch does at the first wait after a kernel has failed."""
    if code := build.driver().host_sticky():
        words = _FAULTS.get(code, "unspecified launch failure")
        raise torch.AcceleratorError(f"CUDA error: {words}")


def _tensors() -> Iterator[tuple[Any, str, Any]]:
    """Yield what makes and moves tensors, for which `cuda` is the host."""
    for name in ("empty", "zeros", "ones", "full", "tensor", "rand", "randn", "randint", "arange",
                 "linspace", "empty_like", "full_like", "zeros_like"):  # fmt: skip
        yield torch, name, _made(getattr(torch, name))
    yield Tensor, "to", _moved(Tensor.to)
    yield Tensor, "cuda", lambda self, *_, **__: self
    yield Tensor, "pin_memory", lambda self, *_: self
    yield Tensor, "record_stream", lambda self, stream: None
    # Where PyTorch waits for a GPU, it is told of what went wrong there.
    for name in ("item", "__bool__", "__float__", "__int__", "cpu", "tolist", "numpy"):
        yield Tensor, name, _waiting(getattr(Tensor, name))


def _here(device: Any) -> Any:
    named = isinstance(device, str | torch.device) and str(device).startswith("cuda")
    return torch.device("cpu") if named else device


def _made(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(make)
    def made(*given: Any, **named: Any) -> Tensor:
        named.pop("pin_memory", None)
        if "device" in named:
            named["device"] = _here(named["device"])
        return make(*given, **named)

    return made


def _moved(move: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(move)
    def moved(tensor: Tensor, *given: Any, **named: Any) -> Tensor:
        if "device" in named:
            named["device"] = _here(named["device"])
        return move(tensor, *map(_here, given), **named)

    return moved


def _waiting(read: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(read)
    def waited(tensor: Tensor, *given: Any, **named: Any) -> Any:
        _synchronise()
        return read(tensor, *given, **named)

    return waited
