"""Promises of the CUDA engine that need no GPU: what it tells the driver.

The driver is a recorder that reads the arguments as the real one does, through their addresses.
"""

from __future__ import annotations

import ctypes
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from vsr.engine import trial_cache
from vsr.engine.cuda import engine, kernel_runner
from vsr.engine.cuda.engine import CUDA_NAMES, CudaEngine, pieces_of
from vsr.engine.cuda.launch import SIGNATURES, DeviceBatch
from vsr.engine.cuda.nvrtc import CompiledCode
from vsr.engine.kernel_launch import KernelStep, Launch
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.stages.colour import colour_kernels

PROCESSORS = 3
_SIGNATURES = {**SIGNATURES, **colour_kernels.SIGNATURES}
CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")


class Recorder:
    """Stands in for `Driver`: what is launched, in order, graphs included."""

    def __init__(self) -> None:
        self.launched: list[Launch] = []
        self.graphs = 0
        self.bound = False
        self._names: dict[int, str] = {}
        self._nodes: dict[int, Launch] = {}
        self._before: dict[int, int | None] = {}
        self._order: list[int] = []

    def call(self, name: str, *given: Any) -> None:
        getattr(self, name, lambda *_: None)(*given)

    def shared_memory(self, device: int) -> int:
        return 99 * 1024

    def context(self, device: int) -> ctypes.c_void_p:
        return ctypes.c_void_p(77)

    def cuCtxSetCurrent(self, context: Any) -> None:  # noqa: N802
        assert context.value == 77
        self.bound = True

    def cuModuleGetFunction(self, function: Any, module: Any, name: bytes) -> None:  # noqa: N802
        function._obj.value = len(self._names) + 1
        self._names[function._obj.value] = name.decode()

    def cuLaunchKernel(self, function: Any, *given: Any) -> None:  # noqa: N802
        grid, _, _, threads, _, _, shared, _, parameters, _ = given
        kernel = self._names[function.value]
        self.launched.append(
            Launch(
                kernel=kernel, signature=_SIGNATURES[kernel],
                grid=grid.value, threads=threads.value, shared=shared.value,
                arguments=_arguments(kernel, parameters),
            )
        )  # fmt: skip

    def cuGraphAddKernelNode(  # noqa: N802
        self, node: Any, graph: Any, before: Any, count: Any, parameters: Any
    ) -> None:
        node._obj.value = 100 * (self.graphs + 1) + len(self._order) + 1
        assert [before[n] for n in range(count.value)] == self._order[-1:]
        self._order.append(node._obj.value)
        self._nodes[node._obj.value] = self._read(parameters)

    def cuGraphInstantiateWithFlags(self, made: Any, graph: Any, flags: Any) -> None:  # noqa: N802
        self.graphs += 1
        made._obj.value = self.graphs

    def cuGraphExecKernelNodeSetParams(self, made: Any, node: Any, parameters: Any) -> None:  # noqa: N802
        self._nodes[node.value] = self._read(parameters)

    def cuGraphLaunch(self, made: Any, stream: Any) -> None:  # noqa: N802
        self.launched += [self._nodes[node] for node in self._order]

    def _read(self, parameters: Any) -> Launch:
        of = parameters._obj
        kernel = self._names[of.function]
        return Launch(
            kernel=kernel, signature=_SIGNATURES[kernel],
            grid=of.grid[0], threads=of.block[0], shared=of.shared,
            arguments=_arguments(kernel, of.parameters),
        )  # fmt: skip


def _arguments(kernel: str, parameters: Any) -> tuple[int | float, ...]:
    kinds: dict[str, Any] = {
        "p": ctypes.c_uint64, "l": ctypes.c_int64, "i": ctypes.c_int, "f": ctypes.c_float,
    }  # fmt: skip
    return tuple(
        kinds[kind].from_address(parameters[n]).value for n, kind in enumerate(_SIGNATURES[kernel])
    )


def network(**settings: Any) -> SRVGGNetCompact:
    return SRVGGNetCompact(num_conv=2, **settings).requires_grad_(False)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(engine, "Driver", lambda: recorder)
    monkeypatch.setattr(engine, "compiled", lambda *_: b"code")
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: SimpleNamespace(cuda_stream=7))
    properties = SimpleNamespace(multi_processor_count=PROCESSORS)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    return recorder


