"""A job's own event file: lines of JSON, of its processes and of the server, in one order.

An event is named by the place where its line ends. So who has read up to one goes on behind it,
whatever became of the server meanwhile.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr.jobs.store import atomic_write

_CHUNK = 1 << 18
_NAME = re.compile("[a-z-]{1,40}")
_LONGEST = 2000  # characters of a line that is no JSON


@dataclass(frozen=True)
class JobEvent:
    """A line: where it ends, and what it says. One that is no JSON is a `log`."""

    id: int
    data: dict[str, Any]

    @property
    def name(self) -> str:
        """What kind it is: `progress`, `status`, ..."""
        name = str(self.data.get("event"))
        return name if _NAME.fullmatch(name) else "log"


class EventFile:
    """The events of a job, to be added to and to be read from any place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, event: str, **fields: Any) -> None:
        """Add an event of the server's own."""
        line = json.dumps({"event": event, "time": round(time.time(), 3), **fields})
        atomic_write.append(self.path, f"{line}\n")

    def size(self) -> int:
        """Return the bytes that are there."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def is_place(self, offset: int) -> bool:
        """Return whether an event ends there, or the first begins."""
        if offset <= 0:
            return offset == 0
        try:
            with self.path.open("rb") as file:
                file.seek(offset - 1)
                return file.read(1) == b"\n"
        except OSError:
            return False

    def read(self, offset: int = 0) -> tuple[list[JobEvent], int]:
        """Return whole events behind `offset`, and the place to go on from.

        Not all that there are: it is the same place again when there are no more.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                data = file.read(_CHUNK)
        except OSError:
            return [], offset
        whole, newline, _ = data.rpartition(b"\n")
        if not newline:
            if len(data) < _CHUNK:
                return [], offset
            whole = data  # a line without an end
        events, place = [], offset
        for line in whole.split(b"\n"):
            place += len(line) + 1
            if line.strip():
                events.append(JobEvent(min(place, offset + len(data)), _parsed(line)))
        return events, min(place, offset + len(data))

    def all(self, offset: int = 0) -> list[JobEvent]:
        """Return every event behind `offset`."""
        found: list[JobEvent] = []
        while True:
            events, place = self.read(offset)
            found += events
            if place == offset:
                return found
            offset = place

    def last(self, most: int = 1 << 14) -> list[JobEvent]:
        """Return the events in the last `most` bytes."""
        begin = max(self.size() - most, 0)
        events = self.all(begin)
        return events[1:] if begin else events  # the first may be torn


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line)
        if isinstance(data, dict) and isinstance(data.get("event"), str):
            return data
    except (ValueError, RecursionError):
        pass
    return {"event": "log", "text": line[:_LONGEST].decode("utf-8", "replace")}
