"""What tests on a machine without a GPU need to have one, for as long as they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.cuda.host import build
from tests.support.cuda.host.gpu import HostGpu
from vsr.engine.cuda.nvrtc import CompileError, Nvrtc

needs_host = pytest.mark.skipif(
    build.missing() is not None, reason=f"no host of CUDA kernels: {build.missing()}"
)


def _compiler_missing() -> str | None:
    try:
        Nvrtc()
    except CompileError as error:
        return str(error)
    return None


_MISSING = _compiler_missing()
needs_nvrtc = pytest.mark.skipif(_MISSING is not None, reason=f"needs NVRTC: {_MISSING}")
# Bytes of shared memory that a block may have (CUDA C++ Programming Guide, technical
# specifications), of one architecture for each tiling.
SHARED = {80: 163 << 10, 86: 99 << 10, 90: 227 << 10}


def gpu_of(architecture: int, processors: int = 3) -> HostGpu:
    """Return one of that compute capability (times ten)."""
    return HostGpu(architecture=architecture, processors=processors, shared=SHARED[architecture])


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[HostGpu], None]]:
    """Give this process a GPU, until the test ends."""
    yield lambda gpu: gpu.install(monkeypatch.setattr)
    build.take_memory(False)
