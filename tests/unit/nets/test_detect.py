"""Promise: a network is rebuilt from its tensors alone, in every layout that is about."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from vsr.errors import BrokenWeights
from vsr.nets.detect import from_state
from vsr.nets.families.cugan import RealCUGAN
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network

State = dict[str, Tensor]


def _bsrgan(state: State) -> State:
    def rename(name: str) -> str:
        name = re.sub(r"^body\.(\d+)\.rdb(\d)\.", r"RRDB_trunk.\1.RDB\2.", name)
        name = re.sub(r"^conv_up(\d)", r"upconv\1", name)
        return re.sub(r"^conv_hr", "HRconv", re.sub(r"^conv_body", "trunk_conv", name))

    return {rename(k): v for k, v in state.items()}


def _old_esrgan(state: State) -> State:
    blocks = 1 + max(int(m[1]) for k in state if (m := re.match(r"body\.(\d+)", k)))
    stages = sum(re.fullmatch(r"conv_up\d\.weight", k) is not None for k in state)
    places = {"conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}"}
    places |= {"conv_hr": f"model.{3 * stages + 2}", "conv_last": f"model.{3 * stages + 4}"}
    places |= {f"conv_up{n}": f"model.{3 * n}" for n in range(1, stages + 1)}

    def rename(name: str) -> str:
        head = name.split(".", maxsplit=1)[0]
        if head in places:
            return name.replace(head, places[head], 1)
        name = re.sub(r"^body\.(\d+)\.rdb(\d)\.conv(\d)\.", r"model.1.sub.\1.RDB\2.conv\3.0.", name)
        return re.sub(r"^body\.(\d+)\.rdb(\d)\.conv1x1", r"model.1.sub.\1.RDB\2.conv1x1", name)

    return {rename(k): v for k, v in state.items()}


SHAPES = [
    RRDBNet(num_feat=8, num_block=1, num_grow_ch=4),
    RRDBNet(num_feat=12, num_block=11, num_grow_ch=6),
    RRDBNet(num_feat=8, num_block=2, num_grow_ch=4, scale=2),
    RRDBNet(num_feat=8, num_block=2, num_grow_ch=4, scale=1),
    SRVGGNetCompact(num_feat=8, num_conv=0, upscale=1),
    SRVGGNetCompact(num_feat=8, num_conv=5, upscale=2),
    SRVGGNetCompact(num_feat=24, num_conv=2, upscale=4),
    SRVGGNetCompact(num_feat=8, num_conv=3, upscale=3, act_type="relu"),
    SRVGGNetCompact(num_feat=8, num_conv=1, upscale=8, num_slopes=1),
    RealCUGAN(),
]


def test_a_network_of_one_channel_sees_as_far_as_it_does_on_each() -> None:
    for one in (RealCUGAN(channels=1), SRVGGNetCompact(num_in_ch=1, num_out_ch=1, num_feat=8)):
        grey = from_state(one.state_dict())
        assert grey.family.endswith(", grey")
        assert (grey.sees_whole, grey.receptive_radius) == (one.sees_whole, one.receptive_radius)


def small(**shape: Any) -> RRDBNet:
    return RRDBNet(num_feat=8, num_block=2, num_grow_ch=4, **shape)


# As people have them: 1x to 16x by stages of the tail, entries unshuffled, ESRGAN+.
STAGED = [
    small(scale=1, unshuffle=1),
    small(scale=2, unshuffle=1),
    small(scale=8),
    small(scale=16),
    small(scale=4, unshuffle=2),
    small(scale=2, unshuffle=2),
    small(scale=1, unshuffle=4),
    small(plus=True),
    small(scale=2, unshuffle=1, plus=True),
    RRDBNet(num_feat=24, num_block=1, num_grow_ch=32),
]


def _same(network: Network, loaded: object) -> None:
    torch.manual_seed(1)
    x = torch.rand(1, 3, 16, 16)
    rebuilt = from_state(loaded)
    assert (rebuilt.scale, rebuilt.receptive_radius) == (network.scale, network.receptive_radius)
    assert torch.equal(rebuilt(x), network(x))
    assert not rebuilt.training
    assert type(rebuilt) is type(network)


@pytest.mark.parametrize("network", SHAPES, ids=lambda n: f"{type(n).__name__}-{n.scale}")
@pytest.mark.parametrize("wrapper", [None, "params", "params_ema", "state_dict", "model"])
def test_any_shape_in_any_wrapper(network: Network, wrapper: str | None) -> None:
    state = network.state_dict()
    _same(network, {wrapper: state, "step": 7} if wrapper else state)


@pytest.mark.parametrize(
    "prefix", ["module.", "netG.", "module.netG.", "_orig_mod.", "module.generator."]
)
def test_prefixes_of_training_tools(prefix: str) -> None:
    network = SHAPES[0]
    _same(network, {"params": {prefix + k: v for k, v in network.state_dict().items()}})


def test_ema_weights_win_over_the_others() -> None:
    network = SHAPES[5]
    other = {k: torch.zeros_like(v) for k, v in network.state_dict().items()}
    _same(network, {"params": other, "params_ema": network.state_dict()})


@pytest.mark.parametrize("layout", [_bsrgan, _old_esrgan])
def test_other_layouts_of_rrdbnet(layout: object) -> None:
    assert callable(layout)
    for network in SHAPES[:2]:
        _same(network, layout(network.state_dict()))


@pytest.mark.parametrize("layout", [dict, _bsrgan, _old_esrgan])
@pytest.mark.parametrize("network", STAGED, ids=lambda n: f"{n.scale}x-{n.unshuffle}")
def test_every_scale_entry_and_path_in_every_layout(network: RRDBNet, layout: Any) -> None:
    _same(network, layout(network.state_dict()))


def test_a_pro_network_says_so_itself() -> None:
    network = RealCUGAN(pro=True)
    _same(network, {**network.state_dict(), "pro": torch.zeros(1)})


def test_three_times_is_told_from_twice_by_name_alone() -> None:
    """Their weights are alike; what else is in the file cannot be three."""
    thrice = small(scale=3)
    assert from_state(thrice.state_dict()).scale == 2
    named = from_state(_old_esrgan(thrice.state_dict()), scale=3)
    x = torch.rand(1, 3, 12, 12)
    assert torch.equal(named(x), thrice(x))
    assert from_state(SHAPES[0].state_dict(), scale=3).scale == 4


@pytest.mark.parametrize(
    "grey",
    [
        SRVGGNetCompact(num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=1, upscale=2),
        RRDBNet(channels=1, num_feat=8, num_block=1, num_grow_ch=4),
        RRDBNet(channels=1, num_feat=8, num_block=1, num_grow_ch=4, scale=2),
    ],
)
def test_a_grey_network_sees_each_colour_by_itself(grey: Network) -> None:
    rebuilt = from_state(grey.state_dict())
    x = torch.rand(2, 3, 8, 12)
    each = torch.cat([grey(x[:, c : c + 1]) for c in range(3)], 1)
    assert torch.allclose(rebuilt(x), each, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["g_ema", "net_g", "generator", "params-ema"])
def test_wrappers_in_wrappers(name: str) -> None:
    network = SHAPES[5]
    _same(network, {"state_dict": {name: network.state_dict()}, "epoch": 3})


def test_half_precision_weights_are_widened() -> None:
    network = SHAPES[6]
    state = {k: v.half() for k, v in network.state_dict().items()}
    assert all(p.dtype == torch.float32 for p in from_state(state).parameters())


def test_leaky_relu_has_to_be_named() -> None:
    network = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2, act_type="leakyrelu")
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(from_state(network.state_dict(), activation="leakyrelu")(x), network(x))


@pytest.mark.parametrize(
    "loaded",
    [
        None,
        [],
        {},
        {"params": {}},
        {"a": 1},
        {"layer.weight": torch.zeros(3)},
        {"body.0.weight": torch.zeros(8, 3, 3, 3)},
        {"conv_first.weight": torch.zeros(8, 5, 3, 3), "conv_last.weight": torch.zeros(3, 8, 3, 3)},
        {k: v for k, v in SHAPES[0].state_dict().items() if k != "conv_hr.bias"},
        {**SHAPES[0].state_dict(), "extra": torch.zeros(1)},
        {**SHAPES[5].state_dict(), "body.2.weight": torch.zeros(2, 2)},
    ],
)
def test_anything_else_is_broken(loaded: object) -> None:
    with pytest.raises(BrokenWeights):
        from_state(loaded)
