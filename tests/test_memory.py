"""Promise 6: memory does not depend on the length of the film."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import judge

_CHILD = """
import resource, sys, vsr
vsr.upscale(sys.argv[1], sys.argv[2], vsr.UpscaleOptions(
    model=vsr.ModelOptions(name="bicubic"), size=vsr.SizeOptions(scale=2),
    encode=vsr.EncodeOptions(preset="ultrafast", overwrite=True)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _peak(source: Path, output: Path) -> float:
    """Peak resident memory of a run of its own, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(source), str(output)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout) / 1024


@pytest.mark.slow
def test_ten_minutes_take_no_more_than_ten_seconds(tmp_path: Path) -> None:
    peaks = []
    for seconds in (10, 600):
        source = judge.make(
            tmp_path / f"{seconds}.mp4", f"testsrc2=s=160x96:r=10:d={seconds}",
            "-f", "lavfi", "-i", f"sine=d={seconds}",
            "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac",
        )  # fmt: skip
        peaks.append(_peak(source, tmp_path / "out.mp4"))
    print(f"peak memory: {peaks[0]:.0f} MB for 10 s, {peaks[1]:.0f} MB for 10 min")
    assert peaks[1] < 1.1 * peaks[0]
