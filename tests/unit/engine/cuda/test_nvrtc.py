"""Promises of the compiler of CUDA kernels: what it made is kept, and what is missing is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vsr.engine.cuda import nvrtc
from vsr.engine.cuda.nvrtc import CompiledCode, CompileError


class Compiler:
    version = "13.5"

    def __init__(self) -> None:
        self.compiled = 0

    def compile(
        self, text: str, *, architecture: int, options: tuple[str, ...] = ()
    ) -> CompiledCode:
        self.compiled += 1
        return CompiledCode(image=b"code of " + text.encode(), log="")


def test_the_same_is_compiled_once_and_a_torn_file_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiler: Any = Compiler()

    def once(text: str = "a", arch: int = 90, options: tuple[str, ...] = ()) -> bytes:
        return nvrtc.compile_once(compiler, text, architecture=arch, options=options).image

    assert once() == once() == b"code of a"
    assert compiler.compiled == 1
    (file,) = (tmp_path / "vsr" / "kernels").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert once() == b"code of a"
    assert compiler.compiled == 2
    once("b")
    once(arch=80)
    once(options=("-DX",))
    compiler.version = "13.6"
    once()
    assert compiler.compiled == 6


def test_without_a_place_to_keep_it_it_is_compiled_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vsr").write_bytes(b"a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiler: Any = Compiler()
    for _ in range(2):
        assert nvrtc.compile_once(compiler, "a", architecture=90).image == b"code of a"
    assert compiler.compiled == 2


def test_a_library_that_is_not_there_is_a_compile_error(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=r"libnvrtc\.so"):
        nvrtc.Nvrtc(tmp_path / "libnvrtc.so")
