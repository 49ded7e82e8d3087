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
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr.jobs.store import atomic_write

NAME = "lease.json"
_BEAT = 5.0  # seconds between two signs of life
_STALE = 20.0  # seconds without one, after which a holder is taken for dead


class LeaseFile:
    """What is read and written, as a file. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def read(self) -> bytes | None:
        """Return what is there."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, data: bytes) -> None:
        """Put it there, whole."""
        atomic_write.write(self._path, data.decode())

    def remove(self) -> None:
        """Take it away."""
        atomic_write.remove(self._path)


class Lease:
    """A job's lease, as long as it is held."""

    def __init__(self, file: LeaseFile, *, beat: float = _BEAT) -> None:
        self._file, self._beat = file, beat
        self._token, self._count = uuid.uuid4().hex, 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = False  # another machine has taken this one for dead

    def take(self) -> None:
        """Take it, also from a dead holder, and keep it until `close`. Raises OSError.

        Of two that take it at the same moment the one that writes last has it; the other is told.
        """
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
            if _told(self._file).get("token") == self._token:
                self._file.remove()

    def _keep(self) -> None:
        while not self._ended.wait(self._beat):
            with suppress(OSError):  # a server that is away for a moment; the next beat tells
                if (there := _told(self._file)) and there.get("token") != self._token:
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
        self._file.write(json.dumps(told).encode())


def holder_elsewhere(file: LeaseFile, *, stale: float = _STALE) -> str | None:
    """Return who holds a job's lease, in words, if they live: after watching for `stale` seconds.

    None: nobody, or one that is dead. A process of this machine is asked for by its number.
    """
    there = _told(file)
    if not there:
        return None
    host, process = str(there.get("host")), there.get("process")
    if host == socket.gethostname() and isinstance(process, int) and not _lives(process):
        return None
    end = time.monotonic() + stale
    while time.monotonic() < end:
        time.sleep(min(stale / 20, 1.0))
        now = _told(file)
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


def _told(file: LeaseFile) -> Mapping[str, Any]:
    try:
        data = json.loads(file.read() or b"{}")
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
