"""Promises of the kernel behind PyTorch's convolutions: right, tried first, and done without.

On the host of `tests/support/cuda/host`, which runs the same `.cu`.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.support.cuda.colours import HostRunner
from tests.support.cuda.host import build
from tests.support.cuda.host.fixtures import gpu_of, install, needs_host, needs_nvrtc
from tests.support.cuda.host.gpu import HostGpu
from vsr.engine.build import build_engine
from vsr.engine.cuda import joined_trial
from vsr.engine.cuda.driver import DriverError, Kernels
from vsr.engine.cuda.joined_activation import (
    AHEAD,
    BLOCKS,
    THREADS,
    JoinedActivation,
    activating,
    apart,
    blocks,
    fits,
    lies_well,
    text,
)
from vsr.engine.cuda.joined_engine import JoinedTorchEngine
from vsr.engine.cuda.joined_trial import JoinedTrial, tried
from vsr.engine.cuda.nvrtc import Nvrtc
from vsr.engine.kernel_launch import HasKernels, KernelsUnavailable, RunsKernels
from vsr.engine.torch_engine import TorchEngine
from vsr.events import Event, Note
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.nets.store import LoadedModel
from vsr.options import DeviceOptions, EngineName

__all__ = ["install"]
pytestmark = needs_host
DEVICE = torch.device("cuda", 0)
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
Install = Callable[[HostGpu], None]


# --- the kernel ---


def maps(dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor, Tensor | float]]:
    """Features, bias and slopes: channels of networks, and others; one pixel, and odd sizes."""
    torch.manual_seed(0)
    channels, shapes = (8, 24, 32, 40, 64), itertools.cycle(((1, 1, 1), (3, 37, 23), (2, 7, 5)))
    for count in channels:
        for slope in ((torch.rand(count) * 3 - 1.4).to(dtype), 0.2):
            pictures, height, width = next(shapes)
            drawn = torch.randn(pictures, height, width, count) * 8
            drawn.flatten()[:4] = torch.tensor([torch.inf, -torch.inf, -0.0, 6e-8])
            features = drawn.to(dtype).permute(0, 3, 1, 2)
            yield features, (torch.rand(count) * 3 - 1.4).to(dtype), slope


def by_kernel(features: Tensor, bias: Tensor, slope: Tensor | float, **more: Any) -> Tensor:
    """Raise HostFault for races, and for what is written twice, not at all, or elsewhere."""
    made = features.clone(memory_format=torch.preserve_format)
    assert fits(bias, slope)
    assert lies_well(made)
    HostRunner(**more)(activating(made, bias, slope, processors=1))
    return made


def exact(values: Tensor) -> NDArray[np.float64]:
    return values.double().numpy()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_it_is_float64_rounded_twice_as_pytorch_rounds_and_pytorch_bit_for_bit(
    dtype: torch.dtype,
) -> None:
    step = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8, torch.float32: 2.0**-24}[dtype]
    for features, bias, slope in maps(dtype):
        made = by_kernel(features, bias, slope)
        one = exact(features) + exact(bias)[:, None, None]
        times = exact(slope)[:, None, None] if isinstance(slope, Tensor) else slope
        want = np.where(one > 0, one, times * one)
        finite = np.isfinite(want)
        apart_by = np.abs(exact(made)[finite] - want[finite])
        assert (apart_by <= 2.01 * step * np.abs(want[finite]) + 1e-7).all()
        assert np.array_equal(exact(made)[~finite], want[~finite])
        bits = torch.int32 if dtype is torch.float32 else torch.int16
        right = apart(features.clone(memory_format=torch.preserve_format), bias, slope)
        lies = right.contiguous(memory_format=torch.channels_last)
        assert torch.equal(made.view(bits), lies.view(bits))


def test_each_thread_keeps_its_channels_and_no_unit_is_left() -> None:
    for of_pixel, units in itertools.product((1, 3, 4, 5, 8, 24, 48), (1, 7, 300, 10**6)):
        for processors in (1, 24, 132):
            count = blocks(units, of_pixel, processors)
            assert count * THREADS % of_pixel == 0
            assert 1 <= count <= BLOCKS * processors + of_pixel


@pytest.mark.parametrize(
    ("bias", "slope"),
    [
        (torch.zeros(12).half(), 0.2),  # no whole units
        (torch.zeros(16).half(), torch.zeros(1).half()),  # one slope, on the device
        (torch.zeros(16).half(), torch.zeros(16)),
        (torch.zeros(16).double(), 0.2),
        (torch.zeros(17).half()[1:], 0.2),  # not aligned
    ],
    ids=["channels", "one slope", "mixed", "double", "unaligned"],
)
def test_what_it_is_not_made_for_does_not_fit(bias: Tensor, slope: Tensor | float) -> None:
    assert not fits(bias, slope)


def test_planes_do_not_lie_well() -> None:
    assert not lies_well(torch.zeros(1, 8, 5, 7).half())
    assert not lies_well(torch.zeros(0, 8, 5, 7).half())


@needs_nvrtc
@pytest.mark.parametrize("arch", [75, 90, 120])
def test_no_register_is_spilled(arch: int) -> None:
    for format_, many in itertools.product(range(3), range(2)):
        options = (f"-DFORMAT={format_}", f"-DMANY={many}", "--std=c++17", "--ptxas-options=-v")
        log = Nvrtc().compile(text(), architecture=arch, options=options).log
        assert "0 bytes stack frame, 0 bytes spill stores" in log
        (registers,) = re.findall(r"Used (\d+) registers", log)
        assert int(registers) * THREADS * BLOCKS <= 65536


@needs_nvrtc
@pytest.mark.parametrize("format_", range(3))
def test_maps_are_moved_16_bytes_at_a_time_and_no_rounding_is_left_out(format_: int) -> None:
    """NVRTC makes one rounding of a product and a sum where it finds both."""
    options = (f"-DFORMAT={format_}", "-DMANY=1", "--std=c++17")
    ptx = Nvrtc().ptx(text(), architecture=90, options=options)
    for way in ("ld", "st"):
        moves = re.findall(rf"\b{way}\.global\.(\S+)", ptx)
        assert sum(one.startswith("v4.") for one in moves) == AHEAD
        assert all("v4." in one for one in moves)
    assert "fma." not in ptx


# --- its trial ---


def asked(*, growth: int = 0, precision: str = "fp16") -> JoinedTrial:
    return JoinedTrial(device="cuda:0", precision=precision, features=16, growth=growth)


@pytest.mark.parametrize(("growth", "precision"), [(0, "fp16"), (8, "fp16"), (8, "bf16")])
def test_it_passes_as_it_is(growth: int, precision: str, install: Install) -> None:
    install(gpu_of(86, processors=1))
    assert tried(asked(growth=growth, precision=precision)) is None


WRONG = {
    "channels": (r"bias\[first % units_of_pixel\]", "bias[0]"),
    "slopes": (r"slopes\[first % units_of_pixel\]", "slopes[0]"),
    "the first unit": (r"last >= 0; last", "last > 0; last"),
    "a later round": (r"i <= last\) held", "i < last) held"),
    "the second round": (r"last -= AHEAD", "last -= AHEAD + 1"),
    "rounded once": (r"spread\(of, joined\(of\)\);", ""),
    "bias twice": (r"of\[n\] \+= added\[n\]", "of[n] += 2 * added[n]"),
    "the other side": (r"of\[n\] > 0\.0f \?", "of[n] < 0.0f ?"),
    "a unit behind": (r"if \(first >= units\)", "if (!first) features[units] = bias[0]; \\g<0>"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_computed_wrongly_is_refused(fault: str, install: Install) -> None:
    """As on a GPU, which tells of no race, and of nothing that is written beside a map."""
    install(HostGpu(processors=1, plants=(WRONG[fault],), checks=False))
    assert tried(asked()) == "computed something else in a trial"


def test_another_stream_than_pytorchs_is_refused(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that PyTorch does not know, which is what a mixed up handle comes to."""
    install(gpu_of(90, processors=1))
    monkeypatch.setattr(torch.cuda.Stream, "cuda_stream", 0xBAD, raising=False)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: torch.cuda.Stream)
    with pytest.raises(DriverError, match="invalid resource handle"):
        tried(asked())


