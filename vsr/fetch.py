"""Bytes from an address into a file, taken up again where the line broke."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

_CHUNK = 1 << 18
_TRIES = 4  # without a byte in between
_PAUSE = 0.5  # seconds before the second try; doubled each time


def open_address(url: str, *, timeout: float, begin: int = 0) -> http.client.HTTPResponse:
    """The server's answer, from byte `begin` on if it can. Raises OSError, ValueError."""
    request = urllib.request.Request(url, headers={"User-Agent": "vsr"})
    if begin:
        request.add_header("Range", f"bytes={begin}-")
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()  # it is an open answer, too
        raise
    assert isinstance(answer, http.client.HTTPResponse)
    return answer


def fetch(
    url: str,
    target: Path,
    *,
    most: int | None = None,
    timeout: float = 30.0,
    progress: Callable[[int, int | None], None],
) -> None:
    """Complete the file `target` with what is missing of `url`.

    Stops at more than `most` bytes. `timeout`: seconds without a byte until the line counts
    as broken; it is then tried again. `progress` hears how much is here, and of how much.
    Raises OSError (also urllib's), http.client.HTTPException or ValueError.
    """
    tries = 0
    while True:
        have = _size(target)
        try:
            _fetch(url, target, have, most, timeout, progress)
            return
        except (urllib.error.HTTPError, http.client.InvalidURL):
            raise  # the server's word, or a bad address: no use in asking again
        except (OSError, http.client.HTTPException):
            tries = tries + 1 if _size(target) <= have else 1
            if tries == _TRIES:
                raise
            time.sleep(_PAUSE * 2 ** (tries - 1))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch(  # noqa: PLR0917 (only called above)
    url: str,
    target: Path,
    have: int,
    most: int | None,
    timeout: float,
    progress: Callable[[int, int | None], None],
) -> None:
    with open_address(url, timeout=timeout, begin=have) as answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server sends the whole file again
        total = have + answer.length if answer.length is not None else None
        with target.open("ab" if have else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
                if most is not None and have > most:
                    return  # not the file that was promised; the caller finds out
    if total is not None and have < total:
        raise http.client.IncompleteRead(b"", total - have)
