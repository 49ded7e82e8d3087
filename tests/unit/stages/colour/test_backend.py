"""Promises of the choice of ends: never another picture than PyTorch's, and the same stage."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import random_frames
from tests.support.cuda.colours import HostRunner
from tests.support.cuda.host import build
from tests.support.cuda.host.fixtures import install, needs_host
from tests.support.cuda.host.gpu import HostGpu
from tests.unit.stages.device.test_tiles import engine_of
from vsr.engine.cuda.driver import DriverError
from vsr.engine.cuda.kernel_runner import CudaKernelRunner
from vsr.engine.cuda.nvrtc import CompileError
from vsr.engine.kernel_launch import KernelRunner, RunsKernels
from vsr.engine.torch_engine import TorchEngine
from vsr.events import Event, Note
from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.options import DeviceOptions, ModelOptions, TemporalOptions, UpscaleOptions
from vsr.stages.colour import trial as colour_trial
from vsr.stages.colour.backend import ColourBackend, TorchColourBackend
from vsr.stages.colour.backend_check import CheckedColourBackend, backend_for
from vsr.stages.colour.cuda_backend import CudaColourBackend
from vsr.stages.colour.drift_correction import DriftCorrection
from vsr.stages.colour.trial import ColourWork
from vsr.stages.device import stage
from vsr.stages.device.size import TargetSize
from vsr.stages.device.stage import OutputImage
from vsr.stages.device.upscaler import Upscaler

__all__ = ["install"]
CPU = torch.device("cpu")
LAYOUT = Layout(family="yuv", sub_x=1, sub_y=1)
TAGS = Colour(matrix=Matrix.BT709, range=Range.LIMITED)


class Changed:
    """In place of kernels: PyTorch, and what `change` makes of its results."""

    def __init__(self, blank: Callable[..., Tensor], change: Callable[[Tensor], Tensor]) -> None:
        self._blank, self._change, self._plain = blank, change, TorchColourBackend()

    def _made(self, right: Tensor) -> Tensor:
        made = self._blank(*right.shape, dtype=right.dtype, device=right.device)
        changed = self._change(right)
        made[:, : changed.shape[1]] = changed  # what is cut off is left as it was
        return made

    def to_rgb(self, *given: Any) -> Tensor:
        return self._made(self._plain.to_rgb(*given))

    def find_drift(self, *given: Any) -> DriftCorrection:
        drift = self._plain.find_drift(*given)
        return DriftCorrection(cells=self._made(drift.cells), side=drift.side)

    def from_rgb(self, *given: Any) -> tuple[Tensor, ...]:
        return tuple(self._made(plane) for plane in self._plain.from_rgb(*given))


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def tried(
    change: Callable[[Tensor], Tensor], events: list[Event], trials: list[ColourWork] | None = None
) -> CheckedColourBackend:
    """With trials in this process; `trials`: gets what was tried."""

    def make(blank: Callable[..., Tensor]) -> Any:
        return Changed(blank, change)

    def trial(device: torch.device, work: ColourWork) -> str | None:
        if trials is not None:
            trials.append(work)
        return colour_trial.tried(make, device, work)

    return CheckedColourBackend(
        make(torch.empty), CPU, where="here", sink=events.append, trial=trial
    )


def work(backend: ColourBackend) -> list[Tensor]:
    """All three kinds, on pictures of another size than a trial's."""
    torch.manual_seed(0)
    planes = tuple(torch.randint(0, 256, (1, *s)).byte() for s in LAYOUT.plane_sizes(24, 16))
    rgb = backend.to_rgb(planes, LAYOUT, TAGS)
    drawn = torch.rand(1, 3, 32, 48)
    drift = backend.find_drift(drawn, rgb)
    return [rgb, drift.cells, *backend.from_rgb(drawn, LAYOUT, TAGS, drift)]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _farther(made: Tensor) -> Tensor:
    return made + (made < 100).to(made.dtype) * (1 if made.dtype is torch.uint8 else 1e-5)


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        (lambda made: made, True),
        (_farther, False),
        (lambda made: made.roll(1, dims=2), False),
        (lambda made: made[:, :-1], False),  # the last colour or row is left undone
        (lambda made: made * torch.nan if made.is_floating_point() else made.roll(1, 1), False),
    ],
    ids=["right", "a little too bright", "shifted", "unfinished", "not a number"],
)
def test_a_trial_sees_what_is_wrong_and_pytorch_does_it(
    change: Callable[[Tensor], Tensor], passes: bool
) -> None:
    events: list[Event] = []
    backend = tried(change, events)
    assert same(work(backend), work(TorchColourBackend()))
    assert backend._passed == dict.fromkeys(backend._passed, passes)
    assert len(backend._passed) == 3
    notes = {event.text for event in events if isinstance(event, Note)}
    assert bool(notes) is not passes


def test_a_trial_is_made_once_for_a_kind_and_remembered() -> None:
    trials: list[ColourWork] = []
    for _ in range(2):
        backend = tried(lambda made: made, [], trials)
        for _ in range(3):
            work(backend)
    assert len(trials) == 3
    backend.from_rgb(torch.rand(1, 3, 8, 8), LAYOUT.replace(bits=10), TAGS, None)
    assert len(trials) == 4


