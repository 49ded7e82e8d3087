"""Promises: the networks are the official ones, and see exactly as far as they say."""

from __future__ import annotations

import pytest
import torch

from vsr.nets.catalogue import Model, catalogue
from vsr.nets.families.cugan import RealCUGAN
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.span import SPAN
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.options import Activation

# Published (and, for three of them, counted in the weight files).
PARAMETERS = {
    "realesr-animevideov3": 621_424,
    "RealESRGAN_x4plus": 16_697_987,
    "RealESRGAN_x4plus_anime_6B": 4_467_779,
    "RealESRNet_x4plus": 16_697_987,
    "RealESRGAN_x2plus": 16_703_171,
    "realesr-general-x4v3": 1_213_296,
    "realesr-general-wdn-x4v3": 1_213_296,
    "cugan2x": 1_284_598,
    "cugan2x-sharp": 1_284_598,
    "cugan2x-denoise1": 1_284_598,
    "cugan2x-denoise2": 1_284_598,
    "cugan2x-denoise3": 1_284_598,
}
NETWORKS = [m for m in catalogue() if not m.is_resizer]


def build(model: Model) -> Network:
    """The network of a catalogue entry, from the words of its architecture."""
    words = model.architecture.replace(",", "").split()
    numbers = [int(w) for w in words if w.isdigit()]
    if words[0] == "RealCUGAN":
        return RealCUGAN()
    if words[0] == "RRDBNet":
        return RRDBNet(
            num_feat=numbers[0], num_block=numbers[1], num_grow_ch=numbers[2], scale=model.scale
        )
    return SRVGGNetCompact(num_feat=numbers[0], num_conv=numbers[1], upscale=model.scale)


@pytest.mark.parametrize("model", NETWORKS, ids=lambda m: m.name)
def test_parameter_counts_are_the_published_ones(model: Model) -> None:
    with torch.device("meta"):
        network = build(model)
    count = sum(p.numel() for p in network.parameters())
    assert count == PARAMETERS[model.name] == model.parameters
    assert network.receptive_radius == model.receptive_radius
    assert network.scale == model.scale


def test_the_catalogue_holds_them_all_and_says_what_may_be_done_with_them() -> None:
    assert {m.name for m in NETWORKS} == set(PARAMETERS)
    for model in NETWORKS:
        assert model.licence.startswith(("BSD-3-Clause", "MIT"))
        if model.package is not None and model.package.extra is not None:
            continue  # nowhere else
        assert model.url is not None
        assert model.sha256 is not None
        assert len(model.sha256) == 64
        assert model.bytes > 4 * model.parameters * 0.99


@pytest.mark.parametrize("scale", [4, 2, 1])
@pytest.mark.parametrize("blocks", [1, 2])
def test_rrdbnet_scales_and_radius(scale: int, blocks: int) -> None:
    _check(RRDBNet(num_feat=8, num_block=blocks, num_grow_ch=4, scale=scale), scale)


@pytest.mark.parametrize(("scale", "unshuffle"), [(1, 1), (2, 1), (3, 1), (8, 1), (4, 2)])
def test_rrdbnet_of_other_stages(scale: int, unshuffle: int) -> None:
    shape = {"scale": scale, "unshuffle": unshuffle}
    _check(RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, plus=scale == 8, **shape), scale)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_span_scales_and_radius(scale: int) -> None:
    _check(SPAN(num_feat=6, scale=scale, norm=False), scale)


@pytest.mark.parametrize("activation", ["prelu", "relu", "leakyrelu"])
@pytest.mark.parametrize(("upscale", "convs"), [(1, 0), (2, 3), (3, 1), (4, 2)])
def test_compact_scales_and_radius(activation: Activation, upscale: int, convs: int) -> None:
    _check(
        SRVGGNetCompact(num_feat=6, num_conv=convs, upscale=upscale, act_type=activation), upscale
    )


def _check(network: Network, scale: int) -> None:
    """The output's size, and by gradient, how far its middle sees."""
    torch.manual_seed(0)
    for parameter in network.parameters():  # no dead activation may hide a path
        torch.nn.init.uniform_(parameter, 0.01, 0.1)
    radius = network.receptive_radius
    side = -(-(2 * radius + 9) // 4) * 4
    x = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    out = network.double()(x)
    assert out.shape == (1, 3, side * scale, side * scale)
    # All output pixels of one source pixel (of one 4x4 group where pixels are unshuffled).
    middle = side // 2 // 4 * 4
    group = network.unshuffle
    out[..., middle * scale : (middle + group) * scale, middle * scale].sum().backward()
    assert x.grad is not None
    touched = x.grad.abs().sum((0, 1)).nonzero()
    reach = max(int(middle - touched[:, 0].min()), int(touched[:, 0].max()) - (middle + group - 1))
    assert reach <= radius
    assert reach >= radius - network.unshuffle  # and the claim is not much too large


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("scale", "channels"), [(2, 3), (3, 3), (4, 3), (4, 1)])
def test_the_compact_network_without_gradients_is_the_same_bits(
    dtype: torch.dtype, scale: int, channels: int
) -> None:
    """Without them it shuffles and adds in one pass on a processor; with them in three."""
    torch.manual_seed(0)
    network = SRVGGNetCompact(
        num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=1, upscale=scale
    )
    network.body.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(2, channels, 5, 7).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        ours = network(x)
    assert torch.equal(ours, network(x))
    assert ours.is_contiguous()
    assert ours.dtype is torch.float32


def test_rrdbnet_in_bf16_on_a_processor_is_as_close_to_fp32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its activations are part of the convolutions there, or apart where that cannot be."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bf16")
    torch.manual_seed(0)
    network = RRDBNet(num_feat=16, num_grow_ch=8, num_block=2).eval()
    x = torch.rand(1, 3, 20, 24)
    right = network(x)
    own = network.bfloat16().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    given = x.bfloat16().contiguous(memory_format=torch.channels_last)
    apart = own(given)
    with torch.inference_mode():
        joined = own(given)
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
        assert torch.equal(own(given), apart)
    errors = [(y.float() - right).square().mean() for y in (joined, apart)]
    assert errors[0] < 1.2 * errors[1]
    assert not torch.equal(joined, apart)
