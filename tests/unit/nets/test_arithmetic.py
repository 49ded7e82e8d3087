"""Promises: a folded network is the network and an area reduction; a blend is the mean."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from vsr.errors import BrokenWeights
from vsr.nets.arithmetic import blend, fold_area
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.span import SPAN
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.grey import GreyNetwork
from vsr.nets.network import Network


@pytest.mark.parametrize(
    ("network", "factor"),
    [
        (SRVGGNetCompact(num_feat=8, num_conv=2, upscale=4), 2),
        (SRVGGNetCompact(num_feat=8, num_conv=2, upscale=4), 4),
        (SRVGGNetCompact(num_feat=8, num_conv=2, upscale=6), 3),
        (RRDBNet(num_feat=8, num_block=1, num_grow_ch=4), 2),
        (RRDBNet(num_feat=8, num_block=1, num_grow_ch=4), 4),
        (RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, scale=2), 2),
        (RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, scale=8), 4),
        (RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, scale=3), 3),
        (GreyNetwork(RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, channels=1)), 2),
        (SPAN(num_feat=8, scale=4), 2),
        (SPAN(num_feat=8, scale=4, norm=False), 4),
    ],
)
def test_fold_equals_the_reduction_afterwards(network: Network, factor: int) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 20, 12, dtype=torch.float64)
    network = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        plain = F.avg_pool2d(network(x), factor)
        scale = network.scale
        folded = fold_area(network, factor)
        assert folded.scale == scale // factor
        assert torch.allclose(folded(x), plain, rtol=0, atol=1e-12)


def test_fold_does_less_work() -> None:
    network = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=4)
    before = sum(p.numel() for p in network.parameters())
    assert sum(p.numel() for p in fold_area(network, 2).parameters()) < before


def test_blend() -> None:
    a, b = {"w": torch.tensor([0.0, 4.0])}, {"w": torch.tensor([8.0, 0.0])}
    assert blend(a, b, 1.0)["w"].tolist() == [0.0, 4.0]
    assert blend(a, b, 0.0)["w"].tolist() == [8.0, 0.0]
    assert blend(a, b, 0.25)["w"].tolist() == [6.0, 1.0]
    with pytest.raises(BrokenWeights):
        blend(a, {"v": b["w"]}, 0.5)
