"""Promise 6: memory does not depend on the length of the film, and is known before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import vsr
from tests.support import judge
from vsr.flow import Scope
from vsr.frame import Frame

# Not getrusage, which a child begins with its parent's peak.
_PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
"""

_CHILD = """
import sys, vsr
vsr.upscale(sys.argv[1], sys.argv[2], vsr.UpscaleOptions(
    model=vsr.ModelOptions(name="bicubic"), size=vsr.SizeOptions(scale=2),
    encode=vsr.EncodeOptions(preset="ultrafast", overwrite=True)))
print(peak())
"""


def _peak(source: Path, output: Path) -> float:
    """Peak resident memory of a run of its own, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", _PEAK + _CHILD, str(source), str(output)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout) / 1e6


@pytest.mark.slow
def test_ten_minutes_take_no_more_than_ten_seconds(tmp_path: Path) -> None:
    peaks = []
    for seconds in (10, 600):
        source = judge.make(
            tmp_path / f"{seconds}.mp4", f"testsrc2=s=64x48:r=10:d={seconds}",
            "-f", "lavfi", "-i", f"sine=d={seconds}",
            "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac",
        )  # fmt: skip
        peaks.append(_peak(source, tmp_path / "out.mp4"))
    print(f"peak memory: {peaks[0]:.0f} MB for 10 s, {peaks[1]:.0f} MB for 10 min")
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize(("free", "depths"), [(10**12, [16, 16]), (4 * 10**6, [2, 1])])
def test_queues_are_as_deep_as_memory_allows(
    bunny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    depths: list[int],
) -> None:
    seen = []
    plain = Scope.ahead

    def ahead(scope: Scope, source: Iterable[Frame], *, depth: int, name: str) -> Iterator[Frame]:
        seen.append(depth)
        return plain(scope, source, depth=depth, name=name)

    monkeypatch.setattr(Scope, "ahead", ahead)
    monkeypatch.setattr("vsr.pipeline.free_memory", lambda device: free)
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        source=vsr.SourceOptions(clips=(vsr.Clip(duration=vsr.Moment(frame=3)),)),
    )
    assert vsr.upscale(bunny, tmp_path / "out.mkv", options).frames == 3
    assert seen == depths


_ONE_FRAME = """
import sys
from fractions import Fraction
import torch, vsr
from vsr.engine.build import build_engine
from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.store import LoadedModel
from vsr.stages.device.size import TargetSize
from vsr.stages.device.stage import OutputImage
from vsr.stages.device.upscaler import Upscaler

scale, width, height = int(sys.argv[2]), 480, 270
device = vsr.DeviceOptions(device="cpu", engine=sys.argv[1])
options = vsr.UpscaleOptions(device=device)
network = SRVGGNetCompact(num_feat=64, num_conv=3, upscale=4)
model = LoadedModel(name="random", network=network, scale=4, kernel="bicubic")
layout = Layout(family="yuv", sub_x=1, sub_y=1)
colour = Colour(matrix=Matrix.BT709, range=Range.LIMITED)
target = TargetSize(width=width * scale, height=height * scale, scale=Fraction(scale))
image = OutputImage(target=target, layout=layout, colour=colour, kernel="bicubic")
engine = build_engine(model, Fraction(scale), device)

def frame(width, height):
    planes = [torch.full((h, w), 99, dtype=torch.uint8)
              for h, w in ((height, width), *[(height // 2, width // 2)] * 2)]
    return Frame(planes=tuple(planes), layout=layout, colour=colour, pts=0, duration=1,
                 time_base=Fraction(1, 24))

upscale = Upscaler(engine, image, options, sink=lambda event: None)
engine(torch.zeros(1, 3, 16, 16))  # what is taken once
before = peak()
list(upscale([frame(width, height)]))
print(peak() - before, upscale.bytes_for(width, height))
"""


@pytest.mark.parametrize("scale", ["2", "4"])
@pytest.mark.parametrize("engine", ["torch", "ncnn"])
def test_a_frame_takes_about_what_was_planned(engine: str, scale: str) -> None:
    """Too little does no harm up to 1 / 0.7: 0.7 of what is free is planned with, no more."""
    if engine == "ncnn":
        pytest.importorskip("ncnn")
    done = subprocess.run(
        [sys.executable, "-c", _PEAK + _ONE_FRAME, engine, scale],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    used, planned = map(int, done.stdout.split())
    print(f"{engine} x{scale}: {used / 1e6:.0f} MB, planned {planned / 1e6:.0f} MB")
    assert 0.35 * planned < used < planned / 0.7
