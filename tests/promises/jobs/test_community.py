"""Promise: films by networks of the extra `community` go on after a kill, and are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.promises.jobs.test_kill import finished_parts, told
from tests.support import community, judge
from tests.support.jobs import Run

_PATIENCE = 600  # seconds


@pytest.mark.slow
@pytest.mark.timeout(3 * _PATIENCE)
@pytest.mark.parametrize("name", ["SPAN", "DAT", "RealPLKSR", "OmniSR", "SwinIR", "HAT"])
def test_ten_frames_are_the_same_after_a_kill(name: str, run: Run, tmp_path: Path) -> None:
    community.spandrel_here()
    film = judge.make(
        tmp_path / "film.mkv", "testsrc2=s=48x32:r=10,trim=end_frame=10", "-c:v", "libx264",
        "-g", "2", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    model, _ = community.random_file(name, tmp_path)
    how = {"model": str(model), "scale": "2", "kill_after": _PATIENCE}
    whole = run(film, tmp_path / "whole.mkv", **how)
    assert whole.get("frames") == 10, whole
    assert judge.size_of(tmp_path / "whole.mkv") == (96, 64)
    output = tmp_path / "killed.mkv"
    assert "killed" in run(film, output, at=whole["calls"] // 2, kind="after", **how)
    parts = finished_parts(output)
    assert parts
    resumed = run(film, output, **how)
    assert resumed.get("frames") == 10, resumed
    assert told(output) == told(tmp_path / "whole.mkv")
