"""Kernels of our own beside the network's: what is launched, and what an engine launches it with.

A stage that has kernels says what they are to work on, and knows neither driver nor compiler.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Protocol, runtime_checkable

from torch import Tensor

from vsr.engine.base import Engine


class KernelsUnavailable(RuntimeError):
    """Kernels cannot be had on this machine: the driver or the compiler is missing, or refused."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One kernel over a whole batch."""

    kernel: str
    signature: str  # of each parameter: p a pointer, l a long long, i an int, f a float
    grid: int
    threads: int
    shared: int  # bytes of dynamic shared memory
    arguments: tuple[int | float, ...]


@dataclass(frozen=True, kw_only=True)
class KernelStep:
    """One launch of one kernel, what that is compiled with, and the tensors that it works on."""

    package: str  # in which its text is, in a file that is named after it
    options: tuple[str, ...]
    launch: Launch
    reads: tuple[Tensor, ...]
    writes: tuple[Tensor, ...]

    @property
    def text(self) -> str:
        """The kernel as it is compiled."""
        return kernel_text(self.package, f"{self.launch.kernel}.cu")


class KernelRunner(Protocol):
    """Runs steps on one device."""

    processors: int  # multiprocessors of the device

    def __call__(self, step: KernelStep) -> None:
        """Queue a step on PyTorch's current stream. Raises KernelsUnavailable."""

    def describe(self, text: str) -> str:
        """Return all that decides on what kernels of that text compute here."""


@runtime_checkable
class HasKernels(Engine, Protocol):
    """An engine that may have kernels of ours in it."""

    def refuse(self, reason: str) -> bool:
        """Remember that they have failed here, for later runs to do without; False: it has none."""


@runtime_checkable
class RunsKernels(HasKernels, Protocol):
    """An engine that can run other kernels on its device, too."""

    def kernel_runner(self) -> KernelRunner:
        """Return what runs them. Raises KernelsUnavailable."""


def kernel_text(package: str, *files: str) -> str:
    """Return the text of kernels, one file of a package after the other."""
    folder = resources.files(package)
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in files)


def addresses(*tensors: Tensor) -> Iterator[int]:
    """Return where they lie on their device."""
    return (tensor.data_ptr() for tensor in tensors)
