"""A small film, and vsr run in odd surroundings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import judge

ROOT = Path(__file__).parents[3]
QUICK = ("-m", "bicubic", "-s", "1", "--threads", "1", "--preset", "ultrafast")


@dataclass(frozen=True)
class Ended:
    """How a run ended, and what it wrote."""

    code: int
    out: bytes
    err: str


Vsr = Callable[..., Ended]


@pytest.fixture(scope="session")
def vsr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vsr]:
    """`vsr("upscale", ..., cwd=folder, first="os.umask(0)")`: run in a child, after `first`."""
    folder = tmp_path_factory.mktemp("zygote")
    environment = os.environ | {
        "XDG_STATE_HOME": str(folder / "state"), "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "tests.promises.surroundings.zygote"], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        lines, answers = process.stdin, process.stdout
        out, err = folder / "out", folder / "err"

        def run(*arguments: str | Path, cwd: Path = folder, first: str = "", **env: str) -> Ended:
            request = {
                "arguments": [os.fspath(a) for a in arguments], "cwd": str(cwd), "first": first,
                "env": env, "out": str(out), "err": str(err),
            }  # fmt: skip
            lines.write(json.dumps(request) + "\n")
            lines.flush()
            code = json.loads(answers.readline())["code"]
            return Ended(code, out.read_bytes(), err.read_text("utf-8", "surrogateescape"))

        yield run
        lines.close()


@pytest.fixture(scope="session")
def _film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judge.talkie(tmp_path_factory.mktemp("film") / "in.mkv", 1)


@pytest.fixture
def film(_film: Path, tmp_path: Path) -> Path:
    """25 frames with sound, alone in the test's folder."""
    path = tmp_path / "in.mkv"
    path.write_bytes(_film.read_bytes())
    return path


def whole(path: Path) -> bool:
    """Whether all of the film is there, with its sound."""
    return len(judge.frames(path)) == 25 and bool(judge.packets(path, "a:0"))


def said(ended: Ended) -> str:
    """The one line that a run that failed has said."""
    lines = [line for line in ended.err.splitlines() if line.startswith("vsr: ")]
    assert len(lines) == 1, ended
    assert "internal error" not in ended.err, ended
    assert "Traceback" not in ended.err, ended
    return lines[0]


def names(folder: Path) -> list[str]:
    """Hidden ones, too."""
    return sorted(path.name for path in folder.iterdir())
