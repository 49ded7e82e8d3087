"""Promise: colours stay the source's, and details stay the network's."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.unit.stages.device.test_tiles import real_engine, real_frame
from vsr.stages.colour.drift_correction import correct_drift
from vsr.stages.device.tiles import infer


@pytest.mark.parametrize("name", ["realesr-animevideov3", "RealESRGAN_x4plus_anime_6B"])
@pytest.mark.parametrize("colour", [(0.75, 0.75, 0.0), (0.0, 0.75, 0.75), (1.0, 0.0, 0.0)])
def test_flat_colours_are_the_sources(name: str, colour: tuple[float, float, float]) -> None:
    x = torch.tensor(colour).reshape(1, 3, 1, 1).expand(1, 3, 32, 32).contiguous()
    with torch.inference_mode():
        drawn = infer(real_engine(name), x, tile=0, overlap=0)
        drift = (F.avg_pool2d(drawn, 4) - x).abs().max() * 255
        kept = correct_drift(drawn.clone(), x)
    rest = (F.avg_pool2d(kept, 4) - x).abs().max() * 255
    print(f"{name} {colour}: {drift:.1f}/255 by itself, {rest:.2f}/255 anchored")
    assert rest < 2
    assert drift > 3  # there is something to take out


def test_a_real_picture_keeps_its_details_and_comes_nearer_to_the_source() -> None:
    x = real_frame(160, 120)
    with torch.inference_mode():
        drawn = infer(real_engine("realesr-animevideov3"), x, tile=0, overlap=0)
        kept = correct_drift(drawn.clone(), x)
    before, after = ((F.avg_pool2d(y, 4) - x).square().mean() for y in (drawn, kept))
    assert after < before
    change = kept - drawn
    # What is taken out varies slowly: neighbouring pixels change alike.
    assert change.diff(dim=3).abs().max() * 255 < 0.5
    assert change.diff(dim=2).abs().max() * 255 < 0.5


def test_detail_that_averages_out_is_left_alone() -> None:
    source = torch.full((1, 3, 40, 40), 0.5)
    drawn = F.interpolate(source, scale_factor=4.0)
    pattern = torch.tensor([0.1, -0.1]).repeat(80)
    drawn += pattern * pattern[:, None] * 10
    assert torch.allclose(correct_drift(drawn.clone(), source), drawn, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (3, 9), (4, 8), (21, 30)])
def test_what_is_taken_out_is_the_smoothed_cells_enlarged(
    scale: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    height, width = size
    source, drawn = torch.rand(2, 3, height, width), torch.rand(2, 3, height * scale, width * scale)
    cell = 4 * scale
    cells = F.avg_pool2d(drawn, cell, ceil_mode=True) - F.avg_pool2d(source, 4, ceil_mode=True)
    kernel = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])) / 16
    padded = F.pad(cells, (1, 1, 1, 1), mode="replicate")
    smooth = F.conv2d(padded, kernel.expand(3, 1, 3, 3), groups=3)
    drift = F.interpolate(smooth, scale_factor=cell, mode="bilinear", align_corners=False)
    expected = drawn - drift[:, :, : height * scale, : width * scale]
    for order in (torch.contiguous_format, torch.channels_last):
        assert torch.allclose(
            correct_drift(drawn.clone(memory_format=order), source), expected, atol=1e-5
        )
