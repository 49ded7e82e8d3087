"""Promise: libvmaf is fed whatever the size and depth; where it cannot be, one error says why."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from vsr.errors import FfmpegError
from vsr.media.vmaf import Vmaf


def test_an_ffmpeg_that_dies_is_one_error() -> None:
    """It may refuse its graph while it is being written to; nothing hangs, nothing stays."""
    before = set(Path(tempfile.gettempdir()).glob("vsr-vmaf-*"))
    with (
        pytest.raises(FfmpegError, match="ffmpeg failed"),
        Vmaf(width=640, height=360, bits=8, model="no_such_model") as vmaf,
    ):
        plane = torch.zeros(360, 640, dtype=torch.uint8)
        for _ in range(200):
            vmaf.add(plane, plane)
        vmaf.finish()
    assert set(Path(tempfile.gettempdir()).glob("vsr-vmaf-*")) == before


@pytest.mark.parametrize("size", [(33, 35), (64, 48)])
@pytest.mark.parametrize("bits", [8, 9, 12])
def test_vmaf_takes_odd_sizes_and_depths(size: tuple[int, int], bits: int) -> None:
    torch.manual_seed(0)
    kind: Any = torch.uint8 if bits == 8 else torch.uint16
    plane = (torch.rand(size[1], size[0]) * ((1 << bits) - 1)).to(kind)
    flat = torch.full_like(plane.int(), 1 << (bits - 1)).to(kind)
    with Vmaf(width=size[0], height=size[1], bits=bits, model="vmaf_v0.6.1neg") as vmaf:
        vmaf.add(plane, plane)
        vmaf.add(plane, flat)
        equal, gone = vmaf.finish()
    assert equal > 90
    assert gone < 20
