"""What trials of engines came to, remembered for this user and machine.

One machine is to choose alike every time: two engines round differently, and the parts of a
film must not.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

import platformdirs


def remembered(name: str) -> bool | None:
    """How the trial of that description ended; None: it was not made yet."""
    return _read(_file()).get(name)


def remember(name: str, passed: bool) -> None:
    """Whole or not at all; where nothing can be kept, the next run tries again."""
    file = _file()
    known = {**_read(file), name: passed}
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=file.parent, delete=False
        ) as part:
            json.dump(known, part, indent=1, sort_keys=True)
        os.replace(part.name, file)


def _file() -> Path:
    return Path(platformdirs.user_cache_dir("vsr", appauthor=False)) / "engines.json"


def _read(file: Path) -> dict[str, bool]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
