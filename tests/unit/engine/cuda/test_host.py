"""The CUDA engine and its driver calls on a machine without a GPU, as strict as NVIDIA's driver.

`tests/support/cuda/host` has the driver as cuda.h declares it; its launches run the same `.cu`,
compiled by g++.
"""

from __future__ import annotations

import copy
import ctypes
import gc
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.cuda.host import build
from tests.support.cuda.host.fixtures import gpu_of, install, needs_host
from tests.support.cuda.host.gpu import HostGpu
from vsr.engine.base import DeviceFault
from vsr.engine.cuda.driver import Driver, DriverError, Kernels
from vsr.engine.cuda.engine import CudaEngine
from vsr.engine.cuda.nvrtc import CompileError, Nvrtc
from vsr.engine.kernel_launch import Launch
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network

__all__ = ["install"]
pytestmark = needs_host
DEVICE = torch.device("cuda", 0)
Install = Callable[[HostGpu], None]


def compact(upscale: int = 4) -> SRVGGNetCompact:
    torch.manual_seed(0)
    made = SRVGGNetCompact(num_conv=1, upscale=upscale)
    for layer in made.modules():
        if isinstance(layer, nn.PReLU):
            nn.init.uniform_(layer.weight, -1.4, 1.7)
    return made.requires_grad_(False)


def dense() -> RRDBNet:
    torch.manual_seed(0)
    return RRDBNet(num_block=1).requires_grad_(False)


def check(given: Network, shape: tuple[int, ...], runs: int) -> None:
    """Against fp32: one launch after the other, then as a graph whose buffers move each time."""
    with torch.inference_mode():
        engine = CudaEngine(copy.deepcopy(given), device=DEVICE)
        kept = []  # so that nothing lies where it lay before
        for _ in range(runs):
            x = torch.rand(shape)
            made, want = engine(x), given(x)
            kept += [x, made]
            assert (made - want).norm() < 8e-4 * want.norm()


@pytest.mark.parametrize(
    ("architecture", "given"),
    [
        (80, compact(1)),
        (80, compact(2)),
        (86, compact(3)),
        (86, compact(4)),
        (90, compact(2)),
        (90, compact(4)),
        *((architecture, dense()) for architecture in (80, 86, 90)),
    ],
    ids=lambda one: f"{type(one).__name__}-x{one.scale}" if isinstance(one, nn.Module) else None,
)
def test_every_network_and_tiling_agrees_with_fp32_wherever_its_buffers_lie(
    architecture: int, given: Network, install: Install
) -> None:
    deep = isinstance(given, RRDBNet)
    install(gpu_of(architecture, processors=1 if deep else 2))
    check(given, (1, 3, 5, 37) if deep else (2, 3, 21, 37), runs=1 if architecture == 80 else 3)


@pytest.mark.slow
@pytest.mark.skipif("VSR_CUDA" not in os.environ, reason="VSR_CUDA is not set")
def test_a_large_frame_on_as_many_multiprocessors_as_a_large_gpu_has(install: Install) -> None:
    install(gpu_of(90, processors=132))
    check(compact(), (1, 3, 361, 643), runs=1)