@pytest.mark.parametrize("error", [CompileError("no NVRTC\nlog"), DriverError("no driver")])
def test_what_cannot_be_had_is_not_remembered(error: Exception) -> None:
    def fail(made: Tensor) -> Tensor:
        raise error

    events: list[Event] = []
    assert same(work(tried(fail, events)), work(TorchColourBackend()))
    assert isinstance(events[0], Note)
    assert "\n" not in events[0].text
    backend = tried(lambda made: made, [])
    work(backend)
    assert all(backend._passed.values())


@needs_host
def test_kernels_that_would_spoil_the_users_process_do_not_run_in_it(
    install: Callable[[HostGpu], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    device, events = torch.device("cuda", 0), list[Event]()
    gpu = HostGpu(plants=((r"const int across = [^;]*OWN", r"__trap(); \g<0>"),))
    for name, value in gpu.environment().items():
        monkeypatch.setenv(name, value)
    install(gpu)
    run = CudaKernelRunner(device)
    own = CudaColourBackend(run, run.processors)
    backend = CheckedColourBackend(own, device, where="here", sink=events.append)
    before = build.driver().host_count(0)  # launches
    rgb = torch.rand(1, 3, 8, 8)
    made, right = (one.from_rgb(rgb, LAYOUT, TAGS, None) for one in (backend, TorchColourBackend()))
    assert same(list(made), list(right))
    (note,) = (event.text for event in events if isinstance(event, Note))
    assert "failed in a trial (" in note
    assert build.driver().host_count(0) == before


def test_chroma_that_is_thinned_out_twice_is_pytorchs() -> None:
    backend = tried(lambda made: made, [])
    layout = Layout(family="yuv", sub_x=2)
    rgb = torch.rand(1, 3, 16, 24)
    planes, right = (
        one.from_rgb(rgb, layout, TAGS, None) for one in (backend, TorchColourBackend())
    )
    assert same(list(planes), list(right))
    assert not backend._passed


def test_without_kernels_beside_the_engine_they_are_pytorchs() -> None:
    class Unable(TorchEngine):
        def kernel_runner(self) -> KernelRunner:
            raise DriverError("libcuda.so.1: cannot open shared object file")

        def refuse(self, reason: str) -> None:
            raise NotImplementedError

    events: list[Event] = []
    for kind, notes in ((TorchEngine, 0), (Unable, 1)):
        network = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2)
        engine = kind(network, device=CPU, dtype=torch.float32, precision="fp32")
        assert isinstance(engine, RunsKernels) is (kind is Unable)
        assert isinstance(backend_for(engine, events.append), TorchColourBackend)
        assert len(events) == notes


# --- in the device stage ---


@needs_host
@pytest.mark.parametrize(
    ("scale", "temporal", "last"),
    [
        (2, TemporalOptions(), True),
        (Fraction(3, 2), TemporalOptions(), False),
        (2, TemporalOptions(grain=0.5), False),
        (2, TemporalOptions(filter="light"), False),
    ],
    ids=["as drawn", "resized", "grain", "stabilised"],
)
@pytest.mark.parametrize("corrects_drift", [True, False])
def test_frames_are_those_of_pytorch_and_drift_leaves_late_only_where_nothing_follows(
    scale: Fraction, temporal: TemporalOptions, last: bool, corrects_drift: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    torch.manual_seed(0)
    network = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2).requires_grad_(False)
    target = TargetSize(
        width=int(22 * scale) // 2 * 2, height=int(14 * scale) // 2 * 2, scale=scale
    )
    picture = OutputImage(
        target=target, layout=LAYOUT.replace(bits=10), colour=TAGS, kernel="bicubic",
    )  # fmt: skip
    options = UpscaleOptions(
        model=ModelOptions(keep_colours=corrects_drift),
        device=DeviceOptions(batch=2),
        temporal=temporal,
    )
    late: list[bool] = []

    class Watched(TorchColourBackend):
        def from_rgb(self, rgb: Tensor, *given: Any) -> tuple[Tensor, ...]:
            late.append(given[-1] is not None)
            return kernels.from_rgb(rgb, *given)

        def to_rgb(self, *given: Any) -> Tensor:
            return kernels.to_rgb(*given)

        def find_drift(self, *given: Any) -> DriftCorrection:
            return kernels.find_drift(*given)

    def run() -> list[Frame]:
        upscaler = Upscaler(engine_of(network), picture, options, sink=lambda event: None)
        return list(upscaler(random_frames(3, 22, 14, LAYOUT, TAGS)))

    plain = run()
    kernels = HostRunner().backend()
    monkeypatch.setattr(stage, "backend_for", lambda *_: Watched())
    made = run()
    assert set(late) == {last and corrects_drift}
    for one, other in zip(made, plain, strict=True):
        assert one.pts == other.pts
        for a, b in zip(one.planes, other.planes, strict=True):
            assert a.dtype == torch.uint16
            apart = (a.int() - b.int()).abs()
            assert int(apart.max()) <= 1
            assert float(apart.float().mean()) < 5e-3


@pytest.mark.parametrize("matrix", [Matrix.ICTCP, Matrix.YCGCO, Matrix.BT2020_CL])
def test_codings_that_the_kernels_have_no_numbers_for_go_past_them(matrix: Matrix) -> None:
    tags = Colour(matrix=matrix, range=Range.LIMITED, primaries=9, transfer=16)
    frame = random_frames(1, 16, 16, LAYOUT, tags)[0]
    planes = tuple(plane[None] for plane in frame.planes)
    got = tried(lambda right: right + 1, []).to_rgb(planes, LAYOUT, tags)
    assert torch.equal(got, TorchColourBackend().to_rgb(planes, LAYOUT, tags))
