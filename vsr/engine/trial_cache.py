"""What trials of engines came to, remembered for this user and machine.

One machine is to choose alike every time: two engines round differently, and the parts of a
film must not. Each trial has a file of its own, so that two processes that try at the same time
lose nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from vsr.engine.user_cache import keep, place

_LASTS = 30 * 86400  # seconds that a refusal with a reason counts: drivers get better


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a trial ended; `reason`: why the engine was refused."""

    passed: bool
    reason: str = ""


def recalled(name: str) -> Trial | None:
    """Return how the trial of that description ended; None: it was not made, or is long ago."""
    try:
        told = json.loads(_file(name).read_text(encoding="utf-8"))
        passed, reason, at = told["passed"], told.get("reason", ""), told.get("at", 0)
        stale = bool(reason) and not 0 <= time.time() - at < _LASTS
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return (
        Trial(passed=passed, reason=str(reason)) if isinstance(passed, bool) and not stale else None
    )


def remembered(name: str) -> bool | None:
    """Return whether the trial of that description was passed; None: it was not made yet."""
    trial = recalled(name)
    return None if trial is None else trial.passed


def remember(name: str, passed: bool, reason: str = "") -> None:
    """Write an outcome whole or not at all; where nothing can be kept, the next run tries again."""
    told = {"trial": name, "passed": passed, "reason": reason, "at": int(time.time())}
    keep(_file(name), json.dumps(told, indent=1).encode())


def _file(name: str) -> Path:
    return place("trials", f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.json")