def test_a_plan_is_made_without_work_on_another_stream(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would wait for that: its numbers are copied from the host, which does."""
    install(gpu_of(90))

    def host_only(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def made(*given: Any, device: object = None, **named: Any) -> torch.Tensor:
            assert device is None
            return make(*given, **named)

        return made

    for name in ("zeros", "ones", "full"):
        monkeypatch.setattr(torch, name, host_only(getattr(torch, name)))
    CudaEngine(dense(), device=DEVICE)


def test_nvidias_compiler_works_in_a_process_that_has_the_host() -> None:
    """It asks the driver for more than vsr does, and would end the process on a null."""
    build.driver()
    try:
        compiler = Nvrtc()
    except CompileError as error:
        pytest.skip(f"needs NVRTC: {error}")
    code = compiler.ptx('extern "C" __global__ void put() {}', architecture=90)
    assert ".visible .entry put()" in code


KERNEL = 'extern "C" __global__ void __launch_bounds__(64) put(float* to, int at, float value)'


def loaded(text: str) -> Kernels:
    code = Nvrtc().compile(text, architecture=90)
    return Kernels(Driver(), 0, code.image, ("put",))


def launch(
    to: torch.Tensor, at: int, *, threads: int = 32, shared: int = 0, grid: int = 1
) -> Launch:
    return Launch(
        kernel="put", signature="pif", grid=grid, threads=threads, shared=shared,
        arguments=(to.data_ptr(), at, 0.5),
    )  # fmt: skip


def test_a_kernel_reaches_its_tensor_and_nothing_beside_it(install: Install) -> None:
    """What it does beyond is told by the next call, and by every call after that."""
    install(gpu_of(90))
    kernels = loaded(KERNEL + " { if (threadIdx.x == 0) to[at] = value; }")
    to = torch.zeros(4)
    kernels.run(launch(to, 3), 0)
    assert to.tolist() == [0, 0, 0, 0.5]
    kernels.run(launch(to, 4), 0)
    assert "illegal memory access" in build.words()
    for _ in range(2):
        with pytest.raises(DeviceFault, match=r"illegal memory access was encountered \(700\)"):
            kernels.run(launch(to, 0), 0)
    with pytest.raises(torch.AcceleratorError, match="illegal memory access"):
        to.tolist()


def test_freed_memory_is_nobodys(install: Install) -> None:
    install(gpu_of(90))
    kernels = loaded(KERNEL + " { if (threadIdx.x == 0) to[at] = value; }")
    step = launch(torch.zeros(4), 3)
    gc.collect()
    kernels.run(step, 0)
    with pytest.raises(DeviceFault, match="illegal memory access"):
        kernels.bind()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"threads": 96}, "too many resources"),
        ({"shared": 100 << 10}, None),  # which is asked for first
        ({"shared": 300 << 10}, "invalid argument"),
        ({"grid": 0}, "invalid argument"),
    ],
)
def test_what_a_gpu_cannot_launch_is_refused(
    how: dict[str, int], words: str | None, install: Install
) -> None:
    install(gpu_of(90))
    kernels, to = loaded(KERNEL + " { if (threadIdx.x == 0) to[at] = value; }"), torch.zeros(4)
    if words is None:
        kernels.run(launch(to, 0, **how), 0)
        return
    with pytest.raises(DriverError, match=words):
        kernels.run(launch(to, 0, **how), 0)


def test_a_thread_without_a_context_cannot_launch(install: Install) -> None:
    install(gpu_of(90))
    kernels, to = loaded(KERNEL + " { if (threadIdx.x == 0) to[at] = value; }"), torch.zeros(4)
    failed: list[Exception] = []

    def run() -> None:
        function = kernels.allow(launch(to, 0))
        one = ctypes.c_uint(1)
        try:
            kernels.driver.call("cuLaunchKernel", function, one, one, one, one, one, one,
                                ctypes.c_uint(0), None, None, None)  # fmt: skip
        except DriverError as error:
            failed.append(error)

    other = threading.Thread(target=run)
    other.start()
    other.join()
    assert "invalid device context" in str(failed[0])


def test_an_engine_that_is_gone_leaves_no_graph(install: Install) -> None:
    install(gpu_of(90))
    lib = build.driver()
    gc.collect()
    before = lib.host_graphs_alive()
    with torch.inference_mode():
        engine = CudaEngine(compact(1), device=DEVICE)
        for _ in range(3):
            engine(torch.rand(1, 3, 4, 5))
        assert lib.host_graphs_alive() == before + 2  # the graph, and what can be launched of it
        del engine
    gc.collect()
    assert lib.host_graphs_alive() == before


FAULTS = {
    "no barrier": (
        "table[threadIdx.x] = value; to[at] = table[max((int)threadIdx.x - 1, 0)];",
        "before a barrier",
    ),
    "nothing there": ("to[at] = table[threadIdx.x];", "uninitialised"),
    "beyond its memory": ("table[threadIdx.x + 1] = value;", "illegal memory access"),
    "a trap": ("__trap();", "a trap"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_gpu_would_pass_over_is_a_fault_here(fault: str, install: Install) -> None:
    install(gpu_of(90))
    body, words = FAULTS[fault]
    kernels = loaded(f"{KERNEL} {{ __shared__ float table[64]; {body} }}")
    to = torch.zeros(4)
    kernels.run(launch(to, 0, threads=64), 0)
    assert words in build.words()
    with pytest.raises(DeviceFault):
        kernels.bind()