def expected(given: CudaEngine, x: Tensor, scratch: Tensor, planes: Tensor) -> list[Launch]:
    count, _, height, width = x.shape
    (kept,) = given._shapes.values()
    batch = DeviceBatch(
        pixels=count * height * width, tables=kept.tables, picture=x.data_ptr(),
        planes=planes.data_ptr(), scratch=scratch.data_ptr(),
    )  # fmt: skip
    return list(given.plan.launches(batch, PROCESSORS))


@pytest.mark.parametrize(
    ("given", "kernels"),
    [
        (network(), ["first", "middle", "middle", "last"]),
        (
            RRDBNet(num_block=1).requires_grad_(False),
            ["first", "first", *3 * [*4 * ["grow"], "mix"], "mix", *3 * ["wide"], "last"],
        ),
    ],
    ids=["compact", "rrdb"],
)
def test_launches_arrive_as_they_are_meant_alone_and_as_a_graph(
    driver: Recorder, given: Network, kernels: list[str]
) -> None:
    """Also where a later batch lies elsewhere than the one that the graph was made of."""
    ours = CudaEngine(given, device=CPU)
    for _ in range(4):
        x, scratch = torch.rand(2, 3, 9, 40), torch.empty(ours.plan.scratch * 720).half()
        planes = torch.empty(2, 3, 36, 160)
        driver.launched.clear()
        driver.bound = False
        ours.upscale_into(x, scratch, planes)
        assert driver.bound  # to the thread that calls
        assert driver.launched == expected(ours, x, scratch, planes)
        assert [one.kernel for one in driver.launched] == kernels
    assert driver.graphs == 1


