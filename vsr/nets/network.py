"""What every network offers: to those who load it, and to the engines.

A kind of network is a class with these names, in `families/`; nobody else asks which it is.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from vsr.errors import BrokenWeights
from vsr.options import Activation

if TYPE_CHECKING:
    from vsr.nets.ncnn_export import NcnnGraph

State = dict[str, Tensor]
# An engine's way to convolve and to take the PReLU of the result, or the LeakyReLU, at once: by a
# slope for each channel, or by one for all.
Joined = Callable[[nn.Conv2d, Tensor, Tensor | float], Tensor]
_LARGEST = 16  # scale; no network for films enlarges by more


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What weights cannot tell of their network."""

    activation: Activation = "relu"  # of a compact network without slopes
    scale: int | None = None  # as the file's name, or the file itself, says it


class Network(nn.Module):
    """Enlarges (N, 3, H, W) RGB in 0..1, gamma-encoded, by a whole number."""

    scale: int  # output side / input side
    num_feat: int  # channels of its widest feature maps
    unshuffle: int = 1  # the picture enters with so many x so many pixels folded into channels

    # What an engine has to know of a kind of network.
    adds_picture: bool = False  # in 16 bits, its body is added to the picture in the picture's own
    fp16_is_close: bool = False  # with maps of 16 bits, it is over 60 dB from 32
    trial_side: int = 48  # pixels of the picture that runtimes are compared on
    folds: bool = True  # `fold` works
    joins: bool = False  # `join` works
    exports: bool = True  # `to_ncnn` works
    sees_whole: bool = False  # beyond `receptive_radius`, too, if faintly: tiles are blended
    precisions: frozenset[str] = frozenset({"fp32", "fp16", "bf16"})  # that it is made for
    is_tried: bool = False  # 16 bits are tried first: nobody has compared them for this kind

    @property
    def family(self) -> str:
        """What people call its kind."""
        return type(self).__name__

    @property
    def origin(self) -> str:
        """Whose code it is, with its version, for the fingerprint of jobs; empty: ours."""
        return ""

    # --- from weights ---

    @classmethod
    def claims(cls, state: State) -> bool:
        """Return whether weights of these names look like this kind's."""
        raise NotImplementedError

    @classmethod
    def from_state(cls, state: State, hints: Hints) -> Network:
        """Build the network that these tensors are the weights of, with them in it.

        Raises BrokenWeights, or what torch raises where they do not fit.
        """
        raise NotImplementedError

    @classmethod
    def holding(cls, state: State, **shape: Any) -> Self:
        """Return a network of that shape with these weights, in float32, copied.

        What the shape claims takes no memory unless the weights are there. Raises BrokenWeights for
        layers of no width.
        """
        if not all(tensor.numel() for tensor in state.values()):
            raise BrokenWeights("layers that have no weights")
        with torch.device("meta"):
            network = cls(**shape)
        network.load_state_dict({n: float32(tensor) for n, tensor in state.items()}, assign=True)
        return network

    @classmethod
    def ncnn_names(cls, kinds: Sequence[str]) -> list[str] | None:
        """Return the name of each layer of an ncnn file that has weights; None: another kind's.

        `kinds`: of these layers, in the file's order.
        """
        return None

    # --- to engines ---

    @property
    @abstractmethod
    def receptive_radius(self) -> int:
        """Source pixels that an output pixel can see to each side, rounded up."""

    @property
    def multiple(self) -> int:
        """H and W must be multiples of this."""
        return self.unshuffle

    @property
    def widest(self) -> int:
        """Numbers per source pixel in the widest feature map."""
        return self.num_feat

    def widen_result(self) -> None:
        """Keep in 32 bits what bf16, 1/256 from number to number near white, is too coarse for."""

    def join(self, joined: Joined | None) -> None:
        """Hand convolutions that have an activation behind them to `joined`; None: to PyTorch."""
        raise NotImplementedError

    def fold(self, factor: int) -> None:
        """Become the same network followed by a `factor` x `factor` area reduction."""
        raise NotImplementedError

    def to_ncnn(self, graph: NcnnGraph, x: str) -> str:
        """Add all layers behind `x`, the unshuffled picture; return the name of the result."""
        raise NotImplementedError


def float32(tensor: Tensor) -> Tensor:
    """Return a copy in float32 that nothing else has a hand in."""
    return tensor.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def count_layers(state: State, prefix: str) -> int:
    """Return the highest number behind `prefix`, plus one; 0: there is none. Raises BrokenWeights
    where layers are counted that are not there.
    """
    rest = (name.removeprefix(prefix) for name in state if name.startswith(prefix))
    numbers = [int(n) for one in rest if (n := one.partition(".")[0]).isdecimal() and len(n) < 9]
    count = max(numbers, default=-1) + 1
    if count > len(state):
        raise BrokenWeights("layers that are counted but not there")
    return count


def check_scale(scale: int) -> None:
    """Raise BrokenWeights for a scale that no network for films has."""
    if not 1 <= scale <= _LARGEST:
        raise BrokenWeights(f"a network that enlarges by {scale}")


def shuffled_scale(outputs: int, channels: int) -> int:
    """Return the scale of a pixel shuffle into as many channels as go in. Raises BrokenWeights."""
    scale = math.isqrt(outputs // max(channels, 1))
    if scale < 1 or channels * scale**2 != outputs:
        raise BrokenWeights(f"{outputs} results of {channels} channels are no pixel shuffle")
    return scale
