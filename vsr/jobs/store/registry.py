"""Where the stores of begun jobs lie, and the folders of servers, so that they can be listed.

Only a hint: what a job is and how far it has come is in its store. A hint that leads nowhere
is forgotten, unless the whole folder is away.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import platformdirs


def state_folder() -> Path:
    """Return where what is kept between runs lies."""
    return Path(platformdirs.user_state_dir("vsr", appauthor=False))


Kind = Literal["jobs", "servers"]


def _written(hint: Path) -> float:
    try:
        return hint.stat().st_mtime
    except OSError:
        return 0.0


def register(store: Path, kind: Kind = "jobs") -> None:
    """Remember where a store lies, if that can be written down."""
    name, folder = hashlib.sha256(os.fsencode(store)).hexdigest()[:24], state_folder() / kind
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(store))


def stores(kind: Kind = "jobs") -> Iterator[Path]:
    """Yield the stores that are still there, oldest first."""
    try:
        hints = sorted((state_folder() / kind).iterdir(), key=_written)
    except OSError:
        return
    for hint in hints:
        with suppress(OSError, ValueError):  # another process has just forgotten it; a torn one
            store = Path(os.fsdecode(hint.read_bytes()))
            if store.is_dir():
                yield store
            elif store.parent.is_dir():  # else it may lie on a disk that is not connected
                hint.unlink(missing_ok=True)
