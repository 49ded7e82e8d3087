"""Small files in the user's cache, of what engines found out or made once for this machine."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import platformdirs


def place(*names: str) -> Path:
    """Return where a file of that name is kept."""
    return Path(platformdirs.user_cache_dir("vsr", appauthor=False), *names)


def keep(file: Path, data: bytes) -> None:
    """Write it, whole or not at all; where nothing can be kept, the next run does it again."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as part:
            try:
                part.write(data)
                part.close()
                os.replace(part.name, file)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
