"""Promises of the CUDA engine on a GPU: what the host promises, on the real thing."""

from __future__ import annotations

import copy
import dataclasses
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vsr.engine import trial_process
from vsr.engine.build import build_engine
from vsr.engine.cuda.driver import Driver
from vsr.engine.cuda.engine import CUDA_NAMES, CudaEngine, architecture_of, pieces_of
from vsr.engine.cuda.joined_activation import JoinedActivation
from vsr.engine.cuda.joined_trial import JoinedTrial, try_joined
from vsr.engine.cuda.kernel_runner import CudaKernelRunner
from vsr.engine.cuda.nvrtc import CompileError
from vsr.engine.cuda.tiling import tiling_for
from vsr.engine.cuda.trial import KernelTrial, try_kernels
from vsr.engine.torch_engine import TorchEngine
from vsr.events import Event
from vsr.frame import Colour, Layout, Matrix, Range, Siting
from vsr.nets.arithmetic import fold_area
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.nets.store import LoadedModel
from vsr.options import DeviceOptions
from vsr.stages.colour.backend import TorchColourBackend
from vsr.stages.colour.backend_check import CheckedColourBackend, backend_for
from vsr.stages.colour.cuda_backend import CudaColourBackend

pytestmark = pytest.mark.gpu
DEVICE = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def _new_enough() -> None:
    if torch.cuda.get_device_capability(DEVICE) < (8, 0):
        pytest.skip("needs compute capability 8.0")


def network(*, upscale: int = 4, fold: int = 1, middle: int = 4) -> SRVGGNetCompact:
    torch.manual_seed(0)
    made = SRVGGNetCompact(num_conv=middle, upscale=upscale)
    for layer in made.body:
        if isinstance(layer, nn.PReLU):
            nn.init.uniform_(layer.weight, -1.4, 1.7)
    made = made.requires_grad_(False)
    if fold > 1:
        fold_area(made, fold)
    return made


def poisoned(engine: CudaEngine, x: Tensor) -> Tensor:
    """The result, in memory that held NaN."""
    count, _, height, width = x.shape
    side = engine.scale
    planes = torch.full((count, 3, height * side, width * side), torch.nan, device=DEVICE)
    numbers = engine.plan.scratch * count * height * width
    scratch = torch.full((numbers,), torch.nan, dtype=torch.float16, device=DEVICE)
    engine.upscale_into(x, scratch, planes)
    return planes


@pytest.mark.parametrize(
    ("upscale", "fold"), [(4, 1), (3, 1), (2, 1), (1, 1), (4, 2), (4, 4)], ids=str
)
@pytest.mark.parametrize("shape", [(1, 3, 5, 7), (3, 3, 67, 101), (2, 3, 361, 643)])
def test_every_scale_and_shape_is_that_of_fp32(
    upscale: int, fold: int, shape: tuple[int, ...]
) -> None:
    given = network(upscale=upscale, fold=fold)
    x = torch.rand(shape)
    with torch.inference_mode():
        engine = CudaEngine(copy.deepcopy(given), device=DEVICE)
        made = [poisoned(engine, x.to(DEVICE)).cpu() for _ in range(3)]  # the last two as a graph
        want = given(x)
    assert torch.isfinite(made[0]).all()
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])
    assert (made[0] - want).abs().max() < 4 / 255
    assert (made[0] - want).square().mean().sqrt() < 1e-3


@pytest.mark.parametrize("short", [0, 1, 12])
def test_sums_of_either_kind_are_near_those_of_fp32(short: int) -> None:
    """On every GPU: all of fp32, each stage in fp16, all of fp16; only the rate depends on it."""
    given, x = network(), torch.rand(2, 3, 161, 243)
    shared = Driver().shared_memory(0)
    tiling = tiling_for(shared, architecture_of(DEVICE))
    assert tiling is not None
    with torch.inference_mode():
        engine = CudaEngine(
            copy.deepcopy(given), device=DEVICE, tiling=dataclasses.replace(tiling, short=short)
        )
        made = [poisoned(engine, x.to(DEVICE)).cpu() for _ in range(3)]
        want = given(x)
    assert engine.name == ("cuda-fp16-sums" if short else "cuda")
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])
    assert (made[0] - want).abs().max() < 4 / 255
    assert (made[0] - want).square().mean().sqrt() < 1e-3


def test_short_sums_beyond_fp16_are_not_numbers() -> None:
    """100,000 and as much below zero, one after the other: seen, and fp32 helps."""
    given = network(middle=1)
    opening, middle = given.body[0], given.body[2]
    assert isinstance(opening, nn.Conv2d)
    assert isinstance(middle, nn.Conv2d)
    assert opening.bias is not None
    for layer in (opening, middle):
        layer.weight.zero_()
    opening.bias.fill_(100)
    middle.weight[5, 40, 1, 1], middle.weight[5, 60, 1, 1] = 1000, -1000
    for slope in (given.body[1], given.body[3]):
        assert isinstance(slope, nn.PReLU)
        slope.weight.fill_(0.1)
    tiling = tiling_for(Driver().shared_memory(0), architecture_of(DEVICE))
    assert tiling is not None
    with torch.inference_mode():
        tiling = dataclasses.replace(tiling, short=1)
        engine = CudaEngine(copy.deepcopy(given), device=DEVICE, tiling=tiling)
        x = torch.rand(1, 3, 20, 30)
        assert not torch.isfinite(engine(x.to(DEVICE))).all()
        assert engine.fall_back_to_fp32()
        assert torch.isfinite(engine(x.to(DEVICE))).all()


