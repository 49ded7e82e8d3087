"""What trials of engines came to, remembered for this user and machine.

One machine is to choose alike every time: two engines round differently, and the parts of a
film must not. Each trial has a file of its own, so that two processes that try at the same time
lose nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from vsr.engine.user_cache import keep, place


def remembered(name: str) -> bool | None:
    """Return how the trial of that description ended; None: it was not made yet."""
    try:
        told = json.loads(_file(name).read_text(encoding="utf-8"))
        passed = told["passed"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return passed if isinstance(passed, bool) else None


def remember(name: str, passed: bool) -> None:
    """Write an outcome whole or not at all; where nothing can be kept, the next run tries again."""
    keep(_file(name), json.dumps({"trial": name, "passed": passed}, indent=1).encode())


def _file(name: str) -> Path:
    return place("trials", f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.json")
