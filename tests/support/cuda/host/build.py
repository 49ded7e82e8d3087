"""Compiles the driver of a machine without a GPU, and kernels for it, with g++.

What was compiled is kept for the tests of one machine, in its folder for temporary files.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from tests.support.cuda.host.translate import translate

_HERE = Path(__file__).parent
_COMMON = ("-O3", "-march=native", "-fPIC", "-shared", "-fcf-protection=none")
# Each access to memory calls the machine.
_KERNELS = (
    "-std=c++17", "-nostdinc++", "-w",
    "-ffp-contract=fast",  # as NVRTC does where it is not told otherwise
    "-fsanitize=thread", "--param=tsan-instrument-func-entry-exit=0",
    "-nodefaultlibs",  # but for the sanitizer's own library
    "-lm", "-lc",
)  # fmt: skip


class HostMissing(Exception):
    """This machine cannot stand in for a GPU; the message says why."""


def missing() -> str | None:
    """Return why the host cannot be had on this machine; None: it can."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "the host's switch of stacks is for Linux on x86-64"
    if shutil.which("g++") is None:
        return "needs g++"
    if _header() is None:
        return "needs NVIDIA's cuda.h: pip install nvidia-cuda-runtime"
    return None


def driver() -> ctypes.CDLL:
    """Load the driver, so that whoever asks for `libcuda.so.1` gets it. Raises HostMissing."""
    return _driver()


@functools.cache
def _driver() -> ctypes.CDLL:
    if (reason := missing()) is not None:
        raise HostMissing(reason)
    header = _header()
    sources = [_HERE / name for name in ("driver.cpp", "machine.cpp", "shared.cpp")]
    options = (
        "-std=c++17", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", f"-isystem{header}",
        "-U_FORTIFY_SOURCE", "-Wl,-soname,libcuda.so.1", "-Wl,-Bsymbolic", "-ldl", "-pthread",
    )  # fmt: skip
    file = _compiled("libcuda.so.1", sources, options)
    return ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)


def take_memory(take: bool = True) -> None:
    """Make what PyTorch allocates from now on what kernels may touch; or no more."""
    _allocator().host_take_memory(int(take))


@functools.cache
def _allocator() -> ctypes.CDLL:
    driver()
    folder = Path(torch.__file__).parent
    options = (
        "-std=c++20", "-w", f"-isystem{folder / 'include'}", f"-L{folder / 'lib'}", "-lc10",
        f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}",
    )  # fmt: skip
    file = _compiled("allocator.so", [_HERE / "allocator.cpp"], options)
    return ctypes.CDLL(str(file))


def kernels(text: str, options: Sequence[str]) -> bytes:
    """Return the shared object of kernels that NVRTC would compile with `options`."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernels.cpp")
        source.write_text(translate(text), encoding="utf-8")
        defines = [option for option in options if option.startswith("-D")]
        return _compiled("kernels.so", [source], (*_KERNELS, f"-I{_HERE}", *defines)).read_bytes()


@functools.cache
def version() -> str:
    """Return what tells kernels of this host from those of another one."""
    texts = [file.read_bytes() for file in sorted(_HERE.iterdir()) if file.is_file()]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:12]


def _compiled(name: str, sources: Sequence[Path], options: Sequence[str]) -> Path:
    headers = sorted(_HERE.glob("*.h"))
    texts = [file.read_bytes() for file in (*sources, *headers)]
    own = b"\0".join((*texts, *(option.encode() for option in (*_COMMON, *options))))
    folder = Path(tempfile.gettempdir(), f"vsr-cuda-host-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / f"{hashlib.sha256(own).hexdigest()[:20]}-{name}"
    if not file.exists():
        part = file.with_suffix(f".{os.getpid()}")
        command = ["g++", *_COMMON, *map(str, sources), *options, "-o", str(part)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HostMissing(f"g++: {done.stderr[:2000]}")
        os.replace(part, file)
    return file


def _header() -> Path | None:
    spec = importlib.util.find_spec("nvidia")
    for place in (spec and spec.submodule_search_locations) or ():
        for file in Path(place).glob("*/include/cuda.h"):
            return file.parent
    return None


def words() -> str:
    """Return what the last kernel that failed did wrong, and what the driver refused last."""
    lib = driver()
    lib.machine_words.restype = lib.host_refusal.restype = ctypes.c_char_p
    return f"{lib.machine_words().decode()}; {lib.host_refusal().decode()}"
