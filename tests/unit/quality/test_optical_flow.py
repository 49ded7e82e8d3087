"""Promise: temporal metrics of known motion and known noise are what arithmetic says."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import Tensor

from vsr.errors import UsageError
from vsr.quality.optical_flow import dis, enlarged, visible, warp
from vsr.quality.temporal import flicker, still, tof, warping_error

HEIGHT, WIDTH = 90, 120


def scene(x: int, y: int, seed: int = 0) -> Tensor:
    """(3, H, W) of a large noisy picture, seen from (x, y); smooth enough to find motion in."""
    generator = torch.Generator().manual_seed(seed)
    large = torch.rand(3, 160, 200, generator=generator)
    for _ in range(3):
        large = torch.nn.functional.avg_pool2d(large[None], 5, stride=1, padding=2)[0]
    large = (large - large.min()) / (large.max() - large.min())
    return large[:, y : y + HEIGHT, x : x + WIDTH].clone()


def constant(x: float, y: float) -> Tensor:
    return torch.tensor((float(x), float(y))).view(2, 1, 1).expand(2, HEIGHT, WIDTH).clone()


@pytest.mark.parametrize("step", [(0, 0), (3, 0), (-2, 5)])
def test_a_translation_has_no_warping_error(step: tuple[int, int]) -> None:
    """The camera moves by `step`: what is at p now was at p + step before."""
    before, now = scene(20, 20), scene(20 + step[0], 20 + step[1])
    back, there = constant(*step), constant(*(-s for s in step))
    seen = visible(back, there)
    assert int(seen.sum()) == (HEIGHT - abs(step[1])) * (WIDTH - abs(step[0]))
    assert warping_error(before, now, back, seen) < 1e-10
    if any(step):
        assert warping_error(before, now, torch.zeros_like(back), seen) > 1e-4


@pytest.mark.parametrize("sigma", [0.01, 0.05])
def test_noise_has_twice_its_variance_as_warping_error(sigma: float) -> None:
    torch.manual_seed(1)
    before, now = scene(20, 20), scene(23, 20)
    before, now = (x + sigma * torch.randn_like(x) for x in (before, now))
    seen = visible(constant(3, 0), constant(-3, 0))
    error = warping_error(before, now, constant(3, 0), seen)
    assert error == pytest.approx(2 * sigma**2, rel=0.03)  # 31,000 samples: 0.8 % is one sigma


def test_half_a_pixel_is_the_mean_of_its_neighbours() -> None:
    before = scene(0, 0)
    moved = warp(before, constant(0.5, 0))
    mean = (before[:, :, :-1] + before[:, :, 1:]) / 2
    assert torch.allclose(moved[:, :, :-1], mean, atol=1e-5)


def test_what_is_uncovered_is_not_seen() -> None:
    """A square of 30 moves by 10 to the right over what stands still."""
    there, back = constant(0, 0), constant(0, 0)
    there[0, 30:60, 40:70] = 10  # of the frame before: where each pixel goes
    back[0, 30:60, 50:80] = -10  # of the frame now: where each pixel was
    seen = visible(back, there)
    uncovered = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    uncovered[30:60, 40:50] = True
    assert not (seen & uncovered).any()
    # Beside it, only the square's own rim is lost.
    assert int((~seen & ~uncovered).sum()) < 200


def test_nothing_seen_is_not_a_number() -> None:
    nothing = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    assert math.isnan(warping_error(scene(0, 0), scene(0, 0), constant(0, 0), nothing))
    assert math.isnan(flicker(scene(0, 0)[0], scene(0, 0)[0], nothing, 255))


@pytest.mark.parametrize("bits", [8, 10])
def test_flicker_of_known_noise(bits: int) -> None:
    """Mean |a - b| of two normal numbers is 2 sigma / sqrt(pi); in codes of 8 bits at any depth."""
    torch.manual_seed(2)
    peak = float((1 << bits) - 1)
    luma = scene(0, 0)[0] * peak
    where = still(luma, luma, peak)
    assert bool(where.all())
    sigma = 3 * peak / 255
    one, two = (luma + sigma * torch.randn(HEIGHT, WIDTH) for _ in range(2))
    value = flicker(one, two, where, peak)
    assert value == pytest.approx(2 * 3 / math.sqrt(math.pi), rel=0.03)
    assert flicker(luma, luma, where, peak) == 0


def test_flicker_looks_only_where_the_reference_stands_still() -> None:
    before = torch.full((HEIGHT, WIDTH), 100.0)
    now = before.clone()
    now[:, 60:] += 50  # the right half moves
    where = still(before, now, 255)
    assert bool(where[:, :57].all())
    assert not where[:, 60:].any()
    output = before.clone()
    output[:, :30] += 4
    output[:, 60:] += 200
    count = int(where.sum())
    assert flicker(before, output, where, 255) == pytest.approx(4 * 30 * HEIGHT / count)


def test_tof_is_the_l1_of_the_motion_error() -> None:
    field = constant(1, -2)
    assert tof(field, field) == 0
    errors = [tof(field, field + torch.tensor((e, -2 * e)).view(2, 1, 1)) for e in (0.1, 0.5, 2.0)]
    assert errors == pytest.approx([0.3, 1.5, 6.0])


def test_a_field_of_a_smaller_copy() -> None:
    full = enlarged(torch.ones(2, 30, 60), 90, 120)
    assert full.shape == (2, 90, 120)
    assert torch.allclose(full[0], torch.tensor(2.0))
    assert torch.allclose(full[1], torch.tensor(3.0))


@pytest.mark.parametrize("step", [(3, 0), (-2, 4)])
def test_opencv_finds_a_translation(step: tuple[int, int]) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV, of the extra `metrics`")
    before, now = scene(20, 20)[0], scene(20 + step[0], 20 + step[1])[0]
    field = enlarged(dis()(now, before), HEIGHT, WIDTH)
    inside = field[:, 15:-15, 15:-15]
    for n in (0, 1):
        assert float(inside[n].median()) == pytest.approx(step[n], abs=0.2)


def test_opencv_looks_at_a_bounded_size() -> None:
    pytest.importorskip("cv2", reason="needs OpenCV, of the extra `metrics`")
    field = dis()(torch.rand(1080, 1920), torch.rand(1080, 1920))
    assert field.shape == (2, 360, 640)


def test_without_opencv_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UsageError, match=r"vsr-upscale\[metrics\]"):
        dis()
