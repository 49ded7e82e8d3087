"""Writes a network in the two-file form of the ncnn runtime, the inverse of `ncnn.py`.

The graph is what the networks' `forward` says; layer types and parameter numbers are
those of https://github.com/Tencent/ncnn/wiki/operators. Weights are stored in 32 bits.
The pixel unshuffle at an RRDBNet's entry is left to the caller.
"""

from __future__ import annotations

from collections import Counter

from torch import Tensor, nn

from vsr.nets.network import Network
from vsr.nets.rrdbnet import RESIDUAL, RRDB, SLOPE, DenseBlock, RRDBNet
from vsr.nets.srvgg import SRVGGNetCompact

INPUT, OUTPUT = "data", "output"
_MAGIC = "7767517"
_LEAKY = f"9=2 -23310=1,{SLOPE:e}"  # an activation inside a convolution
_ADD, _TIMES = "0=0", f"0=2 1=1 2={RESIDUAL:e}"  # of BinaryOp


class _NcnnGraph:
    """Layers in order; each has one result, which is known by its name."""

    def __init__(self) -> None:
        self._layers: list[tuple[str, str, tuple[str, ...], str]] = []  # kind, name, inputs, rest
        self._weights: list[bytes] = []

    def layer(self, kind: str, *inputs: str, rest: str = "", name: str = "") -> str:
        name = name or f"b{len(self._layers)}"
        self._layers.append((kind, name, inputs, rest))
        return name

    def convolution(self, x: str, conv: nn.Conv2d, activation: str = "", name: str = "") -> str:
        side, stride, pad = conv.kernel_size[0], conv.stride[0], conv.padding[0]
        rest = f"0={conv.out_channels} 1={side} 3={stride} 4={pad} 5=1 6={conv.weight.numel()}"
        assert conv.bias is not None
        self._weights += [bytes(4), _raw(conv.weight), _raw(conv.bias)]  # 4 zeros: 32-bit floats
        return self.layer("Convolution", x, rest=f"{rest} {activation}".strip(), name=name)

    def prelu(self, x: str, slopes: Tensor) -> str:
        self._weights.append(_raw(slopes))
        return self.layer("PReLU", x, rest=f"0={slopes.numel()}")

    def larger(self, x: str, times: int) -> str:
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
    """Return the `.param` text and the `.bin` bytes. Raises TypeError for another kind of
    network.
    """
    graph = _NcnnGraph()
    graph.layer("Input", name=INPUT)
    if isinstance(network, SRVGGNetCompact):
        _compact(graph, network)
    elif isinstance(network, RRDBNet):
        _rrdb(graph, network)
    else:
        raise TypeError(f"ncnn is not told how to run a {type(network).__name__}")
    return graph.files()


def _compact(graph: _NcnnGraph, network: SRVGGNetCompact) -> None:
    x = INPUT
    for layer in network.body:
        if isinstance(layer, nn.Conv2d):
            x = graph.convolution(x, layer)
        elif isinstance(layer, nn.PReLU):
            x = graph.prelu(x, layer.weight)
        else:
            slope = layer.negative_slope if isinstance(layer, nn.LeakyReLU) else 0.0
            x = graph.layer("ReLU", x, rest=f"0={slope:e}")
    x = graph.layer("PixelShuffle", x, rest=f"0={network.scale}")
    graph.layer("BinaryOp", x, graph.larger(INPUT, network.scale), rest=_ADD, name=OUTPUT)


def _dense(graph: _NcnnGraph, x: str, block: DenseBlock) -> str:
    features = [x]
    for conv in (block.conv1, block.conv2, block.conv3, block.conv4):
        joined = graph.layer("Concat", *features, rest="0=0") if len(features) > 1 else x
        features.append(graph.convolution(joined, conv, _LEAKY))
    last = graph.convolution(graph.layer("Concat", *features, rest="0=0"), block.conv5)
    return _residual(graph, x, last)


def _residual(graph: _NcnnGraph, x: str, branch: str) -> str:
    return graph.layer("BinaryOp", x, graph.layer("BinaryOp", branch, rest=_TIMES), rest=_ADD)


def _rrdb(graph: _NcnnGraph, network: RRDBNet) -> None:
    first = x = graph.convolution(INPUT, network.conv_first)
    for block in network.body:
        assert isinstance(block, RRDB)
        branch = x
        for dense in (block.rdb1, block.rdb2, block.rdb3):
            branch = _dense(graph, branch, dense)
        x = _residual(graph, x, branch)
    x = graph.layer("BinaryOp", first, graph.convolution(x, network.conv_body), rest=_ADD)
    for conv in (network.conv_up1, network.conv_up2):
        x = graph.convolution(graph.larger(x, 2), conv, _LEAKY)
    x = graph.convolution(x, network.conv_hr, _LEAKY)
    graph.convolution(x, network.conv_last, name=OUTPUT)


def _raw(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes()
