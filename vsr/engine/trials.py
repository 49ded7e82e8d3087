"""What trials of engines came to, remembered for this user and machine.

One machine is to choose alike every time: two engines round differently, and the parts of a
film must not.
"""

from __future__ import annotations

import json
from pathlib import Path

from vsr.engine.kept import keep, place

_FILE = "engines.json"


def remembered(name: str) -> bool | None:
    """How the trial of that description ended; None: it was not made yet."""
    return _read(place(_FILE)).get(name)


def remember(name: str, passed: bool) -> None:
    """Whole or not at all; where nothing can be kept, the next run tries again."""
    file = place(_FILE)
    known = {**_read(file), name: passed}
    keep(file, json.dumps(known, indent=1, sort_keys=True).encode())


def _read(file: Path) -> dict[str, bool]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
