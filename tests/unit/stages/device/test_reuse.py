"""Promises: what stands still is not drawn again, what moves is, and nothing drifts."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.stages.device.test_tiles import real_frame
from vsr.engine.base import Engine
from vsr.engine.torch_engine import TorchEngine
from vsr.events import silent
from vsr.frame import Colour, Layout, Matrix, Range
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.options import DeviceOptions, Reuse, UpscaleOptions
from vsr.stages.device.reuse import Reuser, cover
from vsr.stages.device.size import TargetSize
from vsr.stages.device.stage import DeviceStage, OutputImage
from vsr.stages.device.tiles import infer

SCALE = 2
IMAGE = OutputImage(  # of which the network's part needs nothing
    target=TargetSize(width=2, height=2, scale=Fraction(1)),
    layout=Layout(family="rgb"),
    colour=Colour(matrix=Matrix.RGB, range=Range.FULL),
    kernel="bicubic",
)


class Counting(TorchEngine):
    """An engine that knows how many pixels it was given."""

    pixels = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.pixels += x.shape[0] * x.shape[2] * x.shape[3]
        return super().__call__(x)


@pytest.fixture
def engine() -> Counting:
    torch.manual_seed(0)
    network = SRVGGNetCompact(num_feat=8, num_conv=4, upscale=SCALE).requires_grad_(False)
    cpu = torch.device("cpu")
    return Counting(network, device=cpu, dtype=torch.float32, precision="fp32")


def reuser(engine: Engine, level: Reuse, overlap: int | None = None) -> Reuser:
    """For frames of any size, with all that the network sees around what changed."""
    overlap = engine.receptive_radius if overlap is None else overlap
    options = UpscaleOptions(device=DeviceOptions(overlap=overlap))
    return Reuser(DeviceStage(engine, IMAGE, options, sink=silent), level)


def whole(engine: Counting, frame: Tensor) -> Tensor:
    return infer(engine, frame, tile=0, overlap=0)


def moved(frame: Tensor, top: int, left: int, side: int, by: float) -> Tensor:
    """`frame` with a square that is lighter."""
    frame = frame.clone()
    frame[:, :, top : top + side, left : left + side] += by / 255
    return frame


LEVELS: list[Reuse] = ["exact", "safe", "fast"]


@pytest.mark.parametrize("level", LEVELS)
def test_a_held_frame_costs_nothing_and_stays_bit_for_bit(engine: Counting, level: Reuse) -> None:
    reuse, frame = reuser(engine, level), real_frame(160, 120)
    first = reuse(frame)[0].clone()
    assert torch.equal(first, whole(engine, frame))
    engine.pixels = 0
    for _ in range(3):
        assert torch.equal(reuse(frame.clone())[0], first)
    assert engine.pixels == 0
    assert (reuse.work_asked, reuse.work_done) == (4, 1)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("top", "left"), [(0, 0), (57, 90), (114, 154)])
def test_a_small_mouth_moves_and_the_rest_stands(
    engine: Counting, level: Reuse, top: int, left: int
) -> None:
    """6 x 6 pixels of a frame of 160 x 120; in each frame they are drawn as they are."""
    reuse, still = reuser(engine, level), real_frame(160, 120)
    before = reuse(still)[0].clone()
    engine.pixels = 0
    for by in (40.0, -40.0, 15.0):
        frame = moved(still, top, left, 6, by)
        drawn, shown = reuse(frame)
        exact = whole(engine, frame)
        # Where the mouth is, and as far around as it changes what a viewer sees.
        here = (slice(None), slice(None), slice(SCALE * max(top - 1, 0), SCALE * (top + 7)),
                slice(SCALE * max(left - 1, 0), SCALE * (left + 7)))  # fmt: skip
        mouth = slice(top, top + 6), slice(left, left + 6)
        assert torch.equal(shown[:, :, *mouth], frame[:, :, *mouth])
        if level == "exact":
            assert torch.allclose(drawn, exact, rtol=0, atol=1e-6)
        inner = (drawn[here] - exact[here])[:, :, SCALE:-SCALE, SCALE:-SCALE]
        assert inner.abs().max() < (1e-6 if level == "exact" else 0.5 / 255)
    far = drawn[:, :, :, :100] if left > 80 else drawn[:, :, :, 200:]
    assert torch.equal(far, before[:, :, :, :100] if left > 80 else before[:, :, :, 200:])
    assert reuse.work_done < 2.0  # four frames


@pytest.mark.parametrize("level", LEVELS)
def test_a_slow_fade_never_falls_behind(engine: Counting, level: Reuse) -> None:
    """A tenth of a code value a frame: no two frames differ, the first and the last do."""
    reuse, still = reuser(engine, level), real_frame(96, 64)
    limit = {"exact": 1e-6, "safe": 1.2, "fast": 2.2}[level]
    for n in range(80):
        frame = still - n * 0.1 / 255
        _, shown = reuse(frame)
        behind = (shown - frame).square().mean().sqrt() * 255
        assert behind <= limit, n
    assert reuse.work_done > 2


class Together(Counting):
    """An engine that takes several pictures at once; how many at a time."""

    def infer_many(self, pictures: Sequence[Tensor], memory_pixels: int) -> list[Tensor]:
        self.calls: list[int] = [*getattr(self, "calls", []), len(pictures)]
        assert sum(one.shape[2] * one.shape[3] for one in pictures) <= memory_pixels
        return [self(one) for one in pictures]


@pytest.mark.parametrize("level", LEVELS)
def test_what_changed_is_drawn_together_where_the_engine_can(
    engine: Counting, level: Reuse
) -> None:
    """In one call for each frame, and the same as by an engine that cannot."""
    torch.manual_seed(0)
    network = SRVGGNetCompact(num_feat=8, num_conv=4, upscale=SCALE).requires_grad_(False)
    able = Together(network, device=engine.device, dtype=torch.float32, precision="fp32")
    one, other = (reuser(each, level) for each in (engine, able))
    still = real_frame(320, 180)
    for by in (0.0, 50.0, -40.0):
        frame = moved(moved(still, 4, 4, 6, by), 170, 300, 6, by)
        assert torch.equal(one(frame)[0], other(frame)[0])
    assert able.calls == [2, 2]


def test_a_cut_draws_the_whole_frame(engine: Counting) -> None:
    reuse, frame = reuser(engine, "fast"), real_frame(160, 120)
    reuse(frame)
    other = frame.flip(3)
    assert torch.equal(reuse(other)[0], whole(engine, other))
    assert reuse.work_done == 2


def test_another_size_and_forgetting_begin_anew(engine: Counting) -> None:
    reuse, frame = reuser(engine, "safe"), real_frame(96, 64)
    reuse(frame)
    reuse(frame[:, :, :32])
    assert reuse.work_done == 2
    reuse.forget()
    reuse(frame[:, :, :32])
    assert reuse.work_done == 3


def test_after_a_failure_nothing_half_drawn_is_used(
    engine: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    reuse, still = reuser(engine, "safe"), real_frame(160, 120)
    reuse(still)
    frame = moved(moved(still, 10, 10, 6, 50.0), 100, 140, 6, 50.0)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_network", None)
        with pytest.raises(TypeError):
            reuse(frame)
    assert torch.equal(reuse(frame)[0], whole(engine, frame))


@pytest.mark.parametrize("density", [0.002, 0.02, 0.1, 0.5, 1.0])
def test_every_changed_block_is_covered_once_and_cheaply(density: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        changed = rng.random((17, 30)) < density
        count = np.zeros(changed.shape, int)
        cost = 0.0
        for top, bottom, left, right in cover(changed, 1.125):
            count[top:bottom, left:right] += 1
            cost += (bottom - top + 2.25) * (right - left + 2.25)
        assert count.max(initial=0) <= 1
        assert (count >= changed).all()
        assert cost <= (17 + 2.25) * (30 + 2.25) + 1e-9


def window(step: tuple[float, float], n: int) -> Tensor:
    """(1, 3, 112, 160) of a real frame, `step` (right, down) further for each frame."""
    left, top = 40 + round(step[0] * n), 20 + round(step[1] * n)
    return real_frame(320, 180)[:, :, top : top + 112, left : left + 160].contiguous()


@pytest.mark.parametrize("level", ["safe", "fast"])
@pytest.mark.parametrize("step", [(2, 0), (-3, 0), (0, 4), (-4, 3)])
def test_a_pan_by_whole_pixels_draws_what_comes_in(
    engine: Counting, level: Reuse, step: tuple[int, int]
) -> None:
    reuse = reuser(engine, level)
    reuse(window(step, 0))
    for n in range(1, 7):
        frame = window(step, n)
        drawn, source = reuse(frame)
        error = (drawn - whole(engine, frame)).abs()
        # What went out of the picture on the other side was drawn with more around it.
        inner = (..., slice(16, -16), slice(16, -16))
        assert float(error[inner].max()) < 0.5 / 255  # less than all of the halo is seen
        torch.testing.assert_close(source, frame)
    assert reuse.work_done < 1 + 6 * 0.6


def test_exact_moves_nothing(engine: Counting) -> None:
    """The same pixels drawn elsewhere may be rounded otherwise."""
    reuse = reuser(engine, "exact")
    reuse(window((2, 0), 0))
    drawn, _ = reuse(window((2, 0), 1))
    assert torch.equal(drawn, whole(engine, window((2, 0), 1)))
    assert reuse.work_done == 2


def test_a_network_that_takes_pixels_in_pairs_is_moved_by_pairs() -> None:
    torch.manual_seed(0)
    network = RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, scale=2).requires_grad_(False)
    pairs = Counting(network, device=torch.device("cpu"), dtype=torch.float32, precision="fp32")
    work = {}
    for step in (3, 4):
        reuse = reuser(pairs, "safe", 8)
        for n in range(4):
            drawn, _ = reuse(window((step, 0), n))
        error = (drawn - whole(pairs, window((step, 0), 3))).abs()
        assert float(error[..., 40:-40, 60:-60].max()) < 2 / 255
        work[step] = reuse.work_done
    assert work[4] < work[3]


@pytest.mark.parametrize("left", [80, 86])
def test_a_title_that_stands_while_the_picture_pans_keeps_its_edge(
    engine: Counting, left: int
) -> None:
    """Also where its edge lies between two blocks: it did not move with what is around it."""
    reuse = reuser(engine, "safe")
    for n in range(4):
        frame = window((3, 0), n)
        frame[:, :, 48:64, left : left + 32] = torch.tensor([0.9, 0.1, 0.1])[None, :, None, None]
        drawn, _ = reuse(frame)
        error = (drawn - whole(engine, frame)).abs()
        assert float(error[..., 16:-16, 32:-32].max()) < 2 / 255
