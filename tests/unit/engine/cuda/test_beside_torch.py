"""Promises of the engines `torch`, `auto` and `cuda` on one GPU: alike films, told apart by a job.

On the host of `tests/support/cuda/host`. Trials have tests of their own, and are passed here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import vsr
from tests.conftest import tiny_weights
from tests.support import judge
from tests.support.cuda.host import build
from tests.support.cuda.host.fixtures import gpu_of, install, needs_host
from tests.support.cuda.host.gpu import HostGpu
from tests.unit.jobs.run.test_fingerprint import of
from vsr.engine.cuda import joined_trial
from vsr.engine.cuda import trial as network_trial
from vsr.engine.cuda.driver import Kernels
from vsr.engine.kernel_launch import Launch
from vsr.errors import DeviceLost
from vsr.jobs.run.fingerprint import differences
from vsr.options import EngineName
from vsr.stages.colour import trial as colour_trial

__all__ = ["install"]
pytestmark = needs_host
Install = Callable[[HostGpu], None]
NETWORK, COLOUR = {"first", "middle", "last"}, {"to_rgb", "cells", "from_rgb"}
NAMES: tuple[EngineName, ...] = ("auto", "torch")
SIZE = (64, 48)  # of the result


@pytest.fixture
def gpu(install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> set[str]:
    """Give this process a GPU; return the kernels of ours that have run there."""
    ran: set[str] = set()
    allow = Kernels.allow

    def noted(kernels: Kernels, launch: Launch) -> Any:
        ran.add(launch.kernel)
        return allow(kernels, launch)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Kernels, "allow", noted)
    for trial in (network_trial, colour_trial, joined_trial):
        monkeypatch.setattr(trial, "ask_of_kernels", lambda *_: None)
    install(gpu_of(90, processors=1))
    return ran


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Two frames, not coded without loss: those are made consistent, and have no drift."""
    return judge.make(
        tmp_path / "s.mkv",
        "testsrc2=s=32x24:r=2:d=1", "-c:v", "libx264", "-pix_fmt", "yuv420p",
    )  # fmt: skip


def options(film: Path, engine: EngineName) -> vsr.UpscaleOptions:
    return vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=str(tiny_weights(film.parent, num_feat=64))),
        device=vsr.DeviceOptions(device="cuda", engine=engine, batch=1),
        encode=vsr.EncodeOptions(codec="ffv1"),
        jobs=vsr.JobOptions(segment=1.0),
    )


def upscaled(film: Path, engine: EngineName, name: str) -> NDArray[np.float64]:
    output = film.with_name(name)
    assert vsr.upscale(film, output, options(film, engine)).frames == 2
    return judge.rgb(output, size=SIZE)


def test_colours_are_ours_beside_our_network_alone_and_alike_by_either(
    gpu: set[str], film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--engine torch` nothing of ours runs: what fails there can be done without."""
    before = build.driver().host_count(0)  # launches, of graphs too
    plain = upscaled(film, "torch", "torch.mkv")
    assert build.driver().host_count(0) == before
    assert gpu == set()

    ours = upscaled(film, "cuda", "cuda.mkv")
    assert gpu == NETWORK | COLOUR
    assert np.abs(ours - plain).max() < 3  # of 255: both networks have fp16 inside

    gpu.clear()
    monkeypatch.setattr(colour_trial, "ask_of_kernels", lambda *_: "are refused here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(film.parent / "another"))
    half = upscaled(film, "cuda", "half.mkv")
    assert gpu == NETWORK
    # The same network: a code value may have been rounded to the other side.
    assert np.abs(ours - half).max() < 2.5
    assert np.abs(ours - half).mean() < 0.01


def test_auto_is_pytorch_with_a_kernel_of_ours_behind_its_convolutions(
    gpu: set[str], film: Path
) -> None:
    """A job does not tell them apart: on CUDA they make the same bits."""
    plain = upscaled(film, "torch", "torch.mkv")
    assert gpu == set()
    joined = upscaled(film, "auto", "auto.mkv")
    assert gpu == {"activate"}
    assert np.abs(joined - plain).max() < 3  # the host's PyTorch does not round behind convolutions
    ours, torch_alone = (of(film, options(film, one), options(film, one)) for one in NAMES)
    assert ours == torch_alone


def test_where_that_kernel_fails_at_work_the_same_command_goes_on_without_it(
    gpu: set[str], film: Path, install: Install
) -> None:
    plain = upscaled(film, "torch", "torch.mkv")
    trap = (r"if \(first >= units\)", r"__trap(); \g<0>")
    install(HostGpu(processors=1, plants=(trap,)))
    with pytest.raises(DeviceLost, match=r"failed in our kernels .* engine torch does without"):
        upscaled(film, "auto", "auto.mkv")
    gpu.clear()
    install(HostGpu(processors=1, plants=(trap,)))  # as another process has it
    assert np.array_equal(upscaled(film, "auto", "auto.mkv"), plain)
    assert gpu == set()


def test_a_job_tells_the_engines_apart_and_pytorch_goes_on_with_what_ours_began(
    gpu: set[str], film: Path
) -> None:
    """In the precision that ours has; ours do not go on with what PyTorch began."""
    plain, ours = (of(film, options(film, one), options(film, one)) for one in ("torch", "cuda"))
    assert plain["engine"] == ["torch", "fp16"]
    assert ours["engine"] == ["cuda", "fp16"]
    assert differences(ours, plain) == []
    assert differences(plain, ours) == ["engine: ['torch', 'fp16'] -> ['cuda', 'fp16']"]
