"""The scripts in `benchmarks/`: what is wrong is told in a line, as by the commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[3] / "benchmarks"
_SCRIPTS = sorted(
    path for path in _FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda path: path.name)
def test_every_script_ends_by_the_one_way(script: Path) -> None:
    assert script.read_text(encoding="utf-8").endswith(
        'if __name__ == "__main__":\n    run_script(main)\n'
    )


def test_a_model_that_is_not_there_is_a_line(tmp_path: Path) -> None:
    script, model = str(_FOLDER / "peers.py"), str(tmp_path / "none.pth")
    done = subprocess.run(
        [sys.executable, script, "--model", model], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert done.stderr.startswith(f"{script}: ")
    assert model in done.stderr
    assert done.stderr.count("\n") == 1
