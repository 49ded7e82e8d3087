"""Upload, computation and download on CUDA streams of their own, so that they overlap.

On a CPU everything happens at once, and there are none.

Host memory is pinned through torch's caching host allocator: it hands a block out
again only after the copies that were recorded on it are over, so a buffer may be
dropped right after the copy is queued. Device tensors that cross streams are
declared with `record_stream` for the same reason.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import torch
from torch import Tensor


@functools.cache
def streams_of(device: torch.device) -> DeviceStreams:
    """Return the streams of a device, the same for every film and picture of this process.

    PyTorch keeps memory that was freed for the stream that it was freed on.
    """
    return DeviceStreams(device)


class DeviceStreams:
    """The three streams of one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._cuda = device.type == "cuda"
        if self._cuda:
            self._upload = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._compute = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._download = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @property
    def depth(self) -> int:
        """Batches to keep in flight: on CUDA one is copied while one is computed."""
        return 2 if self._cuda else 0

    def upload(self, planes: list[Tensor]) -> Tensor:
        """Map host planes, equal in shape -> (N, ...) on the device, for the compute stream."""
        if not self._cuda:
            return torch.stack(planes) if len(planes) > 1 else planes[0].unsqueeze(0)
        staged = torch.empty(
            (len(planes), *planes[0].shape), dtype=planes[0].dtype, pin_memory=True
        )
        for row, plane in zip(staged, planes, strict=True):
            row.copy_(plane)
        with torch.cuda.stream(self._upload):
            uploaded = staged.to(self.device, non_blocking=True)
        self._compute.wait_stream(self._upload)
        uploaded.record_stream(self._compute)
        return uploaded

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Queue the kernels of a `with` block on the compute stream."""
        if not self._cuda:
            yield
            return
        with torch.cuda.device(self.device), torch.cuda.stream(self._compute):
            yield

    def download(
        self, tensors: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, ...], torch.cuda.Event | None]:
        """Copy results of the compute stream to host tensors, valid once the event has happened."""
        if not self._cuda:
            return tensors, None
        self._download.wait_stream(self._compute)
        with torch.cuda.stream(self._download):
            on_host = []
            for tensor in tensors:
                host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                host.copy_(tensor, non_blocking=True)
                tensor.record_stream(self._download)
                on_host.append(host)
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record(self._download)
        return tuple(on_host), done
