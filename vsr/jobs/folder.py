"""Where a run keeps what is not finished."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vsr.errors import OutputError


@contextmanager
def made(folder: Path, wanted: bool = True) -> Iterator[None]:
    """Make `folder` where it is `wanted`; taken away again if nothing came into it."""
    try:
        new = wanted and not folder.is_dir()
        if new:
            folder.mkdir()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
    try:
        yield
    finally:
        if new:
            with suppress(OSError):
                folder.rmdir()


class WorkFolder:
    """A hidden folder beside the output: the same file system, so that a rename finishes."""

    def __init__(self, output: Path) -> None:
        self._parent = output.absolute().parent

    def __enter__(self) -> Path:
        try:
            self._path = Path(tempfile.mkdtemp(prefix=".vsr-", dir=self._parent))
        except OSError as error:
            raise OutputError(f"{self._parent}: cannot be written to ({error.strerror})") from error
        return self._path

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):
            shutil.rmtree(self._path)
