"""Reads weight files of all kinds, as what anybody may have made them: nothing in them is run."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from vsr.errors import BrokenWeights
from vsr.machine import free_host_memory
from vsr.nets.detect import unwrap
from vsr.nets.ncnn import read_ncnn
from vsr.nets.network import State
from vsr.nets.pickles import is_archive, refuse_what_is_not_needed

_OVER = 4  # times the file's size, that its tensors may have: some share what they hold


def said_scale(name: str) -> int | None:
    """Return the scale that a file's name says, as people write it: `3x_Name`, `Name_x3`."""
    words = re.findall(r"(?<![a-z0-9])(?:([1-9]\d?)x|x([1-9]\d?))(?![a-z0-9])", name.lower())
    words = words or re.findall(r"^([1-9]\d?)x()(?!\d)", name.lower())  # `3xName`
    return int(words[0][0] or words[0][1]) if words else None


def read_weights(path: Path) -> State:
    """Return the bare state dict in a .pth, .safetensors or ncnn file.

    A `.pth` is a pickle; it is only ever read with `weights_only`, which builds
    tensors and runs no code. What a file claims to hold takes no more memory than a few times what
    it has. Raises BrokenWeights.
    """
    try:
        size = _size(path)
        if path.suffix.lower() == ".safetensors":
            return _bounded(load_file(path), size)
        if path.suffix.lower() in (".param", ".bin"):
            return read_ncnn(path.with_suffix(".param"), path.with_suffix(".bin"))
        if is_archive(path):
            _refuse_bombs(path, size)
        refuse_what_is_not_needed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle dialects; what cannot be read raises
            return _bounded(unwrap(torch.load(path, map_location="cpu", weights_only=True)), size)
    except BrokenWeights:
        raise
    except pickle.UnpicklingError as error:
        raise BrokenWeights("not a plain weight file, or one that would run code") from error
    except Exception as error:  # a damaged file makes the loaders raise anything at all
        raise BrokenWeights("damaged, or no weight file at all") from error


def notes_of(path: Path) -> dict[str, str]:
    """Return what a .safetensors says about itself; nothing, of other files. Raises
    BrokenWeights.
    """
    if path.suffix.lower() != ".safetensors":
        return {}
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except Exception as error:  # as in `read_weights`
        raise BrokenWeights(f"{path}: damaged, or no weight file at all") from error


def _size(path: Path) -> int:
    """Return bytes of the file. Raises BrokenWeights where memory cannot hold them."""
    size = path.stat().st_size
    if size > free_host_memory() // 2:  # once as they are read, once in float32
        raise BrokenWeights(f"{size / 1e9:.1f} GB of weights, for which memory is too small")
    return size


def _refuse_bombs(path: Path, size: int) -> None:
    """Raise BrokenWeights for an archive that unpacks to more than it is: PyTorch packs nothing."""
    with zipfile.ZipFile(path) as archive:
        packed = archive.infolist()
    if any(one.compress_type != zipfile.ZIP_STORED for one in packed):
        raise BrokenWeights("a packed archive, which no training tool writes")
    if sum(one.file_size for one in packed) > size:
        raise BrokenWeights("an archive that claims to hold more than it is")


def _bounded(state: State, size: int) -> State:
    """Return `state`, of real numbers. Raises BrokenWeights where there are others, and where
    tensors repeat what the file has a few times over.

    A tensor may be a few bytes, seen again and again; a copy of it, in float32, would not be.
    """
    if any(tensor.is_complex() for tensor in state.values()):
        raise BrokenWeights("complex numbers, which no network for films has")
    copied = sum(tensor.numel() * max(tensor.element_size(), 4) for tensor in state.values())
    if copied > _OVER * size:
        raise BrokenWeights("tensors that claim to hold more than the file does")
    if copied > free_host_memory():
        raise BrokenWeights(f"{copied / 1e9:.1f} GB of weights, for which memory is too small")
    return state
