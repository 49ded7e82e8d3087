"""The reference's pool of pairs: what is damaged alike, batch by batch, is mixed with older pairs.

A batch has one kind of resize and of noise, so that training on it as it is would swing from kind
to kind. Once the pool is full, each new batch takes the place of one that leaves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsr.train.data import TrainingBatch


class Pool:
    """Of `size` pairs, or some more, so that they are whole batches."""

    def __init__(self, size: int, batch: int) -> None:
        self._size = -(-size // batch) * batch
        self._kept: list[tuple[Tensor, Tensor, Tensor]] = []

    def exchange(self, batch: TrainingBatch, chance: np.random.Generator) -> TrainingBatch:
        """Put a batch in; returns another, or the same while the pool is not full."""
        assert batch.low is not None
        # In one layout, whatever the batch's: sums in another differ in the last bit, and what
        # comes out of a checkpoint has lost it.
        together = zip(batch.high, batch.real, batch.low, strict=True)
        new = [
            (high.contiguous(), real.contiguous(), low.contiguous()) for high, real, low in together
        ]
        if len(self._kept) < self._size:
            self._kept += new
            return batch
        order = chance.permutation(self._size)
        self._kept = [self._kept[n] for n in order]
        out, self._kept[: len(new)] = self._kept[: len(new)], new
        high, real, low = (torch.stack(tensors) for tensors in zip(*out, strict=True))
        return TrainingBatch(high=high, real=real, low=low)

    def state(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint."""
        if not self._kept:
            return {}
        high, real, low = (torch.stack(tensors).cpu() for tensors in zip(*self._kept, strict=True))
        return {"high": high, "real": real, "low": low}

    def load(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Restore a `state`, where the batches will be."""
        parts = [state[name].to(device) for name in ("high", "real", "low")] if state else []
        self._kept = list(zip(*parts, strict=True)) if parts else []
