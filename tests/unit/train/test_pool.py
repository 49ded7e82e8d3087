"""Promise: a pool out of a checkpoint gives the same batches, to the last bit of their sums."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import Tensor

from vsr.train.data import TrainingBatch
from vsr.train.pool import Pool


def _batch(number: int) -> TrainingBatch:
    """Crops of larger pictures, all but the first laid out as oneDNN likes it, as they come."""
    whole = torch.rand(4, 2, 3, 20, 20, generator=torch.Generator().manual_seed(number))
    if number:
        whole = whole.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    crop = whole[..., 3:15, 3:15]
    return TrainingBatch(high=crop, real=crop, low=crop)


def _tensors(batch: TrainingBatch) -> list[Tensor]:
    assert batch.low is not None
    return [batch.high, batch.real, batch.low]


@pytest.mark.parametrize("stop", range(1, 7))
def test_what_comes_out_is_the_same_in_the_same_layout(stop: int) -> None:
    straight, again = Pool(8, 4), Pool(8, 4)
    for number in range(8):
        if number == stop:
            file = io.BytesIO()
            torch.save(again.state(), file)
            file.seek(0)
            again = Pool(8, 4)
            again.load(torch.load(file), torch.device("cpu"))
        one, other = (
            _tensors(pool.exchange(_batch(number), np.random.default_rng(number)))
            for pool in (straight, again)
        )
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a, b)
            assert a.stride() == b.stride()
