"""Promise 6: out of memory halves the batch, then the tile, and loses no frame."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from tests.stages.test_tiles import engine_of
from vsr.engine.base import is_out_of_memory
from vsr.engine.eager import EagerEngine
from vsr.errors import OutOfMemory
from vsr.events import Event, Note
from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.nets.srvgg import SRVGGNetCompact
from vsr.options import DeviceOptions
from vsr.stages.size import Target
from vsr.stages.upscale import Picture, Upscaler

LAYOUT = Layout(family="yuv", sub_x=1, sub_y=1)
COLOUR = Colour(matrix=Matrix.BT709, range=Range.LIMITED)
PICTURE = Picture(
    target=Target(width=192, height=128, scale=Fraction(2)),
    layout=LAYOUT, colour=COLOUR, kernel="bicubic",
)  # fmt: skip


class SmallDevice:
    """An engine whose memory holds so many pixels and no more: the failure is injected here."""

    def __init__(self, engine: EagerEngine, pixels: int, error: Exception) -> None:
        self.scale, self.multiple, self.radius = engine.scale, engine.multiple, engine.radius
        self.device, self.dtype, self.precision = engine.device, engine.dtype, engine.precision
        self._engine, self._pixels, self._error = engine, pixels, error
        self.largest = 0

    def __call__(self, x: Tensor) -> Tensor:
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        if pixels > self._pixels:
            raise self._error
        self.largest = max(self.largest, pixels)
        return self._engine(x)

    def bytes_for(self, pixels: int) -> int:
        return pixels


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
    upscaler = Upscaler(engine, PICTURE, options, sink=events.append)  # type: ignore[arg-type]
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
    upscaler = Upscaler(engine_of(NETWORK), PICTURE, DeviceOptions(batch=4), sink=lambda e: None)
    assert [(f.width, f.height) for f in upscaler(iter(frames))] == [(192, 128)] * 5


def test_memory_is_planned_before_it_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsr.stages.upscale.free_memory", lambda device: 6000)
    engine = SmallDevice(engine_of(NETWORK), 6000, AssertionError("planned too large"))
    frames, events = _run(engine, DeviceOptions())
    assert len(frames) == 7
    assert any("tiles" in e.text for e in events if isinstance(e, Note))
