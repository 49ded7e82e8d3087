"""Promises where a GPU's kernels fail, in a trial or at work: one line, and the film is finished.

On the host of `tests/support/cuda/host`, with a fault planted into the kernels.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
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


# What trials find: where it is planted, what stands there, the reason that is told.
_PLANTED = {
    "a trap": (r"const Extent extent\(tile\);", r"\g<0> __trap();", "failed in a trial ("),
    "a hang": (
        r"const Extent extent\(tile\);",
        r"""\g<0> for (;;) asm volatile("");""",
        "hung in a trial of 5 seconds",
    ),
    "a wrong second tile": (
        r"patch = PATCH_BYTES - patch;",
        "patch = 0;",
        "computed something else in a trial",
    ),
}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames."""
    return judge.make(
        tmp_path_factory.mktemp("short") / "s.mkv",
        "testsrc2=s=32x24:r=3:d=1", "-c:v", "ffv1", "-pix_fmt", "yuv420p",
    )  # fmt: skip


@pytest.fixture(scope="module")
def by_pytorch(short: Path) -> np.ndarray:
    """Its frames, upscaled by PyTorch alone."""
    done = upscale(short, short.with_name("torch.mkv"), HostGpu(), "--engine", "torch")
    assert done.returncode == 0, done.stderr
    return judge.rgb(short.with_name("torch.mkv"), size=(64, 48))


@pytest.mark.parametrize("fault", _PLANTED)
def test_kernels_that_a_trial_refuses_cost_a_line_and_pytorch_makes_the_film(
    fault: str, short: Path, by_pytorch: np.ndarray, tmp_path: Path
) -> None:
    """As on a GPU, which tells of no race, so that a wrong tile is seen by its numbers alone."""
    pattern, instead, reason = _PLANTED[fault]
    seconds = 5 if "hung" in reason else 1200
    gpu = HostGpu(processors=2, plants=((pattern, instead),), checks=False, seconds=seconds)
    done = upscale(short, tmp_path / "o.mkv", gpu, "--engine", "cuda")
    assert done.returncode == 0, done.stderr
    (line,) = (one for one in done.stderr.splitlines() if "our CUDA kernels" in one)
    assert "PyTorch runs the network: our CUDA kernels" in line
    assert reason in line
    made = judge.rgb(tmp_path / "o.mkv", size=(64, 48))
    assert made.shape == (3, 48, 64, 3)
    assert np.array_equal(made, by_pytorch)
