"""The folders that sources may lie in, and nothing outside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vsr.media.source.protocols import PLAYLISTS
from vsr.server.refusals import Refused

_LONGEST = 4096  # characters of a path


def inside(given: str, roots: Sequence[Path], what: str = "source") -> Path:
    """Return the file that `given` names in one of the `roots`, without links. Raises Refused.

    The answer is the same for what is not there and for what must not be read. Hidden files are
    not read, and playlists neither: they would name other files.
    """
    for root in roots if len(given) <= _LONGEST else ():
        try:
            path = (root / given).resolve(strict=True)
            if path.is_relative_to(root) and path.is_file() and _is_shown(path, root):
                return path
        except (OSError, RuntimeError, ValueError):
            continue
    raise Refused(422, f"{what}: there is no such file in the folders that this server reads")


def _is_shown(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return not hidden and path.suffix.lower() not in PLAYLISTS
