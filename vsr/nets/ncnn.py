"""Reads the two-file weights of the ncnn runtime into a state dict.

`.param` is text: a magic number, a line of counts, then a line a layer (type,
name, counts and names of inputs and outputs, `key=value` parameters). `.bin` is
the weights of the layers that have any, in that order: for one that multiplies a
4-byte tag (0x01306B47: 16-bit floats follow, 0: 32-bit), the weights padded to
4 bytes and the bias in 32 bits; for a PReLU its slopes in 32 bits.
Format: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsr.errors import BrokenWeights
from vsr.nets.families.table import FAMILIES

_MAGIC = "7767517"
_MULTIPLYING = ("Convolution", "Deconvolution", "InnerProduct")
_FLOAT16, _FLOAT32 = 0x01306B47, 0


class _ParamReader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, dtype: str, count: int) -> Tensor:
        """Read `count` numbers as float32; the position stays a multiple of 4 bytes."""
        size = np.dtype(dtype).itemsize * count
        if count < 0 or self._at + size > len(self._data):
            raise BrokenWeights("the .bin file ends too early for its .param file")
        values = np.frombuffer(self._data, dtype, count, self._at).astype(np.float32)
        self._at += -(-size // 4) * 4
        return torch.from_numpy(values)

    def tag(self) -> int:
        size = 4
        if self._at + size > len(self._data):
            raise BrokenWeights("the .bin file ends too early for its .param file")
        value = int.from_bytes(self._data[self._at : self._at + size], "little")
        self._at += size
        return value

    @property
    def left(self) -> int:
        return len(self._data) - self._at


def _convolution(reader: _ParamReader, options: dict[int, str], kind: str) -> tuple[Tensor, ...]:
    """Read a layer that multiplies; as PyTorch has it, dense ones as convolutions of 1x1."""
    dense = kind == "InnerProduct"
    out, side, count = (
        int(options[0]),
        1 if dense else int(options[1]),
        int(options[2 if dense else 6]),
    )
    tag = reader.tag()
    if tag not in (_FLOAT16, _FLOAT32):
        raise BrokenWeights("the .bin file stores its weights in a form that is not supported")
    weight = reader.take("<f2" if tag == _FLOAT16 else "<f4", count).reshape(out, -1, side, side)
    if kind == "Deconvolution":
        weight = weight.transpose(0, 1)
    has_bias = options.get(1 if dense else 5, "0") != "0"
    return (weight, reader.take("<f4", out)) if has_bias else (weight,)


def read_ncnn(param: Path, weights: Path) -> dict[str, Tensor]:
    """Return the state dict of the network, in the official key names.

    Raises BrokenWeights if the files do not fit each other, or are no network that is known.
    """
    lines = param.read_text(encoding="ascii", errors="replace").split("\n")
    if lines[0].strip() != _MAGIC:
        raise BrokenWeights("not an ncnn .param file")
    reader = _ParamReader(weights.read_bytes())
    kinds: list[str] = []
    layers: list[tuple[Tensor, ...]] = []
    try:
        for line in lines[2:]:
            words = line.split()
            if not words or words[0] not in (*_MULTIPLYING, "PReLU"):
                continue
            options = {int(k): v for k, v in (w.split("=") for w in words if "=" in w)}
            kinds.append(words[0])
            if words[0] in _MULTIPLYING:
                layers.append(_convolution(reader, options, words[0]))
            else:
                layers.append((reader.take("<f4", int(options[0])),))
    except (KeyError, ValueError, RuntimeError) as error:
        if isinstance(error, BrokenWeights):
            raise
        raise BrokenWeights(f"the .param file cannot be understood ({error})") from error
    if reader.left:
        raise BrokenWeights(f"the .bin file has {reader.left} bytes that its .param file ignores")
    named = (family.ncnn_names(kinds) for family in FAMILIES)
    names = next((one for one in named if one is not None), None)
    if names is None:
        raise BrokenWeights(f"{len(kinds)} layers that make no network that is known")
    return {
        f"{name}.{part}": tensor
        for name, layer in zip(names, layers, strict=True)
        for part, tensor in zip(("weight", "bias"), layer, strict=False)
    }
