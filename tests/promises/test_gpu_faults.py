"""Promise where a GPU's kernels fail at work: one line, and the film is finished.

On the host of `tests/support/cuda/host`, with a fault planted into the kernels.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import tiny_weights
from tests.support import judge
from tests.support.cuda.host.fixtures import needs_host
from tests.support.cuda.host.gpu import HostGpu

pytestmark = [needs_host, pytest.mark.slow]
# In films of 48 pixels across alone, with 4 more on either side, and where something is white.
_LATE = (
    r"uint4\* own = gathered",
    r"if (tile.width == 56 && of[4] > 0.9f) __trap(); \g<0>",
)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Two seconds of 48x32: dark, and white from the middle of the second one on."""
    return judge.make(
        tmp_path / "s.mkv",
        "color=c=0x303030:s=48x32:r=8:d=1.5[a];color=c=white:s=48x32:r=8:d=0.5[b];[a][b]concat",
        "-c:v", "ffv1", "-pix_fmt", "yuv420p",
    )  # fmt: skip


def upscale(film: Path, output: Path, gpu: HostGpu, *more: str) -> subprocess.CompletedProcess[str]:
    weights = tiny_weights(film.parent, num_feat=64)
    return subprocess.run(
        [
            sys.executable, "-m", "vsr", "upscale", str(film), "-o", str(output),
            "--model", str(weights), "--device", "cuda", "--codec", "ffv1", "--segment", "1", *more,
        ],
        capture_output=True, text=True, check=False,
        env={**os.environ, **gpu.environment(), "XDG_CACHE_HOME": str(film.parent / "cache")},
    )  # fmt: skip


def test_a_fault_in_the_middle_ends_the_run_in_a_line_and_the_same_command_goes_on(
    film: Path, tmp_path: Path
) -> None:
    """With PyTorch, since the kernels are refused from then on."""
    output, gpu = tmp_path / "o.mkv", HostGpu(processors=2, plants=(_LATE,))
    failed = upscale(film, output, gpu, "--engine", "cuda", "--batch", "1")
    assert failed.returncode == 1
    (line,) = (one for one in failed.stderr.splitlines() if one.startswith("vsr: "))
    assert "has failed in our kernels" in line
    assert "--engine torch" in line
    assert not output.exists()

    again = upscale(film, output, gpu, "--engine", "cuda", "--batch", "1")
    assert again.returncode == 0, again.stderr
    assert "our CUDA kernels have failed at work" in again.stderr
    assert judge.rgb(output, size=(96, 64)).shape[0] == 16
