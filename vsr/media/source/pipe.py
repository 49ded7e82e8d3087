"""Bytes that come only once: standard input, and a file that is still being written.

The demuxers want to look at the beginning first, and the picture and the sound are read by
threads of their own. So each reader keeps its own place, and what lies between the slowest
and the fastest one is held in memory; once all of them have come, no more than that.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

Chunks = Callable[[], bytes | None]  # some bytes, b"" at the end, None when nothing came yet

_CHUNK = 1 << 16
_WAIT = 0.1  # seconds after which a reader looks whether it is to stop


class Pipe:
    """Bytes that come once, for several readers."""

    def __init__(self, chunks: Chunks, *, file: Path | None = None) -> None:
        self.file = file  # that holds all of the bytes in the end
        self._chunks = chunks
        self._changed = threading.Condition()
        self._held = bytearray()
        self._at = 0  # of the first byte that is held
        self._readers: list[PipeReader] = []
        self._copy: BinaryIO | None = None
        self._awaited: int | None = None  # readers that are still to come; None: not known
        self._fetching = self._ended = False

    def reader(self) -> PipeReader:
        """Return a reader that begins at the beginning; after `start`, only as many as it said."""
        with self._changed:
            reader = PipeReader(self)
            self._readers.append(reader)
            if self._awaited is not None:
                assert self._awaited > 0
                self._awaited -= 1
            return reader

    def head(self, count: int) -> bytes:
        """Return the first bytes, without taking them away."""
        reader = self.reader()
        data = reader.read(count)
        while len(data) < count and (more := reader.read(count - len(data))):
            data += more
        reader.close()
        return data

    def start(self, readers: int, copy: BinaryIO | None = None) -> None:
        """Let go of what all have read, once `readers` more readers have come.

        `copy` gets all bytes, from the first on.
        """
        with self._changed:
            self._awaited, self._copy = readers, copy
            if copy is not None:
                copy.write(self._held)
            self._forget()

    def drain(self, most: int | None = None) -> None:
        """Read on, for the copy, to the end; or what is there already, at most so many bytes."""
        if most is None:
            while self._fetch():
                pass
            return
        while most > 0 and self._fetch(waits=False):
            most -= _CHUNK

    def stop(self) -> None:
        """End all reading, in any thread; readers see the end."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self, reader: PipeReader, count: int) -> bytes:
        """Wait for bytes where `reader` stands; return `count` at most, b"" at the end."""
        while True:
            with self._changed:
                begin = reader.place - self._at
                if data := bytes(self._held[begin : begin + count]):
                    reader.place += len(data)
                    self._forget()
                    return data
            if not self._fetch():
                return b""

    def leave(self, reader: PipeReader) -> None:
        """Keep nothing for `reader` any more."""
        with self._changed:
            if reader in self._readers:
                self._readers.remove(reader)
            self._forget()

    def _fetch(self, *, waits: bool = True) -> bool:
        """Wait for more bytes, or for another thread that does; False at the end."""
        with self._changed:
            if self._ended:
                return False
            if self._fetching:
                self._changed.wait(_WAIT)
                return True
            self._fetching = True
        data = None
        try:
            data = self._chunks()
            while data is None and waits and not self._ended:
                data = self._chunks()
        finally:
            with self._changed:
                self._fetching = False
                if data:
                    self._held += data
                    if self._copy is not None:
                        self._copy.write(data)
                    self._forget()
                else:
                    self._ended = True
                self._changed.notify_all()
        return True

    def _forget(self) -> None:
        if self._awaited != 0:
            return
        places = [reader.place for reader in self._readers]
        needed = min(places, default=self._at + len(self._held))
        del self._held[: needed - self._at]
        self._at = needed


class PipeReader:
    """What PyAV reads from, as from a file."""

    def __init__(self, pipe: Pipe) -> None:
        self.place = 0
        self._pipe = pipe

    def read(self, count: int) -> bytes:
        """Read at most `count` bytes; b"" at the end."""
        return self._pipe.take(self, count)

    def close(self) -> None:
        """Keep nothing for this reader any more."""
        self._pipe.leave(self)


def incoming(file: BinaryIO) -> Chunks:
    """Return what comes through a pipe, a socket or a terminal; a file too."""
    number = file.fileno()

    def chunks() -> bytes | None:
        # Not to be stuck in a read that no signal and no other thread can end.
        ready, _, _ = select.select([number], [], [], _WAIT)
        return os.read(number, _CHUNK) if ready else None

    return chunks


def growing(path: Path, patience: float) -> Chunks:
    """Return a file, read on at its end until it has not grown for `patience` seconds."""
    file = path.open("rb")
    grown = time.monotonic()

    def chunks() -> bytes | None:
        nonlocal grown
        if data := file.read(_CHUNK):
            grown = time.monotonic()
            return data
        if time.monotonic() - grown > patience:
            file.close()
            return b""
        time.sleep(_WAIT)
        return None

    return chunks
