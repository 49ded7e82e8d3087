"""A source that is an address, fetched by a process of its own.

It takes up what an earlier one has left, and writes events as `vsr upscale` does.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.error
from pathlib import Path

from vsr.fetch import fetch, without_login
from vsr.jobs.store import atomic_write
from vsr.server.work.guarded import lines

_FAILED = 3  # the exit code for a source that cannot be read
_INTERVAL = 0.5  # seconds


def command(url: str, target: Path, most: int, near: tuple[str, ...]) -> list[str]:
    """Return the command that fetches at most `most` bytes into `target`."""
    return [
        sys.executable,
        "-P",
        "-m",
        "vsr.server.work.fetched",
        url,
        str(target),
        str(most),
        *near,
    ]


def main(url: str, target: str, most: str, *near: str) -> int:
    """Fetch; returns the exit code."""
    path, told = Path(target), 0.0

    def progress(done: int, total: int | None) -> None:
        nonlocal told
        if time.monotonic() - told > _INTERVAL:
            told = time.monotonic()
            _tell("downloading", name=path.name, done=done, total=total or done)

    try:
        part = path.with_name(f"{path.name}.part")
        fetch(url, part, most=int(most), lines=lines(near), progress=progress)
        if part.stat().st_size > int(most):
            part.unlink()
            raise OSError("it is larger than this server takes")
        atomic_write.rename(part, path)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        shown = without_login(f"{url}: cannot be fetched ({reason})")
        _tell("ended", exit_code=_FAILED, text=shown)
        return _FAILED
    _tell("ended", exit_code=0, text=None)
    return 0


def _tell(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, "time": round(time.time(), 3), **fields}), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
