"""Promise: a consistent result, made smaller, is the source; and noise is not brought back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vsr.stages.consistency import (
    BackProjection,
    back_projected,
    classical_enlargement,
    enlarged,
    weakened,
)

PLAIN = BackProjection(steps=2)
GUARDED = BackProjection(steps=2, guarded=True)


def smaller(picture: Tensor, size: tuple[int, int]) -> NDArray[np.float64]:
    """Made smaller by Pillow, whose bicubic is the antialiased one."""
    planes = [
        Image.fromarray(plane.numpy()).resize(size, Image.Resampling.BICUBIC)
        for plane in picture[0].float()
    ]
    return np.stack([np.asarray(plane, np.float64) for plane in planes])


def error(picture: Tensor, source: Tensor) -> float:
    """How far the picture, made smaller, is from the source, in code values of 8 bit."""
    small = smaller(picture, (source.shape[3], source.shape[2]))
    return float(np.sqrt(np.square(small - source[0].double().numpy()).mean()) * 255)


def scene(height: int = 48, width: int = 64) -> Tensor:
    """Slopes, an edge, and a little texture."""
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    planes = [0.4 + 0.2 * torch.sin(6 * x + n) * torch.cos(5 * y) for n in range(3)]
    planes[0][10:30, 20:40] += 0.2
    return torch.stack(planes)[None] + 0.02 * torch.sin(40 * x) * (y > 0.5)


def drawn(source: Tensor, scale: int) -> Tensor:
    """What a network might make of it: other colours, other contrast, texture of its own."""
    height, width = (scale * side for side in source.shape[2:])
    large = enlarged(source, (width, height), (scale, scale)) * 0.9 + 0.03
    chance = torch.Generator().manual_seed(1)
    texture = torch.nn.functional.avg_pool2d(
        torch.randn(1, 3, height + 2, width + 2, generator=chance), 3, 1
    )
    return large + 0.05 * texture


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_two_steps_leave_a_fifth_of_the_error_at_most(scale: int) -> None:
    source = scene()
    before = drawn(source, scale)
    after = back_projected(before.clone(), source, PLAIN)
    assert error(after, source) < error(before, source) / 5
    more = back_projected(before.clone(), source, BackProjection(steps=5))
    assert error(more, source) < error(after, source) / 3


def test_detail_that_the_source_cannot_show_stays() -> None:
    source = scene()
    board = 0.1 * (torch.arange(192)[:, None] + torch.arange(256)).remainder(2).sub(0.5)
    before = classical_enlargement(source, (256, 192), (4, 4))
    after = back_projected(before + board, source, PLAIN)
    assert float((after - before - board).abs().mean()) < 0.3 / 255


def test_a_guard_brings_back_what_a_network_changed_of_a_clean_source() -> None:
    source = scene()
    before = drawn(source, 4)
    after = back_projected(before.clone(), source, GUARDED)
    assert error(after, source) < error(before, source) / 5


def test_a_guard_keeps_noise_out_that_the_network_removed() -> None:
    clean = scene()
    noisy = clean + 6 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    truth = enlarged(clean, (256, 192), (4, 4))
    before = truth + 0.05  # another colour, and no noise

    def left(picture: Tensor) -> float:
        return float((picture - truth).square().mean().sqrt()) * 255

    assert left(back_projected(before.clone(), noisy, PLAIN)) > 3.5  # the noise is back
    assert left(back_projected(before.clone(), noisy, GUARDED)) < 1.3  # the colour alone is


def test_strength_takes_from_the_high_band_alone() -> None:
    source = scene()
    full = drawn(source, 4)
    classical = classical_enlargement(source, (256, 192), (4, 4))
    none, half = (weakened(full.clone(), source, share) for share in (0.0, 0.5))
    for weaker in (none, half):  # what a smaller picture shows is what it was
        assert np.abs(smaller(weaker, (64, 48)) - smaller(full, (64, 48))).mean() < 0.6 / 255
    assert torch.allclose(half, (full + none) / 2, atol=1e-5)
    consistent = back_projected(full.clone(), source, PLAIN)
    plain = weakened(consistent.clone(), source, 0.0)
    assert float((consistent - classical).std()) > 6 * float((plain - classical).std())


def test_strength_leaves_a_picture_of_the_sources_size_and_the_source() -> None:
    source = scene()
    before = source.clone()
    assert torch.allclose(weakened(drawn(source, 1), source, 0.5), drawn(source, 1), atol=1e-5)
    assert torch.equal(source, before)


def test_a_batch_is_its_pictures_and_shapes_do_not_matter() -> None:
    sources = torch.cat([scene(), scene().flip(3)])
    before = torch.cat([drawn(one[None], 2) for one in sources])
    for asked in (PLAIN, GUARDED):
        together = back_projected(before.clone(), sources, asked)
        alone = [
            back_projected(b[None].clone(), s[None], asked)
            for b, s in zip(before, sources, strict=True)
        ]
        assert torch.equal(together, torch.cat(alone))
        for height, width in ((1, 1), (2, 3), (5, 40)):
            tiny = torch.rand(1, 1, height, width)
            large = torch.rand(1, 1, 4 * height, 4 * width)
            found = weakened(back_projected(large, tiny, asked), tiny, 0.5)
            assert torch.isfinite(found).all()


def test_what_is_not_a_number_stays_to_be_seen() -> None:
    source = scene()
    broken = drawn(source, 2)
    broken[0, 0, 5, 5] = torch.nan
    for asked in (PLAIN, GUARDED):
        assert not torch.isfinite(back_projected(broken.clone(), source, asked).sum())
    assert not torch.isfinite(weakened(broken.clone(), source, 0.5).sum())
