"""The actor that Ray places on a node. PyTorch is loaded there, not by the one who places it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class SegmentActor:
    """A `SegmentWorker` on another machine."""

    def __init__(self) -> None:
        from vsr.runners.ray.worker import SegmentWorker

        self._worker = SegmentWorker()

    def prepare(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """See `SegmentWorker`."""
        return self._worker.prepare(job)

    def work(self, share: Sequence[Mapping[str, Any]], every: float) -> Iterator[dict[str, Any]]:
        """See `SegmentWorker`."""
        yield from self._worker.work(share, every)

    def stop(self) -> None:
        """See `SegmentWorker`."""
        self._worker.stop()
