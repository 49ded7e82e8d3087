"""Promises of the CUDA engine that need no GPU: what it tells the driver, and when it is chosen.

The driver is a recorder that reads the arguments as the real one does, through their addresses.
"""

from __future__ import annotations

import ctypes
import time
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from vsr.engine import trial_cache
from vsr.engine.build import build_engine
from vsr.engine.cuda import engine, kernel_runner, nvrtc, select
from vsr.engine.cuda.driver import DriverError
from vsr.engine.cuda.engine import CUDA_NAMES, CudaEngine, pieces_of
from vsr.engine.cuda.launch import SIGNATURES, DeviceBatch
from vsr.engine.cuda.nvrtc import CompiledCode, CompileError
from vsr.engine.kernel_launch import KernelStep, Launch
from vsr.errors import UsageError
from vsr.events import Event, Note, silent
from vsr.nets.arithmetic import fold_area
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.nets.store import LoadedModel
from vsr.options import DeviceOptions
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


def test_another_kind_of_sums_is_another_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although all else is the same: the sums are chosen by an option, not in the kernels' text."""
    monkeypatch.setattr(select, "surroundings", lambda *_: "this machine")
    found = set()
    for short, timed in ((0, False), (1, False), (0, True)):
        monkeypatch.setattr(select, "architecture_of", lambda _: 86)
        monkeypatch.setattr(select, "short_sums", lambda _, short=short: short)
        found.add(select._description(network(), CUDA, timed=timed))
    assert len(found) == 3


# --- the choice ---


def test_a_network_that_is_not_for_16_bits_is_refused_where_the_kernels_were_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = network()
    given.precisions = frozenset({"fp32"})
    loaded = LoadedModel(name="n", network=given, scale=given.scale, kernel="bicubic")
    monkeypatch.setattr("vsr.engine.build.choose_device", lambda _: CUDA)
    with pytest.raises(UsageError, match="in fp16, not on cuda:0 in fp32"):
        build_engine(loaded, Fraction(given.scale), DeviceOptions(engine="cuda"))


def wanted(asked: str, given: Network, events: list[Event] | None = None) -> Any:
    sink = silent if events is None else events.append
    return select.cuda_engine_for(asked, given, CUDA, "fp16", sink)  # type: ignore[arg-type]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A proven machine as it looks to the choice; `trial`: what trials come to."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine: dict[str, Any] = {"capability": (8, 6), "trial": lambda *_: None, "trials": 0}

    def trial(*given: Any) -> Any:
        machine["trials"] += 1
        return machine["trial"](*given)

    monkeypatch.setattr(select, "PROVEN", {86})
    monkeypatch.setattr(select, "try_kernels", trial)
    monkeypatch.setattr(select, "_description", lambda *_, timed: f"this machine {timed}")
    monkeypatch.setattr(select, "CudaEngine", lambda given, **_: "ours")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: machine["capability"])
    return machine


def test_a_trial_is_made_once_and_decides(gpu: dict[str, Any]) -> None:
    assert [wanted("auto", network()) for _ in range(3)] == ["ours"] * 3
    assert gpu["trials"] == 1


def test_auto_is_pytorch_until_somebody_has_run_the_tests_there(gpu: dict[str, Any]) -> None:
    """Without a word, and without a trial."""
    gpu["capability"] = (9, 0)
    events: list[Event] = []
    assert wanted("auto", network(), events) is None
    assert (events, gpu["trials"]) == ([], 0)
    assert wanted("cuda", network(), events) == "ours"
    assert gpu["trials"] == 1


def test_no_architecture_is_proven_yet() -> None:
    """The first is named when `pytest -m gpu` has passed on it."""
    assert not select.PROVEN


def test_a_failed_trial_is_told_once_and_remembered(gpu: dict[str, Any]) -> None:
    gpu["trial"] = lambda *_: "computed something else in a trial"
    events: list[Event] = []
    assert [wanted("auto", network(), events) for _ in range(3)] == [None] * 3
    (note,) = events
    assert isinstance(note, Note)
    assert note.text == (
        "PyTorch runs the network: our CUDA kernels computed something else in a trial"
    )
    assert gpu["trials"] == 1


