"""Grain comes back as strong, as coarse and as coloured as it was; where there was none, none."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.stages.temporal.grain import add_grain, bytes_for

HEIGHT, WIDTH = 144, 192


def picture() -> Tensor:
    """(1, 3, 144, 192): smooth light from dark to bright, with a few edges."""
    across = torch.linspace(0.1, 0.85, WIDTH).expand(1, 3, HEIGHT, WIDTH).clone()
    across[:, :, 40:60, 60:90] = 0.3
    across[:, :, 100:120, 20:50] = 0.6
    return across


def made_noise(strength: float, *, coarse: int = 0, seed: int = 0) -> Tensor:
    """(1, 3, 144, 192), standard deviation in code values; most in luma, red more than blue."""
    generator = torch.Generator().manual_seed(seed)
    colour = torch.randn(1, 3, HEIGHT, WIDTH, generator=generator)
    colour *= torch.tensor([0.7, 0.5, 0.3])[None, :, None, None]
    noise = colour + torch.randn(1, 1, HEIGHT, WIDTH, generator=generator)
    for _ in range(coarse):
        noise = F.avg_pool2d(F.pad(noise, (1,) * 4, mode="circular"), 3, stride=1)
    return noise / noise.std() * strength / 255


def rounded(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round() / 255


def enlarged(x: Tensor, scale: float) -> Tensor:
    size = (round(HEIGHT * scale), round(WIDTH * scale))
    return F.interpolate(x, size=size, mode="bicubic", antialias=True)


def as_source(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, (HEIGHT, WIDTH))


def light(x: Tensor) -> Tensor:
    return (x[0] * torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]).sum(0)


def beside(x: Tensor) -> float:
    """How alike a pixel and the one on its right are."""
    return float((x[:, 1:] * x[:, :-1]).mean() / x.square().mean())


@pytest.mark.parametrize("scale", [1, 1.5, 2, 4])
@pytest.mark.parametrize(("strength", "coarse"), [(3.0, 0), (8.0, 0), (5.0, 1), (10.0, 1)])
def test_made_as_small_as_the_source_it_has_the_sources_noise(
    scale: float, strength: float, coarse: int
) -> None:
    noise = made_noise(strength, coarse=coarse)
    drawn = enlarged(picture(), scale)
    grained = add_grain(drawn, rounded(picture() + noise), share=1, seed=1)
    back = as_source(grained - drawn)
    assert float(light(back).std() / light(noise).std()) == pytest.approx(1, abs=0.1)
    assert beside(light(back)) == pytest.approx(beside(light(noise)), abs=0.15)
    for channel in range(3):
        ratio = float(back[0, channel].std() / noise[0, channel].std())
        assert ratio == pytest.approx(1, abs=0.12), channel


def test_what_the_network_kept_is_not_put_on_twice() -> None:
    noise = made_noise(8)
    source, drawn = rounded(picture() + noise), enlarged(picture() + 0.6 * noise, 2)
    grained = add_grain(drawn, source, share=1, seed=1)
    left = as_source(drawn) - picture()
    missing = (light(noise).var() - light(left).var()).sqrt()
    added = light(as_source(grained - drawn)).std()
    assert float(added / missing) == pytest.approx(1, abs=0.12)


def test_it_is_as_strong_for_each_brightness() -> None:
    bright = picture()[:, :1] > 0.5
    noise = made_noise(1) * torch.where(bright, 3.0, 7.0)
    drawn = enlarged(picture(), 2)
    back = light(as_source(add_grain(drawn, rounded(picture() + noise), share=1, seed=1) - drawn))
    dark, lit = float(back[:, 10:60].std()), float(back[:, 140:180].std())
    assert dark * 255 == pytest.approx(float(light(made_noise(7)).std()) * 255, rel=0.2)
    assert lit * 255 == pytest.approx(float(light(made_noise(3)).std()) * 255, rel=0.2)


def test_a_few_cells_do_not_decide_for_their_brightness() -> None:
    """A small bright sign without noise: what is measured of the rest counts there, too."""
    clean = torch.linspace(0.1, 0.5, WIDTH).expand(1, 3, HEIGHT, WIDTH).clone()
    clean[:, :, 48:80, 64:96] = 0.85
    noise = made_noise(6)
    noise[:, :, 48:80, 64:96] = 0
    drawn = enlarged(clean, 2)
    back = light(as_source(add_grain(drawn, rounded(clean + noise), share=1, seed=1) - drawn))
    assert float(back[52:76, 68:92].std() / back[:40].std()) == pytest.approx(1, abs=0.25)


def test_a_share_is_that_share() -> None:
    drawn, source = enlarged(picture(), 2), rounded(picture() + made_noise(6))
    whole = add_grain(drawn, source, share=1, seed=1) - drawn
    part = add_grain(drawn, source, share=0.3, seed=1) - drawn
    torch.testing.assert_close(part, 0.3 * whole, atol=1e-6, rtol=0)


def test_a_clean_picture_stays_as_it_was_drawn() -> None:
    drawn = enlarged(picture(), 2)
    assert add_grain(drawn, rounded(picture()), share=1, seed=1).equal(drawn)


def test_texture_that_was_lost_is_no_grain() -> None:
    """A third of the picture had some that was drawn away; the rest is as it was."""
    source = picture()
    source[:, :, :48] += made_noise(6, coarse=1)[:, :, :48]
    drawn = enlarged(picture(), 2)
    assert add_grain(drawn, rounded(source), share=1, seed=1).equal(drawn)


def test_bars_stay_black_and_white_stays_white() -> None:
    clean = picture()
    clean[:, :, :24], clean[:, :, -24:] = 0, 1
    noise = made_noise(8)
    noise[:, :, :24], noise[:, :, -24:] = 0, 0
    drawn = F.interpolate(clean, scale_factor=2)
    grained = add_grain(drawn, rounded(clean + noise), share=1, seed=1)
    assert float(light(grained - drawn)[60:-60].std()) > 4 / 255
    for edge in (slice(0, 40), slice(-40, None)):
        assert grained[:, :, edge].equal(drawn[:, :, edge])


def test_frames_have_grain_of_their_own_and_equal_strength() -> None:
    drawn = enlarged(picture(), 2)
    backs = [
        add_grain(drawn, rounded(picture() + made_noise(6, coarse=1, seed=n)), share=1, seed=n)
        - drawn
        for n in range(8)
    ]
    strengths = torch.stack([light(back).std() for back in backs])
    assert float(strengths.std() / strengths.mean()) < 0.04
    for one, other in pairwise(backs):
        alike = (one * other).mean() / (one.std() * other.std())
        assert abs(float(alike)) < 0.05


def test_the_same_frame_has_the_same_grain() -> None:
    drawn, source = enlarged(picture(), 2), rounded(picture() + made_noise(6))
    one, other = (add_grain(drawn, source, share=1, seed=2**62 + 5) for _ in range(2))
    assert one.equal(other)


@pytest.mark.parametrize("size", [(3, 5), (20, 20), (16, 400)])
def test_too_little_to_see_is_left_alone(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    source = 0.5 + 0.02 * torch.randn(1, 3, *size, generator=generator)
    drawn = torch.full((1, 3, 2 * size[0], 2 * size[1]), 0.5)
    assert add_grain(drawn, source, share=1, seed=0).shape == drawn.shape


def test_what_is_not_a_number_ends_nothing() -> None:
    """Such a frame is drawn again; until then it passes through here."""
    drawn = enlarged(picture(), 2)
    drawn[0, 0, 10, 10] = torch.nan
    add_grain(drawn, rounded(picture() + made_noise(6)), share=1, seed=0)
    add_grain(drawn * torch.nan, rounded(picture()), share=1, seed=0)


def test_smaller_than_the_source() -> None:
    noise = made_noise(8)
    clean = 0.3 + 0.3 * picture()
    drawn = F.avg_pool2d(clean, 2)
    grained = add_grain(drawn, rounded(clean + noise), share=1, seed=1)
    expected = light(F.avg_pool2d(noise, 2)).std()
    assert float(light(grained - drawn).std() / expected) == pytest.approx(1, abs=0.15)


def test_memory_grows_with_the_pictures() -> None:
    assert bytes_for(100, 1600) < bytes_for(100, 3200) < bytes_for(200, 3200)


def test_what_is_transparent_does_not_count() -> None:
    """It was filled in, and is as smooth as nothing else."""
    noise = made_noise(6)
    clean = picture()
    clean[..., :96] = 0.4
    noise[..., :96] = 0
    alpha = torch.ones(1, 1, HEIGHT, WIDTH)
    alpha[..., :96] = 0
    drawn = enlarged(clean, 2)
    grained = add_grain(drawn, rounded(clean + noise), share=1, seed=1, alpha=alpha)
    back = light(as_source(grained - drawn))[:, 100:]
    assert float(back.std() / light(noise)[:, 100:].std()) == pytest.approx(1, abs=0.15)
