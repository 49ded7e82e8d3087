"""New networks from old ones, by arithmetic on their weights."""

from __future__ import annotations

from vsr.errors import BrokenWeights
from vsr.nets.network import Network, State


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
    (SRVGGNetCompact, SPAN) or with a larger, strided kernel (RRDBNet). Nothing that is
    averaged away is computed. Changes and returns `network`; its `scale` falls.
    """
    network.fold(factor)
    return network
