"""Memory, open files and folders of the system that are scarce, or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.promises.surroundings.conftest import QUICK, Vsr, names, said
from tests.promises.surroundings.test_streams import shell


def test_too_little_memory_to_begin(film: Path, tmp_path: Path) -> None:
    done = shell(f'ulimit -v 300000; "$@" upscale in.mkv -o o.mkv {" ".join(QUICK)}', tmp_path)
    assert done.returncode == 5, done.stderr
    assert done.stderr.startswith("vsr: out of memory: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "o.mkv").exists()


@pytest.mark.parametrize("more", [1, 8, 16])
def test_too_little_memory_is_no_damage(film: Path, tmp_path: Path, vsr: Vsr, more: int) -> None:
    """Megabytes beyond what the loaded program has."""
    limit = f"""
import resource
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * os.sysconf("SC_PAGE_SIZE") + ({more} << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("there is no /proc here")
    ended = vsr("upscale", film, "-o", tmp_path / "o.mkv", *QUICK, first=limit)
    assert (ended.code, "out of memory" in said(ended)) == (5, True), ended
    assert "damaged" not in ended.err
    assert names(tmp_path) == ["in.mkv"]
