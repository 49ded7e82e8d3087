"""Promise: a size that memory cannot hold is refused in one line, before memory is taken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support import judge
from vsr.errors import InputError
from vsr.media.format import decoder
from vsr.media.source.probe import probe

SIDE = 4096
LIMIT = 2**20  # pixels; in the place of what this machine could hold

_CHILD = """
import re, sys, vsr, vsr.jobs.run.upscale  # what is imported is not what is measured
from vsr.errors import VsrError
from vsr.media.format import decoder as decode
decode._MOST_PIXELS = int(sys.argv[1])
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
for source in sys.argv[2:]:
    try:
        vsr.upscale(source, source + ".mkv", vsr.UpscaleOptions(
            model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(height=32)))
    except VsrError as error:
        print(type(error).__name__, error)
print(peak() - before)
"""


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Small files of large pictures."""
    folder = tmp_path_factory.mktemp("bombs")
    paths = [folder / f"a.{kind}" for kind in ("png", "gif", "jpg", "mkv", "mp4", "ts")]
    flat = f"color=black:s={SIDE}x{SIDE}:r=25:d=0.04"
    formats = {".png": "rgb24", ".gif": "rgb8", ".jpg": "yuvj420p", ".mkv": "yuv420p"}
    for path in paths[:4]:
        fast = ("-c:v", "libx264", "-preset", "ultrafast") if path.suffix == ".mkv" else ()
        judge.make(path, flat, "-frames:v", "1", "-pix_fmt", formats[path.suffix], *fast)
    for path in paths[4:]:
        judge.ffmpeg("-i", str(paths[3]), "-c", "copy", str(path))
    paths.append(folder / "a.webp")
    Image.new("RGB", (SIDE, SIDE)).save(paths[-1], lossless=True, method=0)
    return paths


def test_what_memory_cannot_hold_is_refused_before_it_is_taken(bombs: list[Path]) -> None:
    command = [sys.executable, "-c", _CHILD, str(LIMIT), *map(str, bombs)]
    # glibc would fill what is only asked for.
    own = {name: value for name, value in os.environ.items() if name != "MALLOC_PERTURB_"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=own)
    *said, grown = done.stdout.splitlines()
    print(f"{int(grown) / 1024:.0f} MB for {len(bombs)} files")
    assert len(said) == len(bombs)
    for line in said:
        assert line.startswith("InputError")
        assert "memory holds here" in line
    assert int(grown) < 40_000  # kB; one such picture takes 50,000 as it is decoded


def test_what_memory_holds_is_read(bombs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_MOST_PIXELS", SIDE * SIDE)
    for path in bombs:
        assert probe(path).video.width == SIDE
    monkeypatch.setattr(decoder, "_MOST_PIXELS", SIDE * SIDE - 1)
    for path in bombs:
        with pytest.raises(InputError, match="memory holds here"):
            probe(path)
