"""Promises: depth and chroma follow the source; a wrong option is refused, not ignored."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

import vsr
from tests.support import judge
from vsr.errors import UsageError
from vsr.frame import Layout
from vsr.media.format.encoders import plan_encoder
from vsr.options import CODECS, EncodeOptions

YUV420 = Layout(family="yuv", sub_x=1, sub_y=1)
YUV420_10 = YUV420.replace(bits=10)
RGB = Layout(family="rgb")


@pytest.mark.parametrize(
    ("source", "codec", "want"),
    [
        (YUV420, "h264", "yuv420p"),
        (YUV420_10, "h264", "yuv420p10le"),
        (YUV420.replace(bits=9), "h265", "yuv420p10le"),
        (YUV420.replace(bits=12), "h265", "yuv420p12le"),
        (YUV420_10, "av1", "yuv420p10le"),
        (YUV420.replace(bits=12), "av1", "yuv420p10le"),
        (Layout(family="yuv", sub_x=1), "h264", "yuv422p"),
        (Layout(family="yuv"), "h265", "yuv444p"),
        (Layout(family="yuv", sub_x=2), "h264", "yuv422p"),
        (RGB, "h264", "yuv420p"),
        (RGB.replace(bits=16), "ffv1", "gbrp16le"),
        (YUV420, "prores", "yuv422p10le"),
        (Layout(family="yuv", alpha=True), "prores", "yuva444p10le"),
        (YUV420.replace(alpha=True), "ffv1", "yuva420p"),
        (YUV420_10, "hevc_nvenc", "p010le"),
        (Layout(family="gray"), "ffv1", "gray"),
        (Layout(family="gray"), "h264", "yuv420p"),
        (YUV420, "png", "rgb24"),
        (YUV420_10, "png", "rgb48be"),
        (Layout(family="gray", bits=16), "png", "gray16be"),
        (YUV420, "apng", "rgb24"),
        (YUV420, "jpeg", "yuv444p"),
    ],
    ids=str,
)
def test_the_format_is_the_nearest(source: Layout, codec: str, want: str) -> None:
    options = EncodeOptions(codec=codec)  # type: ignore[arg-type]
    assert plan_encoder(options, source).pix_fmt == want


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_has_a_plan(codec: str) -> None:
    plan = plan_encoder(EncodeOptions(codec=codec), YUV420)  # type: ignore[arg-type]
    assert codec in plan.description


def test_depth_can_be_asked_for() -> None:
    assert plan_encoder(EncodeOptions(bits=10), YUV420).layout.bits == 10
    assert plan_encoder(EncodeOptions(bits=8), YUV420_10).layout.bits == 8
    with pytest.raises(UsageError, match="bits"):
        plan_encoder(EncodeOptions(codec="prores", bits=8), YUV420)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (EncodeOptions(crf=99), "crf"),
        (EncodeOptions(crf=-1), "crf"),
        (EncodeOptions(codec="ffv1", crf=10), "crf"),
        (EncodeOptions(preset="warp"), "preset"),
        (EncodeOptions(codec="ffv1", preset="slow"), "preset"),
        (EncodeOptions(encoder_options=(("tuen", "film"),)), "did you mean tune"),
    ],
)
def test_wrong_options_are_refused(options: EncodeOptions, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        plan_encoder(options, YUV420)


def test_options_reach_the_encoder() -> None:
    given = EncodeOptions(crf=20.5, preset="fast", encoder_options=(("tune", "animation"),))
    settings = plan_encoder(given, YUV420).settings
    assert (settings["crf"], settings["preset"], settings["tune"]) == ("20.5", "fast", "animation")
    prores = plan_encoder(dataclasses.replace(given, codec="prores", crf=None, preset="lt",
                                              encoder_options=()), YUV420)  # fmt: skip
    assert prores.settings["profile"] == "lt"


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="no scheduling policies here")
@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9"])
def test_no_encoder_makes_the_process_a_real_time_one(codec: str, bunny: Path) -> None:
    """SVT-AV1 does, of root's: then nothing else on the machine gets to a processor."""
    code = """
import os, sys, tempfile, vsr
from pathlib import Path
def policies():
    tasks = Path("/proc/self/task").iterdir()
    return {os.sched_getscheduler(int(task.name)) for task in tasks}
found, before = set(), policies()
with tempfile.TemporaryDirectory() as folder:
    vsr.upscale(
        sys.argv[1], Path(folder, "o.mkv"), model="bicubic", scale="1/4", codec=sys.argv[2],
        clip="0f-6f", sink=lambda event: found.update(policies()),
    )
assert found == before == {os.SCHED_OTHER}, (found, before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, bunny, codec], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_rate_that_an_encoder_refuses_is_named(tmp_path: Path) -> None:
    """SVT-AV1 takes 240 frames a second at most."""
    source = judge.make(tmp_path / "s.mp4", "testsrc2=s=64x48:r=480:d=0.02", "-c:v", "mpeg4",
                        "-r", "480")  # fmt: skip
    with pytest.raises(UsageError, match=r"libsvtav1 refuses .* with 480 frames a second"):
        vsr.upscale(source, tmp_path / "o.webm", model="nearest", scale=1)
