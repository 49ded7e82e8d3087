"""Checkpoints that are whole or not there, and weights with a note of what they are."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class FoundCheckpoint:
    """What a folder holds."""

    state: dict[str, Any] | None  # the newest that is whole; None: there is none
    broken: tuple[Path, ...]  # newer ones, which are not


def save_checkpoint(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write all of a training's state, and throw older ones away. Raises OutputError.

    The name holds a hash of what is in it: one that a bad disk has changed is not taken. What has
    a later step cannot have been read, or this would not be the newest: it goes, too.
    """
    memory = io.BytesIO()
    torch.save(dict(state), memory)
    data = memory.getvalue()
    path = folder / f"{step:08}.{hashlib.sha256(data).hexdigest()[:_DIGITS]}.ckpt"
    write_whole(path, data)
    others = [other for other in _newest_first(folder) if other != path]
    later = [other for other in others if other.name[:8] >= path.name[:8]]
    for old in later + others[len(later) + _KEPT - 1 :]:
        with suppress(OSError):
            old.unlink()
    return path


def load_checkpoint(folder: Path) -> FoundCheckpoint:
    """Return the newest state that is whole. Only tensors and numbers are read."""
    broken: list[Path] = []
    for path in _newest_first(folder):
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest()[:_DIGITS] == path.name.split(".")[1]:
                state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
                if isinstance(state, dict):
                    return FoundCheckpoint(state=state, broken=tuple(broken))
        except (OSError, RuntimeError, pickle.UnpicklingError):
            pass  # it is no better than one of another hash
        broken.append(path)
    return FoundCheckpoint(state=None, broken=tuple(broken))


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.ckpt"), reverse=True)


def write_weights(path: Path, state: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write a .safetensors that says what it holds. Raises OutputError."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    write_whole(path, save(tensors, metadata=dict(notes)))
