"""Networks of one channel, which see a colour picture as three grey ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from vsr.errors import BrokenWeights
from vsr.nets.network import Network

if TYPE_CHECKING:
    from vsr.nets.ncnn_export import NcnnGraph


def for_rgb(network: Network, channels: int) -> Network:
    """Return `network`, which takes and gives `channels`, as one of RGB. Raises BrokenWeights."""
    if channels == 1:
        return GreyNetwork(network)
    if channels != 3:
        raise BrokenWeights(f"a network of {channels} channels instead of RGB or grey")
    return network


class GreyNetwork(Network):
    """Runs a network of one channel on R, G and B, each by itself."""

    def __init__(self, one: Network) -> None:
        super().__init__()
        self.one = one
        self.scale, self.num_feat, self.unshuffle = one.scale, one.num_feat, one.unshuffle
        self.sees_whole = one.sees_whole
        self.adds_picture, self.fp16_is_close = one.adds_picture, one.fp16_is_close
        self.precisions, self.is_tried = one.precisions, one.is_tried
        self.folds, self.exports, self.trial_side = one.folds, one.exports, one.trial_side

    @property
    def family(self) -> str:
        """See `Network`."""
        return f"{self.one.family}, grey"

    @property
    def origin(self) -> str:
        """See `Network`."""
        return self.one.origin

    @property
    def receptive_radius(self) -> int:
        """See `Network`."""
        return self.one.receptive_radius

    @property
    def multiple(self) -> int:
        """See `Network`."""
        return self.one.multiple

    @property
    def widest(self) -> int:
        """See `Network`: three pictures at once."""
        return 3 * self.one.widest

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) -> (N, 3, scale * H, scale * W)."""
        count, channels, height, width = x.shape
        out: Tensor = self.one(x.reshape(count * channels, 1, height, width))
        return out.reshape(count, channels, *out.shape[2:])

    def widen_result(self) -> None:
        """See `Network`."""
        self.one.widen_result()

    def fold(self, factor: int) -> None:
        """See `Network`."""
        self.one.fold(factor)
        self.scale = self.one.scale

    def to_ncnn(self, graph: NcnnGraph, x: str) -> str:
        """See `Network`."""
        planes = self.unshuffle**2
        cuts = (f"-23309=1,{c * planes} -23310=1,{(c + 1) * planes} -23311=1,0" for c in range(3))
        each = [self.one.to_ncnn(graph, graph.layer("Crop", x, rest=cut)) for cut in cuts]
        return graph.layer("Concat", *each, rest="0=0")
