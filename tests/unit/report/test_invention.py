"""Promises: what is invented is found where it is; a classical enlargement invents nothing; a
network is unsure where it draws something else of the mirrored picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.support.shots import texture
from vsr.engine.torch_engine import TorchEngine
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.report.invention import doubt, heat, invention
from vsr.stages.consistency import classical_enlargement, enlarged, reduced

SCALE = (4.0, 4.0)
LARGE, SMALL = (160, 96), (40, 24)


def source() -> Tensor:
    return reduced(texture(LARGE[1], LARGE[0])[:, :1], SMALL, SCALE)


def rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


def test_the_consistent_enlargement_becomes_the_source_again() -> None:
    small = source()
    plain = rms(reduced(enlarged(small, LARGE, SCALE), SMALL, SCALE) - small)
    found = rms(reduced(classical_enlargement(small, LARGE, SCALE), SMALL, SCALE) - small)
    assert found < plain / 5


def test_what_was_added_is_found_where_it_was_added() -> None:
    small = source()
    pattern = torch.ones(1, 1, 96, 160)
    pattern[..., ::2] = -1
    result = classical_enlargement(small, LARGE, SCALE)
    result[..., 100:] += 0.05 * pattern[..., 100:]
    found = invention(small, result, SCALE)
    assert found.rms.shape == (96, 160)
    there, elsewhere = found.rms[:, 110:150], found.rms[:, :80]
    assert abs(float(there.mean()) - 0.05) < 0.01
    assert float(elsewhere.max()) < 0.005
    assert (
        invention(small, classical_enlargement(small, LARGE, SCALE), SCALE).share
        < 0.001
        < found.share
    )


def test_what_the_source_says_is_not_invented() -> None:
    """Other light, and blur: what the source would show as well is no invention."""
    small = source()
    found = invention(small, classical_enlargement(small, LARGE, SCALE) + 0.1, SCALE)
    assert found.share < 0.001


def test_the_map_is_clear_where_nothing_is_invented_and_opaque_where_much_is() -> None:
    small = source()
    result = classical_enlargement(small, LARGE, SCALE)
    result[..., 100::2] += 0.3
    result[..., 101::2] -= 0.3
    drawn = heat(invention(small, result, SCALE).rms)
    assert drawn.dtype == torch.uint8
    assert drawn.shape == (24, 40, 4)
    assert int(drawn[:, :20, 3].max()) < 60
    assert int(drawn[:, 28:, 3].min()) > 200


class Drawing(TorchEngine):
    """Enlarges as bicubic does; in the lower half it draws what is to the right, too."""

    def __init__(self, by: float) -> None:
        network = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=4)
        super().__init__(network, device=torch.device("cpu"), dtype=torch.float32, precision="fp32")
        self.by = by

    def __call__(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        large = enlarged(x, (width * 4, height * 4), SCALE)
        low = large[:, :, height * 2 :]
        low += self.by * (low.roll(-1, 3) - low)
        return large


def test_who_draws_the_same_of_a_mirrored_picture_is_sure() -> None:
    found = doubt(Drawing(0.0), source().expand(1, 3, -1, -1))
    assert found is not None
    assert found.shape == (96, 160)
    assert float(found.max()) < 1e-5


def test_who_draws_something_else_of_it_is_unsure_there() -> None:
    small = source().expand(1, 3, -1, -1)
    found = doubt(Drawing(0.5), small)
    assert found is not None
    above, below = found[:30], found[66:]
    assert float(above.max()) < 1e-5
    # Of the one the right neighbour is drawn by half, of the other what is to the left.
    large = enlarged(small[:, :1], LARGE, SCALE)
    step = (large.roll(-1, 3) - large.roll(1, 3))[0, 0, :, 8:-8].abs() / 2
    assert abs(float(below[:, 8:-8].mean()) / float(step[66:].mean()) - 1) < 0.1
    flat = doubt(Drawing(0.5), torch.full((1, 3, 24, 40), 0.5))
    assert flat is not None
    assert float(flat.max()) < 1e-5


def test_a_network_that_overflows_has_no_doubts_to_show() -> None:
    assert doubt(Drawing(torch.inf), source().expand(1, 3, -1, -1)) is None
