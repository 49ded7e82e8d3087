"""Checkpoints that are whole or not there, and weights with a note of what they are."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from vsr.errors import OutputError

_KEPT = 2  # of the newest
_DIGITS = 16  # of the sha256, in the name


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that has its name only when all of it is on the disk. Raises OutputError."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def save_checkpoint(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write all of a training's state, and throw older ones away. Raises OutputError.

    The name holds a hash of what is in it: one that a bad disk has changed is not taken.
    """
    memory = io.BytesIO()
    torch.save(dict(state), memory)
    data = memory.getvalue()
    path = folder / f"{step:08}.{hashlib.sha256(data).hexdigest()[:_DIGITS]}.ckpt"
    write_whole(path, data)
    for old in _newest_first(folder)[_KEPT:]:
        with suppress(OSError):
            old.unlink()
    return path


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the newest state that is whole; None if there is none. Only tensors and numbers are
    read.
    """
    for path in _newest_first(folder):
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest()[:_DIGITS] != path.name.split(".")[1]:
                continue
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, pickle.UnpicklingError):
            continue
        if isinstance(state, dict):
            return state
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.ckpt"), reverse=True)


def write_weights(path: Path, state: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write a .safetensors that says what it holds. Raises OutputError."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    write_whole(path, save(tensors, metadata=dict(notes)))