def test_a_kernel_that_is_not_faster_is_refused(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(gpu_of(90, processors=1))
    monkeypatch.setattr(joined_trial, "MOST", 1e-6)
    assert tried(asked()) == "was not faster in a trial"


# --- the choice ---


@pytest.fixture
def gpu(install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A GPU; `trial`: what trials come to, `asked`: how often, `ran`: launches of the kernel."""
    state: dict[str, Any] = {"trial": None, "asked": 0, "ran": 0}

    def trial(*_: Any) -> str | None:
        state["asked"] += 1
        if isinstance(state["trial"], Exception):
            raise state["trial"]
        return state["trial"]  # type: ignore[no-any-return]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(joined_trial, "ask_of_kernels", trial)
    install(gpu_of(90, processors=1))
    return state


def compact(features: int = 16, **more: Any) -> SRVGGNetCompact:
    torch.manual_seed(0)
    made = SRVGGNetCompact(num_feat=features, num_conv=2, upscale=2, **more)
    return made.requires_grad_(False)


def dense(features: int = 16) -> RRDBNet:
    torch.manual_seed(0)
    return RRDBNet(num_feat=features, num_block=1, num_grow_ch=8, scale=2).requires_grad_(False)


def engine(given: Network, events: list[Event], asked: EngineName = "auto") -> TorchEngine:
    loaded = LoadedModel(
        name="n", network=copy.deepcopy(given), scale=given.scale, kernel="bicubic"
    )
    options = DeviceOptions(device="cuda", engine=asked)
    made = build_engine(loaded, Fraction(given.scale), options, events.append)
    assert isinstance(made, TorchEngine)
    return made


def drawn(by: TorchEngine) -> Tensor:
    x = torch.rand(1, 3, 8, 10, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return by(x.to(by.dtype))


def launches() -> int:
    return int(build.driver().host_count(0))


NETWORKS = {
    "compact": (compact(), 3),
    "leaky": (compact(act_type="leakyrelu"), 3),
    "relu": (compact(act_type="relu"), 0),
    "one slope": (compact(num_slopes=1), 0),
    "dense": (dense(), 3 * 4 + 3),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_is_drawn_by_it_as_by_pytorch(kind: str, gpu: dict[str, Any]) -> None:
    """On the host PyTorch rounds once behind a convolution, on CUDA twice, as the kernel does."""
    given, steps = NETWORKS[kind]
    events: list[Event] = []
    ours, plain = engine(given, events), engine(given, events, "torch")
    assert isinstance(ours, JoinedTorchEngine)
    assert type(plain) is TorchEngine
    for _ in range(2):
        before = launches()
        made = drawn(ours)
        assert launches() == before + steps
        assert (made - drawn(plain)).abs().max() < 3e-3
    assert not events


def test_it_is_not_told_from_pytorch_by_a_job_and_tells_workers_to_look_for_themselves(
    gpu: dict[str, Any],
) -> None:
    ours, plain = engine(compact(), []), engine(compact(), [], "torch")
    assert (ours.name, ours.precision, ours.label) == (plain.name, plain.precision, plain.label)
    assert (ours.pinned_name, plain.pinned_name) == ("auto", "torch")
    for one, has in ((ours, True), (plain, False)):
        assert isinstance(one, HasKernels) is has
        assert isinstance(one, RunsKernels) is False  # or colours would be converted by ours, too


REFUSALS: dict[str, Any] = {
    "refused": "computed something else in a trial",
    "missing": KernelsUnavailable("no NVRTC\nlong log"),
    "memory": torch.OutOfMemoryError("CUDA out of memory"),
    "a mistake of ours": TypeError("no such thing"),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_without_a_kernel_that_can_be_used_results_are_the_same_bits_for_one_line(
    why: str, gpu: dict[str, Any]
) -> None:
    gpu["trial"] = REFUSALS[why]
    plain, before = drawn(engine(compact(), [], "torch")), launches()
    events: list[Event] = []
    without = engine(compact(), events)
    assert type(without) is TorchEngine
    assert torch.equal(drawn(without), plain)
    assert launches() == before
    (note,) = events
    assert isinstance(note, Note)
    assert "\n" not in note.text
    assert note.text.startswith("PyTorch adds biases and activations by itself: our CUDA kernel ")
    engine(compact(), events)
    once = why == "refused"  # and remembered
    assert len(events) == (1 if once else 2)
    assert gpu["asked"] == (1 if once else 2)


@pytest.mark.parametrize("kind", ["channels", "asked", "rocm", "fp32"])
def test_what_it_is_not_for_is_not_tried(
    kind: str, gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    if kind == "rocm":
        monkeypatch.setattr(torch.version, "hip", "7.0")
    given = compact(12 if kind == "channels" else 16)
    made = engine(given, events, "torch" if kind == "asked" else "auto")
    assert isinstance(made, JoinedTorchEngine) is (kind == "fp32")
    assert gpu["asked"] == (kind == "fp32")
    assert not events


def test_each_precision_and_width_is_tried_by_itself(gpu: dict[str, Any]) -> None:
    for given in (compact(), compact(), compact(24), dense(), dense()):
        engine(given, [])
    assert gpu["asked"] == 3


# --- at work ---


def test_a_launch_that_fails_costs_a_line_and_no_bit(
    gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    ours, plain = engine(compact(), events), engine(compact(), [], "torch")
    drawn(ours)
    call = Kernels.bind

    def fail(kernels: Kernels) -> None:
        raise DriverError("cuLaunchKernel: too many resources requested for launch (701)")

    monkeypatch.setattr(Kernels, "bind", fail)
    for _ in range(2):
        assert torch.equal(drawn(ours), drawn(plain))
    (note,) = events
    assert isinstance(note, Note)
    assert "our CUDA kernel failed at work (cuLaunchKernel: too many resources" in note.text
    monkeypatch.setattr(Kernels, "bind", call)
    assert type(engine(compact(), events)) is TorchEngine
    assert len(events) == 1


def test_memory_that_ran_out_is_no_fault_of_the_kernels(
    gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Smaller batches help."""
    ours = engine(compact(), [])

    def fail(*_: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as broken:
        broken.setattr(JoinedActivation, "__call__", fail)
        with pytest.raises(torch.OutOfMemoryError):
            drawn(ours)
    before = launches()
    drawn(ours)
    assert launches() > before


def test_what_is_wrong_without_it_too_is_raised_and_refuses_nothing(gpu: dict[str, Any]) -> None:
    events: list[Event] = []
    ours = engine(compact(), events)
    with pytest.raises(RuntimeError, match="channels"):
        ours(torch.rand(1, 5, 8, 8).half())
    assert not events
    assert isinstance(engine(compact(), events), JoinedTorchEngine)


def test_a_fault_of_the_gpu_is_remembered_and_the_next_run_does_without(
    gpu: dict[str, Any],
) -> None:
    ours = engine(compact(), [])
    assert isinstance(ours, JoinedTorchEngine)
    assert ours.refuse("have failed at work (misaligned address)")
    assert type(engine(compact(), [])) is TorchEngine


def test_fp32_after_an_overflow_is_pytorchs(gpu: dict[str, Any]) -> None:
    ours, plain = engine(compact(), []), engine(compact(), [], "torch")
    drawn(ours)
    assert ours.fall_back_to_fp32()
    assert plain.fall_back_to_fp32()
    before = launches()
    assert torch.equal(drawn(ours), drawn(plain))
    assert launches() == before
    assert isinstance(ours, JoinedTorchEngine)
    assert not ours.refuse("something")


def test_a_kernel_that_would_spoil_the_users_process_does_not_run_in_it(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planted = HostGpu(processors=1, plants=((r"if \(first >= units\)", r"__trap(); \g<0>"),))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, value in planted.environment().items():
        monkeypatch.setenv(name, value)
    install(planted)
    before, events = launches(), list[Event]()
    assert type(engine(compact(), events)) is TorchEngine
    (note,) = (event.text for event in events if isinstance(event, Note))
    assert "failed in a trial (" in note
    assert launches() == before
    assert torch.ones(2, device="cuda").tolist() == [1, 1]  # or it raises
