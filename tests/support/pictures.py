"""Pictures, made small, and the command on them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support import judge
from vsr.cli import cli
from vsr.cli.options import for_people
from vsr.errors import VsrError

NEAREST = ("-m", "nearest", "-s", "1")


def upscale(*arguments: str | Path) -> Result:
    given = [str(a) for a in arguments]
    model = () if "-m" in given else NEAREST
    return CliRunner().invoke(cli, ["upscale", *given, *model])


def shots(folder: Path, count: int = 3, *, size: str = "64x48", suffix: str = "png") -> Path:
    """Numbered pictures of a moving test chart; returns their pattern."""
    folder.mkdir(exist_ok=True)
    judge.make(folder / f"%05d.{suffix}", f"testsrc2=s={size}:r=2", "-frames:v", str(count))
    return folder / f"%05d.{suffix}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def same_pictures(a: Path, b: Path) -> bool:
    return [p.digest for p in judge.frames(a)] == [p.digest for p in judge.frames(b)]


def refused(error: type[VsrError], word: str, *arguments: str | Path) -> None:
    done = upscale(*arguments)
    assert isinstance(done.exception, error), done.output
    assert word in for_people(done.exception.text)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own in the new `folder`; the test is skipped where that is forbidden."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
