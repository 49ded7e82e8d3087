"""Films to be interrupted, and a process that runs vsr in children."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import judge

ROOT = Path(__file__).parents[2]
Run = Callable[..., dict[str, Any]]


class After:
    """Asks to stop after so many parts."""

    def __init__(self, parts: int) -> None:
        self._left = parts

    def __call__(self) -> bool:
        self._left -= 1
        return self._left <= 0


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run vsr in a child: `run(source, output, part=0.5, kill_after=0.3)`; tells what it told."""
    report = tmp_path_factory.mktemp("zygote") / "report.json"
    state = tmp_path_factory.mktemp("state")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.zygote"], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=os.environ | {"XDG_STATE_HOME": str(state), "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        lines, answers = process.stdin, process.stdout

        def ask(source: Path, output: Path, **request: Any) -> dict[str, Any]:
            request |= {"source": str(source), "output": str(output), "report": str(report)}
            lines.write(json.dumps({"part": 0.4, **request}) + "\n")
            lines.flush()
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

        yield ask
        lines.close()


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Three kinds of source, and the suffix of the result."""
    folder = tmp_path_factory.mktemp("films")
    picture = "testsrc2=s=64x48:r=25:d=3"
    cfr = judge.make(
        folder / "cfr.mp4", picture, "-map", "0", "-map", "1", "-c:v", "libx264", "-g", "10",
        "-pix_fmt", "yuv420p", "-c:a", "aac", inputs=["-f", "lavfi", "-i", "sine=d=3"],
    )  # fmt: skip
    vfr = judge.make(
        folder / "vfr.mkv", picture, "-map", "0", "-map", "1", "-vf",
        "setpts='(N+floor(N/7)*0.6+0.3*sin(N))/25/TB'", "-fps_mode", "passthrough",
        "-c:v", "libx264", "-g", "12", "-bf", "3", "-x264-params", "open-gop=1:keyint_min=12",
        "-pix_fmt", "yuv420p", "-c:a", "flac", inputs=["-f", "lavfi", "-i", "sine=d=4"],
    )  # fmt: skip
    gif = judge.make(folder / "anim.gif", "testsrc2=s=48x48:r=10:d=3")
    return {"cfr": (cfr, ".mp4"), "vfr": (vfr, ".mkv"), "gif": (gif, ".gif")}
