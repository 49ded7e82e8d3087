"""Promises of PyTorch on CUDA that can be seen without a GPU: what it is told, in which order."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.cuda.host import build
from vsr.engine import streams
from vsr.engine.base import DeviceFault, fault_of
from vsr.engine.torch_engine import TorchEngine
from vsr.nets.families.srvgg import SRVGGNetCompact

CPU = torch.device("cpu")


def network() -> SRVGGNetCompact:
    return SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2).requires_grad_(False)


def test_cudnn_tries_its_ways_only_for_shapes_that_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reuse makes rectangles of ever new sizes; each trial takes a good part of a second."""
    asked: list[bool] = []

    @contextmanager
    def flags(**given: Any) -> Iterator[None]:
        asked.append(given["benchmark"])
        yield

    monkeypatch.setattr(torch.backends.cudnn, "flags", flags)
    engine = TorchEngine(network(), device=CPU, dtype=torch.float32, precision="fp32")
    for width in (8, 9, 8, 9, 10):
        engine(torch.rand(1, 3, 8, width))
    assert asked == [False, False, True, True, False]


def test_weights_are_not_freed_before_all_batches_in_flight_have_read_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Going over to fp32 in the middle of a film: two batches are on their way then."""
    done: list[str] = []
    given = network()
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: done.append("waited"))

    def freed() -> SRVGGNetCompact:
        done.append("freed")
        return given

    monkeypatch.setattr(given, "cpu", freed)
    monkeypatch.setattr(given, "to", lambda *_, **__: given)
    engine = TorchEngine(
        given, device=torch.device("cuda", 0), dtype=torch.float16, precision="fp16"
    )
    done.clear()
    assert engine.fall_back_to_fp32()
    assert done == ["waited", "freed"]


def test_films_and_pictures_share_the_streams_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch keeps of freed memory it keeps for one stream."""
    made: list[object] = []

    def stream(device: torch.device) -> object:
        made.append(device)
        return object()

    monkeypatch.setattr(torch.cuda, "Stream", stream)
    streams.streams_of.cache_clear()
    device = torch.device("cuda", 0)
    assert streams.streams_of(device) is streams.streams_of(torch.device("cuda", 0))
    assert len(made) == 3
    streams.streams_of.cache_clear()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DeviceFault("cuLaunchKernel: trap (719)"), "cuLaunchKernel: trap (719)"),
        (torch.AcceleratorError("CUDA error: misaligned address\nmore"), "misaligned address"),
        (torch.OutOfMemoryError("CUDA out of memory"), None),
        (torch.AcceleratorError("CUDA error: out of memory"), None),
        (RuntimeError("something else"), None),
    ],
)
def test_a_fault_is_told_from_other_errors(error: Exception, words: str | None) -> None:
    assert fault_of(error) == words


_BUILTINS = """
#include <dlfcn.h>
extern "C" int nvrtcVersion(int* major, int* minor) {
    *major = 13, *minor = 0;
    return dlopen("libnvrtc-builtins.so.13.0", RTLD_NOW) ? 0 : 7;
}
extern "C" const char* nvrtcGetErrorString(int) { return "failed to open libnvrtc-builtins"; }
"""


@pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))
def test_the_compiler_finds_its_builtins_beside_it(tmp_path: Path) -> None:
    """That of NVIDIA's package opens them by a bare name, and knows no folder."""
    (tmp_path / "n.cpp").write_text(_BUILTINS)
    for name, source in (
        ("libnvrtc.so.13", ["n.cpp", "-ldl"]), ("libnvrtc-builtins.so.13.0", ["-xc++", "/dev/null"])
    ):  # fmt: skip
        subprocess.run(
            ["g++", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", name, *source],
            cwd=tmp_path, check=True,
        )  # fmt: skip
    script = (
        "import sys; from pathlib import Path; from vsr.engine.cuda.nvrtc import Nvrtc; "
        "print(Nvrtc(Path(sys.argv[1])).version)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "libnvrtc.so.13")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "13.0\n", done.stderr
