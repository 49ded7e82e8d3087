"""CUDA C++ to machine code, by NVIDIA's run-time compiler, which comes with PyTorch's CUDA build.

It needs no GPU, no toolkit and no headers. What was compiled is kept in the user's cache, so a
machine compiles once.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsr.engine.kernel_launch import KernelsUnavailable
from vsr.engine.user_cache import keep, place


class CompileError(KernelsUnavailable):
    """The compiler is missing, or refused the source; the message ends with its log."""


@dataclass(frozen=True, kw_only=True)
class CompiledCode:
    """Machine code for one architecture, or PTX, which the driver compiles further."""

    image: bytes
    log: str  # of the compiler; empty where it was in the cache


class Nvrtc:
    """The compiler's library. Raises CompileError where there is none."""

    def __init__(self, path: Path | None = None) -> None:
        self._lib = _load(path)
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self._lib.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        self.version = f"{major.value}.{minor.value}"

    def architectures(self) -> list[int]:
        """Return those that it makes machine code for: 80, 90, ..."""
        count = ctypes.c_int()
        self._check(self._lib.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
        architectures_found = (ctypes.c_int * count.value)()
        self._check(self._lib.nvrtcGetSupportedArchs(architectures_found))
        return sorted(architectures_found)

    def compile(
        self, source: str, *, architecture: int, options: Sequence[str] = ()
    ) -> CompiledCode:
        """Compile machine code for `architecture` (90 is sm_90), or PTX where it is too new for
        that.
        """
        known = self.architectures()
        if architecture in known:
            return self._compile(source, (f"-arch=sm_{architecture}", *options), "CUBIN")
        older = [one for one in known if one < architecture]
        if not older:
            raise CompileError(f"NVRTC {self.version} makes no code for sm_{architecture}")
        return self._compile(source, (f"-arch=compute_{older[-1]}", *options), "PTX")

    def ptx(self, source: str, *, architecture: int, options: Sequence[str] = ()) -> str:
        """Return the virtual assembly, for those who read it."""
        code = self._compile(source, (f"-arch=compute_{architecture}", *options), "PTX")
        return code.image.rstrip(b"\0").decode("ascii")

    def _compile(self, source: str, options: Sequence[str], kind: str) -> CompiledCode:
        lib, program = self._lib, ctypes.c_void_p()
        text = source.encode()
        self._check(lib.nvrtcCreateProgram(ctypes.byref(program), text, b"vsr.cu", 0, None, None))
        try:
            given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            failed = lib.nvrtcCompileProgram(program, len(options), given)
            log = self._text(program, "ProgramLog").rstrip(b"\0").decode(errors="replace").strip()
            if failed:
                raise CompileError(f"NVRTC {self.version}, {' '.join(options)}:\n{log}")
            return CompiledCode(image=self._text(program, kind), log=log)
        finally:
            lib.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(getattr(self._lib, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._lib, f"nvrtcGet{what}")(program, buffer))
        return buffer.raw

    def _check(self, result: int) -> None:
        if result:
            self._lib.nvrtcGetErrorString.restype = ctypes.c_char_p
            words = self._lib.nvrtcGetErrorString(result).decode()
            raise CompileError(f"NVRTC: {words}")


def compile_once(
    compiler: Nvrtc, source: str, *, architecture: int, options: Sequence[str] = ()
) -> CompiledCode:
    """Compile as `Nvrtc.compile`, or read the code from the cache where it was compiled before."""
    own = "\0".join((source, str(architecture), compiler.version, *options))
    name = hashlib.sha256(own.encode()).hexdigest()
    file = place("kernels", f"{name}.bin")
    with contextlib.suppress(OSError):
        cached = file.read_bytes()
        # A power cut may leave a file that has its name but not all of its bytes.
        if hashlib.sha256(cached[32:]).digest() == cached[:32]:
            return CompiledCode(image=cached[32:], log="")
    code = compiler.compile(source, architecture=architecture, options=options)
    keep(file, hashlib.sha256(code.image).digest() + code.image)
    return code


def _load(path: Path | None) -> ctypes.CDLL:
    tried = []
    for name in [str(path)] if path else _names():
        try:
            _load_builtins(Path(name))
            return ctypes.CDLL(name)
        except OSError as error:
            tried.append(str(error))
    raise CompileError("; ".join(tried[:2]) or "NVRTC is not installed")


def _load_builtins(library: Path) -> None:
    """Load what the compiler opens by its bare name, which its own folder is not searched for."""
    for file in sorted(library.parent.glob("*nvrtc-builtins*")):
        with contextlib.suppress(OSError):
            ctypes.CDLL(str(file))


def _names() -> Iterator[str]:
    """Yield where PyTorch's wheels and NVIDIA's packages put it, the newest first; then the
    system's.
    """
    folders = [_folder("torch", "lib")]
    for base in _folders("nvidia"):
        # By major version since CUDA 13; a package of its own before. Windows says bin.
        folders += [
            folder
            for inner in (
                "cu*/lib",
                "cuda_nvrtc/lib",
                "cu*/bin/x86_64",
                "cu*/bin",
                "cuda_nvrtc/bin",
            )
            for folder in sorted(base.glob(inner), reverse=True)
        ]
    for folder in folders:
        if folder is not None:
            for pattern in ("libnvrtc.so*", "libnvrtc-[0-9a-f]*.so*", "nvrtc64_*.dll"):
                for file in sorted(folder.glob(pattern), reverse=True):
                    if "builtins" not in file.name and ".alt." not in file.name:
                        yield str(file)
    yield from ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")


def _folder(package: str, inner: str) -> Path | None:
    return next((folder / inner for folder in _folders(package)), None)


def _folders(package: str) -> list[Path]:
    # Without importing it: `nvidia` is a namespace, and torch is there already.
    spec = importlib.util.find_spec(package)
    return [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
