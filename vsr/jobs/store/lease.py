"""Who works on a job, on file systems whose locks do not reach other machines.

A small file in the store that its holder writes anew every few seconds. Whoever finds one watches
whether it changes, by a clock of their own: clocks of two machines need not agree. Nothing that is
finished rests on it (`shared_store.py`); it only keeps two machines from doing the same work.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr.jobs.store import atomic_write

NAME = "lease.json"
_BEAT = 5.0  # seconds between two signs of life
_STALE = 20.0  # seconds without one, after which a holder is taken for dead


class Lease:
    """A job's lease, as long as it is held."""

    def __init__(self, folder: Path, *, beat: float = _BEAT) -> None:
        self._path, self._beat = folder / NAME, beat
        self._token, self._count = uuid.uuid4().hex, 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = False  # another machine has taken this one for dead

    def take(self) -> None:
        """Take it where nobody holds it, and keep it until `close`. Raises OSError."""
        _take_away(self._path)
        self._write()
        self._thread = threading.Thread(target=self._keep, name="vsr-lease", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give it back."""
        if self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        self._thread = None
        with suppress(OSError):
            if _read(self._path).get("token") == self._token:
                atomic_write.remove(self._path)

    def _keep(self) -> None:
        while not self._ended.wait(self._beat):
            with suppress(OSError):  # a server that is away for a moment; the next beat tells
                if (there := _read(self._path)) and there.get("token") != self._token:
                    self.lost = True
                    return
                self._write()

    def _write(self) -> None:
        self._count += 1
        told = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "token": self._token,
            "beat": self._count,
        }
        atomic_write.write(self._path, json.dumps(told))


def holder_elsewhere(folder: Path, *, stale: float = _STALE) -> str | None:
    """Return who holds a job's lease, in words, if they live: after watching for `stale` seconds.

    None: nobody, or one that is dead. A process of this machine is asked for by its number.
    """
    path = folder / NAME
    there = _read(path)
    if not there:
        return None
    host, process = str(there.get("host")), there.get("process")
    if host == socket.gethostname() and isinstance(process, int) and not _lives(process):
        return None
    end = time.monotonic() + stale
    while time.monotonic() < end:
        time.sleep(min(stale / 20, 1.0))
        now = _read(path)
        if not now:
            return None
        if now != there:
            return f"process {process} of {host}"
    return None


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _take_away(path: Path) -> None:
    """Remove a dead holder's lease; of several that do, one does."""
    away = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    with suppress(FileNotFoundError):
        os.rename(path, away)  # noqa: PTH104
        atomic_write.remove(away)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
