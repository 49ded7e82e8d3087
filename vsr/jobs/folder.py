"""Where a run keeps what is not finished."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from vsr.errors import OutputError


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
