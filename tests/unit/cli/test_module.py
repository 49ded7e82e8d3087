"""Promise: `python -m vsr` is the command `vsr`, from the first moment on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_MODULE = ("-m", "vsr")


def _run(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["probe", "none.mkv"], ["nix"]])
def test_the_module_does_what_the_command_does(arguments: list[str]) -> None:
    assert _run(*_MODULE, *arguments) == _run("vsr_cli.py", *arguments)


def test_the_module_is_ended_by_a_signal_in_a_line(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-v", *_MODULE, "upscale", tmp_path / "none.mkv"],
        stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("import 'vsr.errors'"):
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "vsr: interrupted; nothing was begun" in err
    assert "Traceback" not in err
