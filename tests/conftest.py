"""What several tests need: samples, tiny networks, and a place where nothing is downloaded."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import signal
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vsr.frame import Colour, Frame, Layout
from vsr.machine import cores, memory
from vsr.nets.families.srvgg import SRVGGNetCompact

pytest_plugins = ["tests.support.jobs"]

_PROCESS = 5 << 29  # bytes
SAMPLES = Path(__file__).parent.parent / "samples"


# A suite that a script runs behind `&` ignores SIGINT, one under nohup SIGHUP, and so would all
# that it starts. What a handler hears, and does nothing about, is not ignored by them.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, lambda number, frame: None)


@pytest.fixture
def bunny() -> Path:
    """5 s of Big Buck Bunny, 320x180 at 24 fps, with AAC stereo."""
    return SAMPLES / "bunny.mp4"


def tiny_weights(folder: Path, *, num_feat: int = 8, num_conv: int = 1, upscale: int = 2) -> Path:
    """A weight file of a small random network, where the network is not the point."""
    torch.manual_seed(0)
    network = SRVGGNetCompact(num_feat=num_feat, num_conv=num_conv, upscale=upscale)
    path = folder / "tiny.safetensors"
    save_file(network.state_dict(), path)
    return path


def random_frames(
    count: int, width: int, height: int, layout: Layout, colour: Colour
) -> list[Frame]:
    """Frames of 8 bits with any code values, 25 a second."""
    torch.manual_seed(0)
    return [
        Frame(
            planes=tuple(
                torch.randint(16, 235, size).byte() for size in layout.plane_sizes(width, height)
            ),
            layout=layout, colour=colour, pts=n, duration=1, time_base=Fraction(1, 25),
        )
        for n in range(count)
    ]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _memory_is_given_back() -> Iterator[None]:
    """Give back what the tests of a file have used: an engine tells glibc to keep it."""
    yield
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    """No test may leave one of our threads behind, whatever went wrong in it."""
    yield
    left = [t.name for t in threading.enumerate() if t.name.startswith("vsr-")]
    assert not left


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's cache nor his settings reach into the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("VSR_CONFIG", str(tmp_path_factory.getbasetemp() / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))
    monkeypatch.delenv("VSR_FFMPEG", raising=False)


@pytest.fixture(scope="session")
def _trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an `ffmpeg` and an `ffprobe` that fail, and write down that they were run."""
    folder = tmp_path_factory.mktemp("trap")
    for name in ("ffmpeg", "ffprobe"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "$0 $*" >>"{folder}/calls"\nexit 97\n')
        program.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def _nothing_of_the_path(_trap: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither vsr nor a test may run the ffmpeg that happens to be installed on a machine."""
    monkeypatch.setenv("PATH", f"{_trap}{os.pathsep}{os.environ.get('PATH', '')}")
    yield
    calls = _trap / "calls"
    run = calls.read_text() if calls.exists() else ""
    calls.unlink(missing_ok=True)
    assert not run, f"an ffmpeg of the PATH was run: {run}"


def pytest_xdist_auto_num_workers() -> int:
    """As many processes as there are cores and memory for, of which one takes up to 2 GB."""
    return max(1, min(cores(), memory() // _PROCESS))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device; this machine has none")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)
