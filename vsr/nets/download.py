"""One file from an address to a folder: resumed, checked by hash, never half-made."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from vsr.errors import DownloadError
from vsr.events import Downloading, Sink

_CHUNK = 1 << 18
_TIMEOUT = 30.0  # seconds without a byte
_TRIES = 3


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, target: Path, *, size: int, digest: str, sink: Sink) -> None:
    """Fetch `url` to `target` by way of `target`.part, which a later call continues.

    `size` in bytes and `digest` (sha256, hex) are what must arrive; anything
    else is thrown away. Raises DownloadError; `target` exists only if all is well.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _TRIES + 1):
            try:
                _fetch(url, part, size, target.name, sink)
                break
            except (urllib.error.HTTPError, http.client.InvalidURL):
                raise  # the server's word, or a bad address: no use in asking again
            except (OSError, http.client.HTTPException):
                if attempt == _TRIES:
                    raise
        if part.stat().st_size != size or sha256(part) != digest:
            part.unlink()
            raise DownloadError(f"{url}: what came is not {target.name} (its sha256 differs)")
        os.replace(part, target)
    except DownloadError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"{target.name}: cannot be fetched from {url} ({reason}); "
            f"put the file into {target.parent} yourself, or name a mirror with --mirror"
        ) from error


def _fetch(url: str, part: Path, size: int, name: str, sink: Sink) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have > size:
        part.unlink()
        have = 0
    if have == size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "vsr"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server sends the whole file again
        with part.open("ab" if have else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                sink(Downloading(name=name, done=have, total=size))
                if have > size:
                    break  # not the file that was promised; the caller finds out
    if have < size:
        raise http.client.IncompleteRead(b"", size - have)
