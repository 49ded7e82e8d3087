"""Writes a network in the two-file form of the ncnn runtime, the inverse of `ncnn.py`.

The graph is what a network's `to_ncnn` says; layer types and parameter numbers are
those of https://github.com/Tencent/ncnn/wiki/operators. Weights are stored in 32 bits.
A pixel unshuffle at the entry is left to the caller.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from vsr.nets.network import Network

INPUT, OUTPUT = "data", "output"
_MAGIC = "7767517"
_ADD, _TIMES = 0, 2  # of BinaryOp


class NcnnGraph:
    """Layers in order; each has one result, which is known by its name."""

    def __init__(self) -> None:
        self._layers: list[tuple[str, str, tuple[str, ...], str]] = []  # kind, name, inputs, rest
        self._weights: list[bytes] = []

    def layer(self, kind: str, *inputs: str, rest: str = "", name: str = "") -> str:
        """Add a layer; return its name, which is that of its result."""
        name = name or f"b{len(self._layers)}"
        self._layers.append((kind, name, inputs, rest))
        return name

    def rename(self, old: str, new: str) -> None:
        """Call the result of the last layer, which nothing has read yet, otherwise."""
        kind, name, inputs, rest = self._layers[-1]
        assert name == old
        self._layers[-1] = (kind, new, inputs, rest)

    def convolution(self, x: str, conv: nn.Conv2d, *, leak: float | None = None) -> str:
        """Add a convolution. `leak`: slope of a LeakyReLU behind it; None: there is none."""
        return self._convolution("Convolution", x, conv, conv.weight, leak)

    def deconvolution(self, x: str, conv: nn.ConvTranspose2d, *, leak: float | None = None) -> str:
        """Add a transposed convolution, as `convolution`."""
        return self._convolution("Deconvolution", x, conv, conv.weight.transpose(0, 1), leak)

    def _convolution(
        self,
        kind: str,
        x: str,
        conv: nn.Conv2d | nn.ConvTranspose2d,
        weight: Tensor,
        leak: float | None,
    ) -> str:
        side, stride, pad = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
        rest = f"0={conv.out_channels} 1={side} 3={stride} 4={pad} 6={weight.numel()}"
        self._weights += [bytes(4), _raw(weight)]  # 4 zeros: 32-bit floats
        if conv.bias is not None:
            rest += " 5=1"
            self._weights.append(_raw(conv.bias))
        return self.layer(kind, x, rest=rest if leak is None else f"{rest} 9=2 -23310=1,{leak:e}")

    def add(self, *both: str) -> str:
        """Add two results."""
        return self.layer("BinaryOp", *both, rest=f"0={_ADD}")

    def multiply(self, *both: str) -> str:
        """Multiply two results."""
        return self.layer("BinaryOp", *both, rest=f"0={_TIMES}")

    def plus(self, x: str, number: float) -> str:
        """Add a number to a result."""
        return self.layer("BinaryOp", x, rest=f"0={_ADD} 1=1 2={number:e}")

    def times(self, x: str, number: float) -> str:
        """Multiply a result by a number."""
        return self.layer("BinaryOp", x, rest=f"0={_TIMES} 1=1 2={number:e}")

    def scaled(self, x: str, by: Tensor, plus: Tensor) -> str:
        """Multiply each channel by a number and add another.

        As a convolution: a layer that works in place would write into the caller's picture.
        """
        count = by.numel()
        self._weights += [bytes(4), _raw(torch.diag(by)), _raw(plus)]
        return self.layer("Convolution", x, rest=f"0={count} 1=1 6={count**2} 5=1")

    def dense(self, x: str, conv: nn.Conv2d) -> str:
        """Add a convolution of 1x1, of one pixel alone."""
        assert conv.bias is not None
        self._weights += [bytes(4), _raw(conv.weight), _raw(conv.bias)]
        rest = f"0={conv.out_channels} 1=1 2={conv.weight.numel()}"
        return self.layer("InnerProduct", x, rest=rest)

    def cropped(self, x: str, rim: int) -> str:
        """Take a rim off."""
        ends = f"-23309=2,{rim},{rim} -23310=2,-{rim},-{rim} -23311=2,-2,-1"
        return self.layer("Crop", x, rest=ends)

    def prelu(self, x: str, slopes: Tensor) -> str:
        """Multiply what is below zero by its channel's slope."""
        self._weights.append(_raw(slopes))
        return self.layer("PReLU", x, rest=f"0={slopes.numel()}")

    def larger(self, x: str, times: int) -> str:
        """Repeat each pixel."""
        return self.layer("Interp", x, rest=f"0=1 1={times:e} 2={times:e}")  # nearest

    def files(self) -> tuple[str, bytes]:
        """Return the text and the weights. ncnn wants a result that is used twice to be split."""
        uses = Counter(name for _, _, inputs, _ in self._layers for name in inputs)
        uses_so_far: Counter[str] = Counter()
        lines, blobs = [], 0
        for kind, name, inputs, rest in self._layers:
            read = []
            for source in inputs:
                read.append(f"{source}_{uses_so_far[source]}" if uses[source] > 1 else source)
                uses_so_far[source] += 1
            lines.append(f"{kind} {name} {len(read)} 1 {' '.join((*read, name))} {rest}".strip())
            blobs += 1
            if uses[name] > 1:
                copies = [f"{name}_{n}" for n in range(uses[name])]
                lines.append(f"Split {name}_split 1 {len(copies)} {name} {' '.join(copies)}")
                blobs += len(copies)
        return "\n".join((_MAGIC, f"{len(lines)} {blobs}", *lines, "")), b"".join(self._weights)


def write_ncnn(network: Network) -> tuple[str, bytes]:
    """Return the `.param` text and the `.bin` bytes. Raises TypeError for a network that cannot
    be written.
    """
    if not network.exports:
        raise TypeError(f"ncnn is not told how to run a {type(network).__name__}")
    graph = NcnnGraph()
    result = network.to_ncnn(graph, graph.layer("Input", name=INPUT))
    graph.rename(result, OUTPUT)
    return graph.files()


def _raw(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes()
