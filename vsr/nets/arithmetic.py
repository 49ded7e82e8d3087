"""New networks from old ones, by arithmetic on their weights."""

from __future__ import annotations

from torch import Tensor, nn

from vsr.errors import BrokenWeights
from vsr.nets.detect import State
from vsr.nets.network import Network
from vsr.nets.rrdbnet import RRDBNet
from vsr.nets.srvgg import SRVGGNetCompact


def blend(first: State, second: State, share: float) -> State:
    """Return share * first + (1 - share) * second, tensor by tensor.

    Deep network interpolation (Wang et al., CVPR 2019), as realesr-general-x4v3
    mixes its denoising and its detail-keeping twin.
    """
    if first.keys() != second.keys():
        raise BrokenWeights("two weight files that are not twins cannot be blended")
    return {name: second[name].lerp(first[name], share) for name in first}


def fold_area(network: Network, factor: int) -> Network:
    """Return the same network followed by a `factor` x `factor` area reduction, as one network.

    The last convolution, the pixel shuffle and the mean over factor x factor
    pixels are linear, so they are one convolution: with fewer output channels
    (SRVGGNetCompact) or with a larger, strided kernel (RRDBNet). Nothing that is
    averaged away is computed. Changes and returns `network`; its `scale` falls.
    """
    if isinstance(network, SRVGGNetCompact):
        return _fold_srvgg(network, factor)
    if isinstance(network, RRDBNet):
        return _fold_rrdbnet(network, factor)
    raise TypeError(f"cannot fold a {type(network).__name__}")


def _fold_srvgg(network: SRVGGNetCompact, factor: int) -> SRVGGNetCompact:
    old, small = network.body[-1], network.scale // factor
    assert isinstance(old, nn.Conv2d)
    assert old.bias is not None

    def mean(parameter: Tensor) -> Tensor:  # (C * s * s, ...) -> (C * small * small, ...)
        rest = parameter.shape[1:]
        cells = parameter.reshape(-1, small, factor, small, factor, *rest)
        return cells.mean(dim=(2, 4)).reshape(-1, *rest)

    weight, bias = mean(old.weight), mean(old.bias)
    last = nn.Conv2d(old.in_channels, weight.shape[0], 3, 1, 1, dtype=weight.dtype)
    last.load_state_dict({"weight": weight, "bias": bias})
    network.body[-1] = last.requires_grad_(False)
    network.scale = small
    return network


def _fold_rrdbnet(network: RRDBNet, factor: int) -> RRDBNet:
    old = network.conv_last
    assert old.bias is not None
    side = 3 + factor - 1
    weight = old.weight.new_zeros(old.out_channels, old.in_channels, side, side)
    for dy in range(factor):
        for dx in range(factor):
            weight[:, :, dy : dy + 3, dx : dx + 3] += old.weight / factor**2
    last = nn.Conv2d(
        old.in_channels, old.out_channels, side, stride=factor, padding=1, dtype=weight.dtype
    )
    last.load_state_dict({"weight": weight, "bias": old.bias})
    network.conv_last = last.requires_grad_(False)
    network.scale //= factor
    return network
