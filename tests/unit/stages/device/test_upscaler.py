"""Promise 6: out of memory halves the batch, then the tile, and loses no frame."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.unit.stages.device.test_tiles import engine_of
from vsr.engine.base import is_out_of_memory
from vsr.engine.build import build_engine
from vsr.engine.torch_engine import TorchEngine
from vsr.errors import BrokenWeights, DeviceLost, OutOfMemory
from vsr.events import Event, Note, silent
from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.nets.store import LoadedModel
from vsr.options import DeviceOptions, Reuse, TemporalOptions, UpscaleOptions
from vsr.stages.colour.convert import from_rgb
from vsr.stages.device.memory_plan import Beside, MemoryPlanner
from vsr.stages.device.size import TargetSize
from vsr.stages.device.stage import OutputImage
from vsr.stages.device.tiles import EDGE
from vsr.stages.device.upscaler import Upscaler

LAYOUT = Layout(family="yuv", sub_x=1, sub_y=1)
COLOUR = Colour(matrix=Matrix.BT709, range=Range.LIMITED)
PICTURE = OutputImage(
    target=TargetSize(width=192, height=128, scale=Fraction(2)),
    layout=LAYOUT, colour=COLOUR, kernel="bicubic",
)  # fmt: skip


class SmallDevice:
    """An engine whose memory holds so many pixels and no more: the failure is injected here."""

    def __init__(self, engine: TorchEngine, pixels: int, error: Exception) -> None:
        self.sees_whole = False
        self.scale, self.multiple, self.receptive_radius = (
            engine.scale,
            engine.multiple,
            engine.receptive_radius,
        )
        self.device, self.dtype, self.precision = engine.device, engine.dtype, engine.precision
        self._engine, self._pixels, self._error = engine, pixels, error
        self.largest = 0

    def __call__(self, x: Tensor) -> Tensor:
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        if pixels > self._pixels:
            raise self._error
        self.largest = max(self.largest, pixels)
        return self._engine(x)

    max_pixels = 2**31

    def bytes_for(self, pixels: int) -> int:
        return pixels

    def fall_back_to_fp32(self) -> bool:
        return False


def _frames(count: int, width: int = 96, height: int = 64) -> Iterator[Frame]:
    torch.manual_seed(0)
    for n in range(count):
        planes = tuple(
            torch.randint(16, 235, size).byte() for size in LAYOUT.plane_sizes(width, height)
        )
        yield Frame(
            planes=planes, layout=LAYOUT, colour=COLOUR,
            pts=n * 1001, duration=1001, time_base=Fraction(1, 24000),
        )  # fmt: skip


NETWORK = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2)
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
]


def _run(engine: object, options: DeviceOptions, count: int = 7) -> tuple[list[Frame], list[Event]]:
    events: list[Event] = []
    upscaler = Upscaler(
        engine,  # type: ignore[arg-type]
        PICTURE,
        UpscaleOptions(device=options),
        sink=events.append,
    )
    return list(upscaler(_frames(count))), events


@pytest.fixture(scope="module")
def whole() -> list[Frame]:
    torch.manual_seed(3)
    return _run(engine_of(NETWORK), DeviceOptions(batch=1, tile=0))[0]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("pixels", [3 * 104 * 72, 104 * 72, 104 * 72 - 1, 3000])
def test_every_frame_comes_out_right_on_a_small_device(
    whole: list[Frame], pixels: int, error: Exception
) -> None:
    engine = SmallDevice(engine_of(NETWORK), pixels, error)
    frames, events = _run(engine, DeviceOptions(batch=4, tile=0))
    assert [f.pts for f in frames] == [f.pts for f in whole]
    for ours, want in zip(frames, whole, strict=True):
        for a, b in zip(ours.planes, want.planes, strict=True):
            assert (a.int() - b.int()).abs().max() <= 1
    assert engine.largest <= pixels
    said = [e.text for e in events if isinstance(e, Note)]
    assert said
    assert all("memory" in text for text in said)


def test_the_end_of_all_fallbacks_is_one_clear_error() -> None:
    engine = SmallDevice(engine_of(NETWORK), 10, MemoryError())
    with pytest.raises(OutOfMemory, match="cpu"):
        _run(engine, DeviceOptions(batch=4, tile=0))


def test_other_errors_are_not_mistaken_for_it() -> None:
    engine = SmallDevice(engine_of(NETWORK), 10, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        _run(engine, DeviceOptions())
    assert not is_out_of_memory(ValueError("out of memory"))


def test_frames_that_change_their_size_fill_the_same_picture() -> None:
    frames = [*_frames(2), *_frames(2, 48, 32), *_frames(1)]
    upscaler = Upscaler(
        engine_of(NETWORK), PICTURE, UpscaleOptions(device=DeviceOptions(batch=4)), sink=silent
    )
    assert [(f.width, f.height) for f in upscaler(iter(frames))] == [(192, 128)] * 5


def test_memory_is_planned_before_it_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    room = MemoryPlanner(
        engine_of(NETWORK), PICTURE.target, DeviceOptions(),
        overlap=0, beside=Beside(), sink=print,
    )  # fmt: skip
    frame = room.frame_bytes(96, 64)
    monkeypatch.setattr(
        "vsr.stages.device.memory_plan.free_memory", lambda device: round((frame + 6000) / 0.7) + 1
    )
    engine = SmallDevice(engine_of(NETWORK), 6000, AssertionError("planned too large"))
    frames, events = _run(engine, DeviceOptions())
    assert len(frames) == 7
    assert any("tiles" in e.text for e in events if isinstance(e, Note))


def test_a_result_that_memory_cannot_hold_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vsr.stages.device.memory_plan.free_memory", lambda device: 1000)
    engine = SmallDevice(engine_of(NETWORK), 0, AssertionError("it was tried"))
    with pytest.raises(OutOfMemory, match=r"96x64 made 192x128 takes .* GB are free"):
        _run(engine, DeviceOptions())


def test_a_retry_does_not_find_the_failed_try_still_in_memory() -> None:
    held: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    class Failing(SmallDevice):
        def __call__(self, x: Tensor) -> Tensor:
            alive.append(sum(ref() is not None for ref in held))
            ballast = torch.empty(1)
            held.append(weakref.ref(ballast))
            return super().__call__(x)

    engine = Failing(engine_of(NETWORK), 3000, MemoryError())
    _run(engine, DeviceOptions(batch=4, tile=0), count=4)
    assert len(alive) > 8
    assert max(alive) == 0


@pytest.mark.parametrize("reuse", ["off", "exact"])
def test_numbers_that_overflow_are_done_again_in_fp32(whole: list[Frame], reuse: Reuse) -> None:
    class Overflowing(SmallDevice):
        wide = False

        def __call__(self, x: Tensor) -> Tensor:
            out = super().__call__(x)
            if not self.wide:
                out[0, 0, 40, 40] = float("inf")
            return out

        def fall_back_to_fp32(self) -> bool:
            was, self.wide = self.wide, True
            return not was

    engine = Overflowing(engine_of(NETWORK), 10**9, MemoryError())
    frames, events = _run(engine, DeviceOptions(reuse=reuse))
    assert [f.pts for f in frames] == [f.pts for f in whole]
    for ours, want in zip(frames, whole, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours.planes, want.planes, strict=True))
    assert [e.text for e in events if isinstance(e, Note)].count(
        "16 bits overflow in this network: going on in fp32"
    ) == 1


def test_a_network_of_nonsense_ends_the_run() -> None:
    network = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with pytest.raises(BrokenWeights):
        _run(engine_of(network), DeviceOptions())


def test_bf16_keeps_ten_bits() -> None:
    """The last convolution stays in fp32, or bright values would come in steps of 1/256."""
    network = RRDBNet(num_feat=8, num_block=1, num_grow_ch=4)
    engine = TorchEngine(
        network, device=torch.device("cpu"), dtype=torch.bfloat16, precision="bf16"
    )
    out = engine(torch.rand(1, 3, 16, 16).to(engine.dtype))
    assert out.dtype == torch.float32


class _Pictures(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the largest RGB picture that any operation made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.height = self.width = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor) and tensor.ndim == 4 and tensor.shape[1] == 3:
                self.height = max(self.height, tensor.shape[2])
                self.width = max(self.width, tensor.shape[3])
        return out


@pytest.mark.parametrize(
    "network",
    [
        SRVGGNetCompact(num_feat=8, num_conv=1, upscale=4),
        RRDBNet(num_feat=8, num_block=1, num_grow_ch=4),
    ],
)
def test_twice_the_size_from_a_network_for_four_makes_no_picture_of_four_times(
    network: Network,
) -> None:
    model = LoadedModel(name="tiny", network=network, scale=4, kernel="bicubic")
    engine = build_engine(model, Fraction(2), DeviceOptions(device="cpu", engine="torch"))
    upscale = Upscaler(engine, PICTURE, UpscaleOptions(device=DeviceOptions(tile=0)), sink=silent)
    with _Pictures() as seen:
        (frame,) = upscale(_frames(1))
    assert frame.planes[0].shape == (128, 192)
    edge = 2 * EDGE + 8  # what is repeated around the picture, and a resizer's own border
    assert 192 <= seen.width <= 2 * (96 + edge)
    assert 128 <= seen.height <= 2 * (64 + edge)


def test_out_of_memory_in_the_middle_of_stabilising_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(failures: int) -> list[Frame]:
        left = failures

        def failing(*args: Any) -> tuple[Tensor, ...]:
            nonlocal left
            left -= 1
            if left in (0, 2):
                raise torch.OutOfMemoryError("no memory for the planes")
            return from_rgb(*args)

        with monkeypatch.context() as patch:
            patch.setattr("vsr.stages.colour.convert.from_rgb", failing)
            upscale = Upscaler(
                engine_of(NETWORK), PICTURE,
                UpscaleOptions(
                    device=DeviceOptions(batch=3), temporal=TemporalOptions(filter="light")
                ),
                starts=(2002,), sink=silent,
            )  # fmt: skip
            return list(upscale(_frames(8)))

    plain, disturbed = run(0), run(3)
    assert [f.pts for f in disturbed] == [f.pts for f in plain] == list(range(0, 8008, 1001))
    for one, other in zip(plain, disturbed, strict=True):
        for a, b in zip(one.planes, other.planes, strict=True):
            apart = (a.int() - b.int()).abs()  # a smaller batch may round another way
            assert int(apart.max()) <= 1
            assert float((apart > 0).float().mean()) < 1e-3


def test_a_gpu_that_has_failed_is_said_in_a_line_whoever_notices_it() -> None:
    """Of PyTorch's errors those that say CUDA error mean that this process is at its end."""
    fault = torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore")
    engine = SmallDevice(engine_of(NETWORK), 0, fault)
    with pytest.raises(DeviceLost, match=r"failed \(an illegal memory access was encountered\)"):
        _run(engine, DeviceOptions(batch=1, tile=0))
