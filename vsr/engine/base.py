"""What the stages need of an engine: one network, on one device, at one precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from vsr.options import EngineName


class Engine(Protocol):
    """Call it with (N, 3, H, W) RGB in `dtype` on `device`; H and W multiples of `multiple`.

    Returns (N, 3, scale * H, scale * W), the same device, float. Raises whatever
    `is_out_of_memory` knows when the device's memory does not suffice.
    """

    name: str  # for a job's fingerprint: "torch"; engines that round differently have two
    label: str  # for people; empty for PyTorch, which goes without saying
    pinned_name: EngineName  # what makes another process on this machine choose the same
    scale: int
    multiple: int
    receptive_radius: (
        int  # receptive radius in source pixels; 0: the engine only passes pixels through
    )
    sees_whole: bool  # beyond that, too, if faintly: tiles are blended, and nothing is reused
    device: torch.device
    dtype: torch.dtype  # of its input
    precision: str  # for people: "fp16"

    def __call__(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) -> (N, 3, scale * H, scale * W)."""

    @property
    def max_pixels(self) -> int:
        """Source pixels, over the whole batch, that may be handed in at once."""

    def bytes_for(self, pixels: int) -> int:
        """Estimate the working memory, in bytes, for that many source pixels at once."""

    def fall_back_to_fp32(self) -> bool:
        """Go over to fp32, because 16 bits overflowed; False if that is where it is."""


@runtime_checkable
class BatchesMixedSizes(Engine, Protocol):
    """An engine that upscales many small pictures together quicker than one after the other."""

    def infer_many(self, pictures: Sequence[Tensor], memory_pixels: int) -> list[Tensor]:
        """Map (1, 3, h, w) each, of any sizes -> each as a call by itself makes it, bit for bit.

        `memory_pixels`: memory may be taken for so many, `bytes_for(memory_pixels)`; all pictures
        together have no more, nor more than `most_pixels`.
        """


class DeviceFault(RuntimeError):
    """A kernel has failed on a GPU: until this process ends, nothing more can be done on it."""


def fault_of(error: BaseException) -> str | None:
    """Return in words how a GPU has failed for this whole process; None: that is not it.

    PyTorch tells of it wherever it next waits for the GPU, whoever's kernel it was.
    """
    if is_out_of_memory(error):
        return None
    text = str(error).split("\n")[0]
    if isinstance(error, DeviceFault):
        return text
    ours = isinstance(error, RuntimeError) and text.startswith("CUDA error: ")
    return text.removeprefix("CUDA error: ") if ours else None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that memory ran out, on whichever device and in whichever
    words.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU allocator and cuDNN raise a plain RuntimeError.
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "STATUS_ALLOC_FAILED",  # cuDNN and cuBLAS
    "nable to find an engine to execute",  # cuDNN, when no workspace fits
    "nable to find a valid cuDNN algorithm",
)
