"""Where a run keeps what is not finished."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vsr.errors import OutputError, cause
from vsr.jobs.store import lock

_PREFIX = ".vsr-"
_NEW = 5.0  # seconds


@contextmanager
def made(folder: Path, wanted: bool = True) -> Iterator[None]:
    """Make `folder` where it is `wanted`; taken away again if nothing came into it."""
    try:
        new = wanted and not folder.is_dir()
        if new:
            folder.mkdir()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({cause(error)})") from error
    try:
        yield
    finally:
        if new:
            with suppress(OSError):
                folder.rmdir()


class WorkFolder:
    """A hidden folder beside the output: the same file system, so that a rename finishes.

    Locked for as long as its process lives, so that others can tell what a kill has left.
    """

    def __init__(self, output: Path) -> None:
        self._parent = output.absolute().parent

    def __enter__(self) -> Path:
        try:
            self._path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
            self._number = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise OutputError(f"{self._parent}: cannot be written to ({cause(error)})") from error
        self._lock = lock.take(self._number)
        return self._path

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):
            shutil.rmtree(self._path)
        if self._lock is not None:
            self._lock.close()
        os.close(self._number)


def held_here() -> list[Path]:
    """Return the work folders of this process, for an end at which nothing is unwound."""
    folders = []
    with suppress(OSError):
        for number in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                path = number.readlink()
                if path.name.startswith(_PREFIX) and path.is_dir():
                    folders.append(path)
    return folders


def sweep(parent: Path) -> None:
    """Remove the work folders in there whose processes were killed."""
    for folder in parent.glob(f"{_PREFIX}????????"):  # as `mkdtemp` names them
        with suppress(OSError):
            # One that was made just now may not have its lock yet.
            if folder.is_symlink() or time.time() - folder.stat().st_mtime < _NEW:
                continue
            number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                held = lock.take(number)
                if held is not None and held.everywhere:  # else another machine may be at work
                    shutil.rmtree(folder)
                if held is not None:
                    held.close()
            finally:
                os.close(number)