@pytest.mark.parametrize("shape", [(1, 3, 5, 7), (3, 3, 33, 41), (1, 3, 180, 320)])
def test_dense_blocks_are_those_of_fp32(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    given = RRDBNet(num_block=2).requires_grad_(False)
    x = torch.rand(shape)
    with torch.inference_mode():
        engine = CudaEngine(copy.deepcopy(given), device=DEVICE)
        made = [poisoned(engine, x.to(DEVICE)).cpu() for _ in range(3)]
        want = given(x)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])
    assert (made[0] - want).norm() < 3e-3 * want.norm()


@pytest.mark.parametrize(
    "given",
    [network(), network(upscale=3), RRDBNet(num_block=2).requires_grad_(False)],
    ids=["compact", "x3", "rrdb"],
)
def test_a_list_of_pictures_is_each_of_them_alone(given: Network) -> None:
    """Bit for bit, in memory that held NaN; three lists, the last two as one graph."""
    torch.manual_seed(1)
    whole = torch.rand(1, 3, 200, 300, device=DEVICE)
    with torch.inference_mode():
        engine = CudaEngine(given, device=DEVICE)
        for count in (60, 3, 41):
            sizes = torch.randint(1, 100, (count, 2)).tolist()
            pictures = [whole[:, :, 200 - h :, n : n + w] for n, (h, w) in enumerate(sizes)]
            alone = torch.cat([engine(one).flatten() for one in pictures])
            room = sum(h * w for h, w in sizes) + 1000
            scratch = torch.full((engine.plan.scratch * room,), torch.nan, device=DEVICE).half()
            planes = torch.full_like(alone, torch.nan)
            engine.upscale_pieces_into(pictures[0], pieces_of(pictures), scratch, planes)
            assert torch.isfinite(alone).all()
            assert torch.equal(planes, alone)
            made = engine.infer_many(pictures, room)
            assert torch.equal(torch.cat([one.flatten() for one in made]), alone)


@pytest.mark.parametrize("siting", Siting)
@pytest.mark.parametrize("sub", [(1, 1), (1, 0), (0, 1), (0, 0)])
@pytest.mark.parametrize("bits", [8, 10, 16])
def test_ends_are_those_of_pytorch(bits: int, sub: tuple[int, int], siting: Siting) -> None:
    """At a size with many blocks, in fp32 as on the CPU; twice the same."""
    layout = Layout(family="yuv", bits=bits, sub_x=sub[0], sub_y=sub[1])
    tags = Colour(matrix=Matrix.BT709, range=Range.LIMITED, siting=siting)
    torch.manual_seed(0)
    planes = tuple(
        torch.randint(0, 1 << bits, (2, *size)).to(layout.dtype).to(DEVICE)
        for size in layout.plane_sizes(321, 181)
    )
    drawn = torch.rand(2, 3, 4 * 181 + 8, 4 * 321 + 8, device=DEVICE)[..., 4:-4, 4:-4]
    runner, plain = CudaKernelRunner(DEVICE), TorchColourBackend()
    kernels = CudaColourBackend(runner, runner.processors)
    rgb = kernels.to_rgb(planes, layout, tags)
    assert (rgb - plain.to_rgb(planes, layout, tags)).abs().max() < 4e-6
    drift, right = (backend.find_drift(drawn, rgb) for backend in (kernels, plain))
    assert (drift.cells - right.cells).abs().max() < 4e-6
    made, again = (kernels.from_rgb(drawn, layout, tags, drift) for _ in range(2))
    want = plain.from_rgb(drawn.clone(), layout, tags, drift)
    for one, two, other in zip(made, again, want, strict=True):
        assert torch.equal(one.cpu(), two.cpu())
        apart = (one.cpu().int() - other.cpu().int()).abs()
        assert int(apart.max()) <= 1
        assert float((apart > 0).float().mean()) <= 2e-6 * 2**bits


def test_the_ends_pass_their_trials_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    events: list[Event] = []
    backend = backend_for(CudaEngine(network(), device=DEVICE), events.append)
    assert isinstance(backend, CheckedColourBackend)
    rgb = torch.rand(1, 3, 64, 96, device=DEVICE)
    for siting in (Siting.LEFT, Siting.TOPLEFT, Siting.CENTER):
        layout = Layout(family="yuv", bits=10, sub_x=1, sub_y=1)
        tags = Colour(matrix=Matrix.BT709, range=Range.LIMITED, siting=siting)
        planes = backend.from_rgb(rgb, layout, tags, backend.find_drift(rgb, rgb[..., ::2, ::2]))
        backend.to_rgb(planes, layout, tags)
    assert len(backend._passed) == 7
    assert all(backend._passed.values())
    assert events == []


