"""Where the stores of begun jobs lie, so that they can be listed.

Only a hint: what a job is and how far it has come is in its store. A hint that leads nowhere
is forgotten.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import platformdirs


def _folder() -> Path:
    return Path(platformdirs.user_state_dir("vsr", appauthor=False)) / "jobs"


def register(store: Path) -> None:
    """Remember where a store lies, if that can be written down."""
    name = hashlib.sha256(os.fsencode(store)).hexdigest()[:24]
    with suppress(OSError):
        _folder().mkdir(parents=True, exist_ok=True)
        (_folder() / name).write_bytes(os.fsencode(store))


def stores() -> Iterator[Path]:
    """The stores that are still there, oldest first."""
    try:
        hints = sorted(_folder().iterdir(), key=lambda hint: hint.stat().st_mtime)
    except OSError:
        return
    for hint in hints:
        store = Path(os.fsdecode(hint.read_bytes()))
        if store.is_dir():
            yield store
        else:
            hint.unlink(missing_ok=True)
