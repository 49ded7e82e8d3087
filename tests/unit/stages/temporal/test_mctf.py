"""Promises: flicker falls; what moves, begins, ends, flashes or fades is left as it was drawn."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from tests.support.shots import noisy, panned, texture
from vsr.stages.temporal.mctf import LEVELS, Strength, TemporalFilter

STRENGTHS: list[Strength] = ["light", "strong"]


def filtered(
    strength: Strength, sources: list[Tensor], drawn: list[Tensor], begin: int = 0
) -> list[Tensor]:
    """Through a stream of their own; also proves that each comes back once, in order."""
    temporal_filter: TemporalFilter[int] = TemporalFilter(strength)
    done = []
    for n in range(begin, len(sources)):
        done += temporal_filter.push(sources[n], drawn[n], n, first=n == begin)
        assert len(done) == max(n - begin + 1 - temporal_filter.temporal_radius, 0)
    done += temporal_filter.flush()
    assert [token for token, _ in done] == list(range(begin, len(sources)))
    return [x for _, x in done]


def unrest(pictures: list[Tensor]) -> float:
    """Mean change from frame to frame, in code values."""
    return float(torch.cat(pictures).diff(dim=0).abs().mean()) * 255


@pytest.mark.parametrize("strength", STRENGTHS)
def test_flicker_of_a_still_picture_falls_as_a_mean_of_the_window_does(strength: Strength) -> None:
    """Of n frames with independent noise the variance is 1 / n, the change from frame to frame
    too, since neighbouring means share all but two frames.
    """
    sources, still = panned(16, (48, 64), (0, 0), 4)
    drawn = noisy(still, 4.0)
    temporal_radius = LEVELS[strength].temporal_radius
    inner = slice(temporal_radius, 16 - temporal_radius)
    out = filtered(strength, noisy(sources, 2.0, seed=2), drawn)[inner]
    share = 1 / (2 * temporal_radius + 1)
    assert unrest(out) == pytest.approx(unrest(drawn[inner]) * share, rel=0.15)
    left = (torch.cat(out) - still[0]).var() / (torch.cat(drawn) - still[0]).var()
    assert float(left) == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_pan_is_followed_to_the_pixel(strength: Strength, scale: int) -> None:
    """By 4 and -3 output pixels a frame; new content comes in at the sides, and is left out."""
    sources, still = panned(10, (72, 96), (4, -3), scale, seed=3)
    sharp = filtered(strength, sources, still)
    inner = (..., slice(16, -16), slice(16, -16))
    lost = (torch.cat(sharp) - torch.cat(still))[inner].abs()
    print(f"{lost.mean() * 255:.3f} on average, {lost.max() * 255:.1f} at most")
    assert lost.mean() * 255 < 0.25  # half steps of the source, at scale 2
    drawn = noisy(still, 4.0)
    out = filtered(strength, sources, drawn)
    before, after = ((torch.cat(x) - torch.cat(still))[inner].var() for x in (drawn, out))
    assert after < before * (0.5 if strength == "light" else 0.3)


@pytest.mark.parametrize("size", [(40, 64), (37, 51), (17, 33)])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_nothing_passes_a_cut(strength: Strength, size: tuple[int, int]) -> None:
    """Bit for bit as if each shot were alone; also where the shots have a black bar in common."""
    shots = [panned(6, size, (0, 0), 2, seed) for seed in (4, 5)]
    for sources, drawn in shots:
        for n in range(6):
            sources[n], drawn[n] = sources[n].clone(), drawn[n].clone()
            sources[n][:, :, -6:], drawn[n][:, :, -12:] = 0.0, 0.0
            drawn[n] = noisy([drawn[n]], 4.0, seed=n)[0]
            sources[n] = noisy([sources[n]], 2.0, seed=n + 9)[0]
    alone = [x for sources, drawn in shots for x in filtered(strength, sources, drawn)]
    sources, drawn = ([x for shot in shots for x in shot[i]] for i in (0, 1))
    assert all(
        torch.equal(a, b) for a, b in zip(filtered(strength, sources, drawn), alone, strict=True)
    )
    assert not torch.equal(alone[6], drawn[6])  # the first of a shot has its successors


@pytest.mark.parametrize("long", [1, 2])
def test_a_flash_is_kept_and_stays_where_it_is(long: int) -> None:
    sources, still = panned(10, (40, 64), (0, 0), 2, seed=6)
    drawn = noisy(still, 3.0)
    lit = range(5, 5 + long)
    for n in lit:
        sources[n], drawn[n] = 1 - (1 - sources[n]) * 0.4, 1 - (1 - drawn[n]) * 0.4
    out = filtered("strong", sources, drawn)
    if long == 1:
        assert torch.equal(out[5], drawn[5])
    for n in range(10):
        assert abs(float(out[n].mean() - drawn[n].mean())) * 255 < 0.2, n


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("drop", [0.5, 2.0, 8.0])
def test_a_fade_does_not_lag(strength: Strength, drop: float) -> None:
    """Also at its ends, where the frames on one side are brighter than those on the other."""
    sources, still = panned(12, (40, 64), (0, 0), 2, seed=7)
    gain = [1.0] * 4 + [1 - drop * (n + 1) / 255 * 2 for n in range(8)]
    sources = noisy([x * g for x, g in zip(sources, gain, strict=True)], 1.0)
    drawn = [x * g for x, g in zip(still, gain, strict=True)]
    for n, (x, plain) in enumerate(zip(filtered(strength, sources, drawn), drawn, strict=True)):
        assert abs(float((x - plain).mean())) * 255 < 1.0, n


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("step", [1, 3, 9])
def test_what_moves_leaves_no_ghost(strength: Strength, step: int) -> None:
    """A square of 10 source pixels over a still picture: the error does not grow anywhere."""
    count, scale = 9, 3
    sources, still = panned(count, (48, 96), (0, 0), scale, seed=8)
    piece = texture(10 * scale, 10 * scale, seed=9, rough=6) * 0.5
    truth = []
    for n in range(count):
        picture = still[n].clone()
        left = (4 + n * step) * scale
        picture[:, :, 60:90, left : left + 30] = piece
        truth.append(picture)
    sources = noisy([F.avg_pool2d(x, scale) for x in truth], 1.5)
    drawn = noisy(truth, 4.0)
    out = filtered(strength, sources, drawn)
    before, after = ((torch.cat(x) - torch.cat(truth)) * 255 for x in (drawn, out))
    # In squares of two source pixels: a ghost is more than a pixel.
    errors = [F.avg_pool2d(e.square().mean(1, keepdim=True), 2 * scale) for e in (before, after)]
    assert errors[1].mean() < errors[0].mean() * 0.6
    assert errors[1].amax() < errors[0].amax() * 1.5


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_part_with_its_neighbours_is_as_in_the_whole_film(strength: Strength) -> None:
    """Bit for bit, wherever a stream begins, `temporal_radius` frames earlier than it is needed."""
    sources, still = panned(12, (37, 51), (3, 1), 2, seed=10)
    sources, drawn = noisy(sources, 2.0), noisy(still, 5.0)
    whole = filtered(strength, sources, drawn)
    temporal_radius = LEVELS[strength].temporal_radius
    for begin in range(1, 12 - temporal_radius):
        part = filtered(strength, sources, drawn, begin)
        for n in range(begin + temporal_radius, 12):
            assert torch.equal(part[n - begin], whole[n]), (begin, n)


@pytest.mark.parametrize("size", [(5, 7), (4, 4), (18, 33), (45, 30), (1, 1), (3, 40)])
@pytest.mark.parametrize(
    "scale", [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (4.0, 4.0), (1.5, 1.5), (2.7, 2.0), (0.5, 0.5)]
)
def test_any_size_and_scale(size: tuple[int, int], scale: tuple[float, float]) -> None:
    """Held frames come back as they are, and noise falls."""
    source = texture(*size)
    large = (max(round(size[0] * scale[1]), 1), max(round(size[1] * scale[0]), 1))
    still = F.interpolate(source, size=large, mode="bicubic", antialias=True)
    for x in filtered("strong", [source] * 5, [still] * 5):
        assert x.shape == still.shape
        assert torch.allclose(x, still, atol=1e-6)
    drawn = noisy([still] * 7, 4.0)
    middle = filtered("strong", [source] * 7, drawn)[3]
    if still.numel() > 300:
        assert (middle - still).var() < (drawn[3] - still).var() * 0.3


def test_what_was_handed_in_is_left_alone_and_shared_with_nothing() -> None:
    sources, still = panned(5, (20, 24), (0, 0), 2)
    drawn = noisy(still, 3.0)
    copies = [x.clone() for x in (*sources, *drawn)]
    out = filtered("light", sources, drawn)
    for x in out:
        x.zero_()
    assert all(torch.equal(a, b) for a, b in zip((*sources, *drawn), copies, strict=True))


def test_another_size_and_first_begin_anew() -> None:
    temporal_filter: TemporalFilter[str] = TemporalFilter("light")
    sources, drawn = panned(3, (20, 24), (0, 0), 2)
    assert temporal_filter.push(sources[0], drawn[0], "a", first=True) == []
    done = temporal_filter.push(sources[1][:, :, :16], drawn[1][:, :, :32], "b")
    assert [token for token, _ in done] == ["a"]
    assert torch.equal(done[0][1], drawn[0])
    done = temporal_filter.push(sources[2][:, :, :16], drawn[2][:, :, :32], "c", first=True)
    assert [token for token, _ in done] == ["b"]
    assert [token for token, _ in temporal_filter.flush()] == ["c"]
    assert temporal_filter.flush() == []


def test_going_back_is_as_if_nothing_had_come() -> None:
    """Also where the frame that comes again is another: nothing is remembered of the first."""
    sources, still = panned(8, (24, 32), (0, 0), 2, seed=11)
    sources, drawn = noisy(sources, 2.0), noisy(still, 4.0)
    temporal_filter: TemporalFilter[int] = TemporalFilter("strong")
    done = []
    for n in range(8):
        before = temporal_filter.saved()
        temporal_filter.push(1 - sources[n], drawn[n], n)
        temporal_filter = before
        done += temporal_filter.push(sources[n], drawn[n], n)
    done += temporal_filter.flush()
    expected = filtered("strong", sources, drawn)
    assert all(torch.equal(x, plain) for (_, x), plain in zip(done, expected, strict=True))


@pytest.mark.parametrize("size", [(90, 160), (17, 33), (640, 2)])
@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_memory_is_as_announced(strength: Strength, scale: int, size: tuple[int, int]) -> None:
    """The most that was taken at any time is within the estimate, and a good part of it."""
    temporal_filter: TemporalFilter[None] = TemporalFilter(strength)
    count = 2 * temporal_filter.temporal_radius + 3
    sources, drawn = panned(count, size, (1, 0), scale)
    with (
        torch.inference_mode(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled,
    ):
        for source, large in zip(sources, drawn, strict=True):
            temporal_filter.push(source, large.clone(), None)
        temporal_filter.flush()
    taken = np.array([
        (event.start_ns(), event.nbytes())
        for event in profiled.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ])  # fmt: skip
    del profiled
    gc.collect()  # its events refer to each other: 27 times as many do not fit into 3 GB
    most = np.cumsum(taken[taken[:, 0].argsort(kind="stable"), 1]).max()
    announced = temporal_filter.bytes_for(size[1], size[0], scale)
    print(f"{most / announced:.2f} of {announced / 1e6:.1f} MB")
    assert 0.5 * announced < most < announced
