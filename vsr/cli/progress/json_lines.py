"""A run as lines of JSON, for programs: `--progress json` and VSR_LOG (docs/progress.md)."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vsr.cli.options import for_people
from vsr.events import Event, Note, Progress, Step
from vsr.fetch import without_login

SCHEMA = 1  # the number of docs/progress.md; it grows when a reader would have to change


class JsonLines:
    """A sink that writes a line of JSON for each event.

    `write` takes a line; of progress there is no more than one line in `interval` seconds.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        interval: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._write, self._interval, self._clock = write, interval, clock
        self._last: float | None = None
        self._held: Progress | Step | None = None  # was not written yet

    def __call__(self, event: Event) -> None:
        """Write an event."""
        if isinstance(event, Progress | Step):
            if self._last is not None and self._clock() - self._last < self._interval:
                self._held = event
                return
            self._last, self._held = self._clock(), None
        elif not isinstance(event, Note):
            self._release()
        self._line(_name(event), **_fields(event))

    def line(self, event: str, **fields: Any) -> None:
        """Write a line of its own kind."""
        self._release()
        self._line(event, **fields)

    def _line(self, event: str, **fields: Any) -> None:
        self._write(json.dumps({"event": event, "time": round(self._clock(), 3), **fields}))

    def _release(self) -> None:
        """Write the last progress: how far it came before what comes now."""
        if self._held is not None:
            self._line(_name(self._held), **_fields(self._held))
        self._last, self._held = None, None


def append_to(path: Path) -> Callable[[str], None]:
    """Return a function that adds a line to a file, whole even where several runs share it."""

    def write(line: str) -> None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    return write


def _name(event: Event) -> str:
    """Return the class's name as words with hyphens: `batch-progress`; warnings are short."""
    name = re.sub(r"(?<=.)([A-Z])", r"-\1", type(event).__name__).lower()
    return {"warning-note": "warning", "batch-progress": "batch"}.get(name, name)


def _fields(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in dataclasses.fields(event):
        value = getattr(event, one.name)
        found[one.name] = without_login(str(value)) if isinstance(value, Path) else value
    if isinstance(event, Step):  # JSON knows no infinity
        found["numbers"] = {k: v for k, v in event.numbers.items() if math.isfinite(v)}
    if isinstance(event, Note):
        found["text"] = for_people(event.text)
    return found
