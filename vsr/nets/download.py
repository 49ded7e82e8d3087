"""One file from an address to a folder: resumed, checked by hash, never half-made."""

from __future__ import annotations

import hashlib
import http.client
import os
from pathlib import Path

from vsr.errors import DownloadError
from vsr.events import Downloading, Sink
from vsr.fetch import fetch


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_MOST = 8 << 30  # bytes of a file whose size nobody has said


def download(
    url: str, target: Path, *, size: int | None, digest: str, sink: Sink, advice: str
) -> None:
    """Fetch `url` to `target` by way of `target`.part, which a later call continues.

    `size` in bytes (None: nobody has said it) and `digest` (sha256, hex) are what must arrive;
    anything else is thrown away. Raises DownloadError, with `advice` where it cannot be fetched;
    `target` exists only if all is well.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        most = _MOST if size is None else size
        if part.exists() and part.stat().st_size > most:
            part.unlink()
        if not part.exists() or not _is_whole(part, size, digest):

            def progress(done: int, total: int | None) -> None:
                sink(Downloading(name=target.name, done=done, total=size or total or done))

            fetch(url, part, most=most, progress=progress)
        if size not in (None, part.stat().st_size) or sha256(part) != digest:
            part.unlink()
            raise DownloadError(f"{url}: what came is not {target.name} (its sha256 differs)")
        os.replace(part, target)
    except DownloadError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"{target.name}: cannot be fetched from {url} ({reason}); {advice}"
        ) from error


def _is_whole(part: Path, size: int | None, digest: str) -> bool:
    return sha256(part) == digest if size is None else part.stat().st_size >= size
