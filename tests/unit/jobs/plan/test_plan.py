"""Promise: a plan changes nothing on the disk and loads no network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import vsr
from tests.support import judge
from vsr.errors import OutputExists
from vsr.jobs.store.job_store import folder_of


def _listed(folder: Path) -> dict[str, int]:
    """Return every name in there with the time of its last change."""
    return {
        str(Path(root, name)): Path(root, name).lstat().st_mtime_ns
        for root, folders, files in os.walk(folder)
        for name in (*folders, *files)
    }


def test_a_plan_leaves_all_as_it_is(tmp_path: Path) -> None:
    film = judge.make(
        tmp_path / "a.mkv", "testsrc2=s=48x32:r=10:d=1", "-c:v", "ffv1", "-pix_fmt", "yuv420p"
    )
    output = tmp_path / "b.mkv"
    output.write_bytes(b"x")
    left = folder_of(output)  # of a run that was killed at its very end
    left.mkdir()
    (left / "lock").touch()
    before = _listed(tmp_path)
    # Of weights that are not there: who only plans needs none.
    options = vsr.UpscaleOptions(model=vsr.ModelOptions(name=str(tmp_path / "none.pth")))
    source = vsr.probe(film)
    plan = vsr.plan(source, tmp_path / "c.mkv", options, default_scale=4)
    assert (plan.target.width, plan.target.height) == (192, 128)
    assert plan.is_resumable
    with pytest.raises(OutputExists):
        vsr.plan(source, output, options, default_scale=4)
    assert _listed(tmp_path) == before
    # Whoever runs it takes away what was left.
    with pytest.raises(OutputExists):
        vsr.upscale(film, output, model="bicubic", scale=2)
    assert not left.exists()
    assert output.read_bytes() == b"x"
