"""The pumping of light goes; fades, cuts, flashes and what moves stay."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest
import torch

from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.stages.temporal.deflicker import RADIUS, deflicker

LAYOUT = Layout(family="yuv", sub_x=1, sub_y=1)
COLOUR = Colour(matrix=Matrix.BT709, range=Range.LIMITED)


def texture(seed: int) -> torch.Tensor:
    """(72, 128) light, 0.1..0.8."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 9, 16, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(72, 128), mode="bilinear")
    return 0.1 + 0.7 * smooth[0, 0]


def frame(n: int, light: torch.Tensor, *, fresh: bool = False) -> Frame:
    luma = (16 + 219 * light).round().clamp(0, 255).byte()
    grey = torch.full((36, 64), 128, dtype=torch.uint8)
    return Frame(
        planes=(luma, grey, grey), layout=LAYOUT, colour=COLOUR, pts=n, duration=1,
        time_base=Fraction(1, 24), fresh=fresh,
    )  # fmt: skip


def gains(pictures: Sequence[torch.Tensor]) -> list[float]:
    done = list(deflicker(frame(n, light) for n, light in enumerate(pictures)))
    assert [f.pts for f in done] == list(range(len(pictures)))
    return [f.gain for f in done]


def test_pumping_goes() -> None:
    pump = 1 + 0.1 * (torch.rand(40, generator=torch.Generator().manual_seed(1)) - 0.5)
    found = torch.tensor(gains([texture(0) * p for p in pump]))
    inner = slice(RADIUS, -RADIUS)
    assert float((pump * found)[inner].std()) < 0.4 * float(pump[inner].std())
    assert float((pump * found).std()) < 0.5 * float(pump.std())  # with both ends


def test_a_steady_picture_is_left_alone() -> None:
    assert gains([texture(0)] * 12) == pytest.approx([1.0] * 12, abs=1e-6)
    assert gains([texture(0)]) == [1.0]


def test_a_fade_stays() -> None:
    fade = [0.4 * 1.03**n for n in range(30)]
    assert gains([texture(0) * f for f in fade]) == pytest.approx([1.0] * 30, abs=0.004)


def test_nothing_passes_a_cut() -> None:
    dark = [texture(0) * 0.6] * 12
    bright = [texture(5) * 1.1] * 12
    assert gains([*dark, *bright]) == pytest.approx([1.0] * 24, abs=1e-6)


def test_a_flash_stays_and_touches_nothing() -> None:
    pictures = [texture(0) * 0.6] * 15
    pictures[7] = texture(0) * 1.2
    assert gains(pictures) == pytest.approx([1.0] * 15, abs=1e-6)


def test_what_moves_does_not_pump_the_rest() -> None:
    pictures = []
    for n in range(20):
        light = texture(0).clone()
        light[20:50, 4 * n : 4 * n + 24] = 0.95 if n % 2 else 0.8
        pictures.append(light)
    assert gains(pictures) == pytest.approx([1.0] * 20, abs=0.004)


def test_what_cannot_be_seen_does_not_count() -> None:
    layout = Layout(family="rgb", alpha=True)
    frames = []
    for n in range(12):
        shade, alpha = torch.full((64, 64), 60, dtype=torch.uint8), torch.zeros(64, 64).byte()
        alpha[:, :20] = 255
        shade[:, 20:] = 150 if n % 2 else 120
        frames.append(
            Frame(
                planes=(shade, shade, shade, alpha), layout=layout, colour=COLOUR, pts=n,
                duration=1, time_base=Fraction(1, 24),
            )
        )  # fmt: skip
    assert [f.gain for f in deflicker(frames)] == pytest.approx([1.0] * 12, abs=1e-6)


def test_it_does_not_matter_where_one_begins() -> None:
    pump = 1 + 0.1 * (torch.rand(40, generator=torch.Generator().manual_seed(2)) - 0.5)
    pictures = [texture(0) * p for p in pump[:20]] + [texture(3) * p for p in pump[20:]]
    whole = gains(pictures)
    for begin in (3, 17, 20, 26):
        assert gains(pictures[begin:])[RADIUS:] == whole[begin + RADIUS :]


def test_what_is_fresh_knows_nothing_of_the_past() -> None:
    one, other = [texture(0) * (1 + 0.05 * (n % 2)) for n in range(8)], [texture(0) * 1.3] * 4
    frames = [frame(n, x, fresh=n in (0, 8)) for n, x in enumerate([*one, *other])]
    assert [f.gain for f in deflicker(frames)] == [*gains(one), *gains(other)]