def test_ends_arrive_with_all_their_numbers(
    driver: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fractions as fp32, strides of pictures beyond 2^31 numbers whole; a kernel is loaded once."""
    monkeypatch.setattr(kernel_runner, "Driver", lambda: driver)
    monkeypatch.setattr(kernel_runner, "Nvrtc", lambda: None)
    code = CompiledCode(image=b"code", log="")
    monkeypatch.setattr(kernel_runner, "compile_once", lambda *_, **__: code)
    properties = SimpleNamespace(multi_processor_count=PROCESSORS, major=8, minor=6)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    runner = kernel_runner.CudaKernelRunner(CPU)
    arguments = {
        "to_rgb": (*range(8), *(n / 3 for n in range(8)), *range(4)),
        "cells": (1, 2**40, -(2**33), 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14),
        "from_rgb": (1, 2**40, 3, 4, 5, 6, 7, 8, 9, 10, 11, *(n / 7 for n in range(9)), *range(5)),
    }
    for kernel, given in (*arguments.items(), *arguments.items()):
        launch = Launch(
            kernel=kernel,
            signature=_SIGNATURES[kernel],
            grid=5,
            threads=128,
            shared=0,
            arguments=given,
        )
        package = "vsr.stages.colour.kernels"
        step = KernelStep(package=package, options=("-DX",), launch=launch, reads=(), writes=())
        runner(step)
        (arrived,) = driver.launched
        driver.launched.clear()
        assert (arrived.kernel, arrived.grid, arrived.threads) == (kernel, 5, 128)
        for one, other in zip(arrived.arguments, given, strict=True):
            assert type(one) is type(other)
            assert one == (torch.tensor(other).item() if isinstance(other, float) else other)
    assert len(runner._loaded) == 3


def test_a_shape_that_comes_once_makes_no_graph(driver: Recorder) -> None:
    ours = CudaEngine(network(), device=CPU)
    for width in range(8, 40):
        ours(torch.rand(1, 3, 8, width))
    assert driver.graphs == 0
    assert len(driver.launched) == 4 * 32
    assert len(ours._shapes) <= 8


@pytest.mark.parametrize(
    "given", [network(), RRDBNet(num_block=1).requires_grad_(False)], ids=["compact", "rrdb"]
)
def test_lists_share_one_graph_in_which_little_changes(driver: Recorder, given: Network) -> None:
    """Only the layers that know of the pictures' places and number get other arguments."""
    ours = CudaEngine(given, device=CPU)
    whole, room = torch.rand(1, 3, 40, 60), 2400
    lists = [
        [whole[:, :, :5, :7], whole[:, :, 9:30, 5:50]],
        [whole[:, :, n:, n:] for n in range(20, 40)],
        [whole[:, :, 1:, :]],
    ]
    before: list[Launch] = []
    scratch = torch.empty(ours.plan.scratch * room).half()
    ours.upscale_pieces_into(
        whole, pieces_of([whole] * 60), scratch, torch.empty(60 * 3 * 16 * 2400)
    )
    for n, pictures in enumerate(lists):
        planes = torch.empty(3 * 16 * sum(one[0, 0].numel() for one in pictures))
        driver.launched.clear()
        ours.upscale_pieces_into(pictures[0], pieces_of(pictures), scratch, planes)
        (kept,) = ours._lists.values()
        batch = DeviceBatch(
            pixels=room, tables=kept.tables, picture=pictures[0].data_ptr(),
            planes=planes.data_ptr(), scratch=scratch.data_ptr(),
        )  # fmt: skip
        assert driver.launched == list(ours.plan.launches(batch, PROCESSORS))
        if n:
            changed = {a.kernel for a, b in zip(driver.launched, before, strict=True) if a != b}
            assert changed == {"first", "last"} | ({"wide"} if ours.plan.scratch > 128 else set())
        before = list(driver.launched)
    assert driver.graphs == 1


def test_a_list_comes_back_in_its_shapes_within_the_room(
    driver: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = CudaEngine(network(upscale=2), device=CPU)
    asked: list[int] = []
    empty = torch.empty

    def noted(size: int, **how: Any) -> Tensor:
        asked.append(size)
        return empty(size, **how)

    monkeypatch.setattr(torch, "empty", noted)
    made = ours.infer_many([torch.rand(1, 3, 4, 5), torch.rand(1, 3, 1, 9)], 50)
    assert [one.shape for one in made] == [(1, 3, 8, 10), (1, 3, 2, 18)]
    assert asked[:2] == [12 * 29, 128 * 50]
    monkeypatch.undo()
    ours.fall_back_to_fp32()
    one, other = torch.rand(1, 3, 4, 5), torch.rand(1, 3, 1, 9)
    made = ours.infer_many([one, other], 50)
    assert all(torch.equal(a, ours(b)) for a, b in zip(made, (one, other), strict=True))


def test_memory_is_what_is_allocated(driver: Recorder) -> None:
    ours = CudaEngine(network(upscale=2), device=CPU)
    pixels = 30 * 20
    made = ours(torch.rand(1, 3, 30, 20))
    assert made.shape == (1, 3, 60, 40)
    assert ours.bytes_for(pixels) == made.nbytes + 2 * pixels * 64 * 2
    assert ours.max_pixels * 64 < 2**31


def test_overflow_goes_over_to_fp32_with_the_weights_as_they_were(driver: Recorder) -> None:
    given = network()
    x = torch.rand(1, 3, 8, 8)
    right = given(x)
    ours = CudaEngine(given, device=CPU)
    assert ours.fall_back_to_fp32()
    assert not ours.fall_back_to_fp32()
    assert ours.precision == "fp32"
    assert torch.allclose(ours(x), right, atol=1e-6)
    assert driver.launched == []


@pytest.mark.parametrize(
    ("capability", "compact"),
    [((8, 0), "cuda"), ((8, 6), "cuda-fp16-sums"), ((9, 0), "cuda"), ((12, 0), "cuda-fp16-sums")],
)
def test_the_name_tells_what_rounds_differently(
    driver: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    compact: str,
) -> None:
    """It is what a job's fingerprint holds; precision and file names of code do not suffice."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    ours, deep = (
        CudaEngine(given, device=CPU)
        for given in (network(), RRDBNet(num_block=1).requires_grad_(False))
    )
    assert (ours.name, ours.precision) == (compact, "fp16")
    assert deep.name == "cuda"
    assert {compact, "cuda"} <= set(CUDA_NAMES)


def test_what_fails_at_work_is_refused_from_then_on(driver: Recorder) -> None:
    CudaEngine(network(), device=CPU, trial="this one").refuse("have failed at work (a trap)")
    assert trial_cache.recalled("this one") == trial_cache.Trial(
        passed=False, reason="have failed at work (a trap)"
    )
