"""Copies of objects that are sources, kept on this machine for the next run.

A copy is of one version of an object: one that has changed is fetched again. Copies are removed
that nobody has used for a week, and those unused for longest before a new one would take them
beyond a quarter of the disk. What a run uses stays: it holds a lock on it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vsr.objects import Objects, cache_folder, split

_LOCK = ".lock"
_KEY = re.compile("[0-9a-f]{24}")
_UNUSED = 7 * 86400.0  # seconds after which a copy is removed
_FRESH = 3600.0  # ... in which none is: who has asked for it takes its lock
_SHARE = 4  # of the disk, one part of so many
_FREE = 1 << 30  # bytes that are left on it


def cached(address: str, fetching: Callable[[int], None]) -> Path:
    """Return a copy of an object on this machine, fetched unless it is there.

    `fetching` is told of its bytes before that. Raises FileNotFoundError, ObjectsFailed.
    """
    one, name = Objects(address), split(address)[1]
    version = one.version("")
    if version is None:
        raise FileNotFoundError(address)
    key = hashlib.sha256(f"{address} {version}".encode()).hexdigest()[:24]
    path = cache_folder() / key / name
    with _locked(path.parent):  # for the workers of this machine
        os.utime(path.parent / _LOCK)
        size = 0 if path.exists() else one.size("") or 0
        _sweep(cache_folder(), size)
        if not path.exists():
            fetching(size)
            part = path.with_name(f"{name}.part")
            one.fetch("", part)
            os.replace(part, path)
    return path


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Keep a copy from being removed meanwhile."""
    number = keep(path)
    try:
        yield
    finally:
        os.close(number)


def keep(path: Path) -> int:
    """Keep a copy as long as this process lives, or until the number is closed."""
    number = os.open(path.parent / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(number, fcntl.LOCK_SH)
    return number


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Have a folder alone; it is made if it is not there."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _LOCK).open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                is_there = os.path.samestat(os.fstat(lock.fileno()), (folder / _LOCK).stat())
            except FileNotFoundError:  # it was removed while this one waited
                is_there = False
            if is_there:
                yield
                return


def _sweep(caches: Path, size: int) -> None:
    """Remove copies that are old, and what has to go so that `size` bytes more may come."""
    found = []
    for folder in caches.iterdir():
        with suppress(OSError):
            if _KEY.fullmatch(folder.name):
                used = (folder / _LOCK).stat().st_mtime
                held = sum(f.stat().st_size for f in folder.iterdir())
                found.append((used, held, folder))
    disk, now = shutil.disk_usage(caches), time.time()
    beyond = sum(held for _, held, _ in found) + size - disk.total // _SHARE
    missing = max(beyond, size + _FREE - disk.free)
    for used, held, folder in sorted(found):
        if now - used < (_FRESH if missing > 0 and size else _UNUSED):
            continue
        with suppress(OSError):
            if _removed(folder):
                missing -= held


def _removed(folder: Path) -> bool:
    """Remove a copy that no run uses; returns whether it did. Raises OSError."""
    with (folder / _LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