def test_who_asks_for_kernels_that_were_refused_is_told_each_time_and_gets_pytorch(
    gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a month; then the driver may be a better one."""
    gpu["trial"] = lambda *_: "hung in a trial of 120 seconds"
    events: list[Event] = []
    assert [wanted("cuda", network(), events) for _ in range(2)] == [None] * 2
    assert [note.text for note in events if isinstance(note, Note)] == [
        "PyTorch runs the network: our CUDA kernels hung in a trial of 120 seconds"
    ] * 2
    assert gpu["trials"] == 1
    later = time.time() + 31 * 86400
    monkeypatch.setattr(time, "time", lambda: later)
    gpu["trial"] = lambda *_: None
    assert wanted("cuda", network()) == "ours"


def test_kernels_that_were_slower_once_are_tried_again_after_a_month(
    gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been a noisy minute."""
    gpu["trial"] = lambda *_: "were slower in a trial"
    assert wanted("auto", network()) is None
    gpu["trial"] = lambda *_: None
    assert wanted("auto", network()) is None
    later = time.time() + 31 * 86400
    monkeypatch.setattr(time, "time", lambda: later)
    assert wanted("auto", network()) == "ours"


@pytest.mark.parametrize(
    "error",
    [CompileError("no NVRTC\nlong log"), DriverError("no driver"), torch.OutOfMemoryError("full")],
)
def test_what_cannot_be_had_is_one_line_and_tried_again(
    gpu: dict[str, Any], error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    gpu["trial"] = fail
    events: list[Event] = []
    assert wanted("auto", network(), events) is None
    assert isinstance(events[0], Note)
    assert "\n" not in events[0].text
    gpu["trial"] = lambda *_: None
    assert wanted("auto", network()) == "ours"


def test_who_asks_for_it_is_told_why_not(
    gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = fold_area(RRDBNet(num_block=1), 2)
    for given in (folded, RRDBNet(num_block=1, scale=2), network(num_feat=32)):
        assert wanted("auto", given) is None
        with pytest.raises(UsageError, match="64 features"):
            wanted("cuda", given)
    gpu["capability"] = (7, 5)
    assert wanted("auto", network()) is None
    with pytest.raises(UsageError, match=r"need compute capability 8\.0, and cuda:0 has 7\.5"):
        wanted("cuda", network())
    assert gpu["trials"] == 0
    model = LoadedModel(name="tiny", network=network(), scale=4, kernel="bicubic")
    with pytest.raises(UsageError, match="works on CUDA in fp16"):
        build_engine(model, Fraction(4), DeviceOptions(device="cpu", engine="cuda"))


def test_a_gpu_of_amd_s_is_left_to_pytorch_in_silence(
    gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch calls it cuda, too."""
    monkeypatch.setattr(torch.version, "hip", "7.1")
    events: list[Event] = []
    assert wanted("auto", network(), events) is None
    assert events == []
    with pytest.raises(UsageError, match="NVIDIA"):
        wanted("cuda", network())


def test_other_precisions_and_engines_stay_with_pytorch(gpu: dict[str, Any]) -> None:
    assert select.cuda_engine_for("auto", network(), CUDA, "fp32", silent) is None
    assert select.cuda_engine_for("torch", network(), CUDA, "fp16", silent) is None


def test_what_fails_at_work_is_refused_from_then_on(driver: Recorder) -> None:
    CudaEngine(network(), device=CPU, trial="this one").refuse("have failed at work (a trap)")
    assert trial_cache.recalled("this one") == trial_cache.Trial(
        passed=False, reason="have failed at work (a trap)"
    )


# --- what was compiled is kept ---


class Compiler:
    version = "13.5"

    def __init__(self) -> None:
        self.compiled = 0

    def compile(
        self, text: str, *, architecture: int, options: tuple[str, ...] = ()
    ) -> CompiledCode:
        self.compiled += 1
        return CompiledCode(image=b"code of " + text.encode(), log="")


def test_the_same_is_compiled_once_and_a_torn_file_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiler: Any = Compiler()

    def once(text: str = "a", arch: int = 90, options: tuple[str, ...] = ()) -> bytes:
        return nvrtc.compile_once(compiler, text, architecture=arch, options=options).image

    assert once() == once() == b"code of a"
    assert compiler.compiled == 1
    (file,) = (tmp_path / "vsr" / "kernels").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert once() == b"code of a"
    assert compiler.compiled == 2
    once("b")
    once(arch=80)
    once(options=("-DX",))
    compiler.version = "13.6"
    once()
    assert compiler.compiled == 6


def test_without_a_place_to_keep_it_it_is_compiled_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vsr").write_bytes(b"a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiler: Any = Compiler()
    for _ in range(2):
        assert nvrtc.compile_once(compiler, "a", architecture=90).image == b"code of a"
    assert compiler.compiled == 2


def test_a_library_that_is_not_there_is_a_compile_error(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=r"libnvrtc\.so"):
        nvrtc.Nvrtc(tmp_path / "libnvrtc.so")
