"""The discriminator: the counts, shapes and names of the published one."""

from __future__ import annotations

import pytest
import torch

from vsr.train.losses.unet import UNetDiscriminatorSN

# Of UNetDiscriminatorSN(3, 64): out, in, kernel, stride; bias at the first and last alone.
_LAYERS = {
    "conv0": (64, 3, 3, 1), "conv1": (128, 64, 4, 2), "conv2": (256, 128, 4, 2),
    "conv3": (512, 256, 4, 2), "conv4": (256, 512, 3, 1), "conv5": (128, 256, 3, 1),
    "conv6": (64, 128, 3, 1), "conv7": (64, 64, 3, 1), "conv8": (64, 64, 3, 1),
    "conv9": (1, 64, 3, 1),
}  # fmt: skip


def _published_layout() -> dict[str, torch.Tensor]:
    """A state dict with the names and shapes of the netD files, written down by hand."""
    chance = torch.Generator().manual_seed(0)
    state: dict[str, torch.Tensor] = {}
    for name, (out, inner, kernel, _) in _LAYERS.items():
        weight = torch.randn(out, inner, kernel, kernel, generator=chance) / (inner * kernel)
        if name in ("conv0", "conv9"):
            state |= {f"{name}.weight": weight, f"{name}.bias": torch.zeros(out)}
            continue
        state[f"{name}.weight_orig"] = weight
        for part, size in (("u", out), ("v", inner * kernel**2)):
            vector = torch.randn(size, generator=chance)
            state[f"{name}.weight_{part}"] = vector / vector.norm()
    return state


def test_counts() -> None:
    net = UNetDiscriminatorSN(64)
    assert sum(p.numel() for p in net.parameters()) == 4_376_897
    assert sum(t.numel() for t in net.state_dict().values()) == 4_394_753
    for name, (out, inner, kernel, stride) in _LAYERS.items():
        layer = getattr(net, name)
        assert (layer.out_channels, layer.in_channels) == (out, inner)
        assert (layer.kernel_size, layer.stride) == ((kernel, kernel), (stride, stride))
        assert (layer.bias is not None) == (name in ("conv0", "conv9"))


def test_it_loads_the_published_layout() -> None:
    net = UNetDiscriminatorSN(64)
    missing = net.load_state_dict(_published_layout())
    assert not missing.missing_keys
    assert not missing.unexpected_keys


@pytest.mark.parametrize("size", [(32, 32), (17, 23), (8, 9), (1, 1)])
def test_one_logit_for_each_pixel_of_any_size(size: tuple[int, int]) -> None:
    net = UNetDiscriminatorSN(8)
    assert net(torch.rand(2, 3, *size)).shape == (2, 1, *size)


def test_the_norm_holds_each_layers_gain_at_one() -> None:
    """The largest singular value, by numpy, after the power iteration has settled."""
    torch.manual_seed(0)
    net = UNetDiscriminatorSN(8)
    for _ in range(60):
        net(torch.rand(1, 3, 16, 16))
    net.eval()
    net(torch.rand(1, 3, 16, 16))
    for n in range(1, 9):
        weight = getattr(net, f"conv{n}").weight.detach().flatten(1)
        assert abs(torch.linalg.svdvals(weight.double())[0].item() - 1) < 0.02


def test_skips_can_be_left_out() -> None:
    torch.manual_seed(0)
    net, x = UNetDiscriminatorSN(8).eval(), torch.rand(1, 3, 16, 16)
    with_skips = net(x)
    net.skip_connection = False
    assert not torch.allclose(with_skips, net(x))