@pytest.mark.parametrize("given", [network(), RRDBNet(num_block=2).requires_grad_(False)],
                         ids=["compact", "rrdb"])  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_bias_and_activation_in_one_kernel_are_pytorchs_bits(
    given: Network, dtype: torch.dtype
) -> None:
    """Twice by either: before cuDNN's ways were tried out for a shape, and after."""
    engines = []
    for joined in (False, True):
        own = copy.deepcopy(given)
        own.join(JoinedActivation(CudaKernelRunner(DEVICE)) if joined else None)
        engines.append(TorchEngine(own, device=DEVICE, dtype=dtype, precision=str(dtype)))
    for shape in ((1, 3, 5, 7), (2, 3, 133, 241), (1, 3, 181, 320)):
        x = torch.rand(shape, device=DEVICE).to(engines[0].dtype)
        for _ in range(2):
            with torch.inference_mode():
                plain, made = (engine(x) for engine in engines)
            assert torch.equal(made, plain)


@pytest.mark.parametrize("growth", [0, 32], ids=["compact", "rrdb"])
@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp32"])
def test_bias_and_activation_pass_their_trial_here(precision: str, growth: int) -> None:
    """Which tells of the speed, too."""
    asked = JoinedTrial(device="cuda:0", precision=precision, features=64, growth=growth)
    assert try_joined(asked) is None


@pytest.mark.parametrize("deep", [False, True], ids=["compact", "rrdb"])
def test_the_trial_passes_here(deep: bool) -> None:
    assert try_kernels(KernelTrial(device="cuda:0", deep=deep, scale=4, timed=False)) is None


def test_a_trap_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, of which this one only hears."""
    start = (
        "import sys; sys.path[:] = sys.argv[2:]; import vsr.engine.cuda.engine as e; "
        "text = e.source; e.source = lambda n: text(n).replace('const Extent extent(tile);', "
        "'const Extent extent(tile); __trap();'); import vsr.engine.cuda.trial as t; t.main()"
    )
    monkeypatch.setattr(trial_process, "_START", start)
    told = try_kernels(KernelTrial(device="cuda:0", deep=False, scale=4, timed=False))
    assert told is not None
    assert told.startswith("failed in a trial")
    assert torch.ones(2, device=DEVICE).sum() == 2


def test_pieces_of_a_picture_need_no_copy() -> None:
    given = network(upscale=2)
    whole = torch.rand(2, 3, 90, 120, device=DEVICE)
    x = whole[:, :, 7:80, 5:100]
    with torch.inference_mode():
        engine = CudaEngine(given, device=DEVICE)
        assert torch.equal(engine(x), engine(x.contiguous()))


def test_it_is_built_when_asked_for_and_results_outlive_the_next() -> None:
    model = LoadedModel(name="tiny", network=network(), scale=4, kernel="bicubic")
    engine = build_engine(model, Fraction(4), DeviceOptions(device="cuda", engine="cuda"))
    assert engine.name in CUDA_NAMES
    with torch.inference_mode():
        first = engine(torch.rand(1, 3, 64, 64, device=DEVICE))
        kept = first.clone()
        for _ in range(4):
            engine(torch.rand(1, 3, 64, 64, device=DEVICE))
    assert torch.equal(first, kept)


def test_another_stream_may_go_on_with_it() -> None:
    engine = CudaEngine(network(), device=DEVICE)
    x = torch.rand(2, 3, 200, 300, device=DEVICE)
    with torch.inference_mode():
        want = engine(x)
        for _ in range(4):
            stream = torch.cuda.Stream(DEVICE)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(DEVICE))
            with torch.cuda.stream(stream):
                made = [engine(x) for _ in range(3)]
            stream.synchronize()
            assert all(torch.equal(one, want) for one in made)


def test_overflow_is_seen_and_fp32_helps() -> None:
    given = network()
    for layer in given.body:
        if isinstance(layer, nn.Conv2d):
            layer.weight.mul_(60)
    x = torch.rand(1, 3, 40, 40)
    with torch.inference_mode():
        engine = CudaEngine(copy.deepcopy(given), device=DEVICE)
        assert not torch.isfinite(engine(x.to(DEVICE))).all()
        assert engine.fall_back_to_fp32()
        made, want = engine(x.to(DEVICE)).cpu(), given(x)
    assert torch.isfinite(made).all()
    assert (made - want).norm() < 1e-4 * want.norm()


def test_a_fault_in_the_kernels_is_an_error_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsr.engine.cuda.engine.source", lambda names: "no C++")
    with pytest.raises(CompileError):
        CudaEngine(network(), device=DEVICE)
