"""Promise: the ffmpeg that is used is a known one, and one that falls short says what it lacks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import vsr
from tests.support import judge
from vsr.errors import FfmpegError
from vsr.media.ffmpeg import describe_ffmpeg, find_ffmpeg


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(params=["broken", "none"])
def path_of_another_machine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A PATH whose ffmpeg fails, and one that has no program at all."""
    folder = tmp_path / "programs"
    folder.mkdir()
    if request.param == "broken":
        script(folder / "ffmpeg", f'echo "$*" >>"{tmp_path}/calls"; exit 1')
    monkeypatch.setenv("PATH", str(folder))
    yield
    assert not (tmp_path / "calls").exists(), (tmp_path / "calls").read_text()


@pytest.mark.usefixtures("path_of_another_machine")
def test_what_is_installed_does_not_matter(tmp_path: Path, bunny: Path) -> None:
    """Neither for the film's sound, nor for what the tests compare it with."""
    output = tmp_path / "o.mkv"
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=vsr.SizeOptions(height=18),
        encode=vsr.EncodeOptions(preset="ultrafast"),
    )
    assert not any("audio" in note for note in vsr.upscale(bunny, output, options).notes)
    got, want = ([p.digest for p in judge.packets(path, "a:0")] for path in (output, bunny))
    assert got == want


def test_the_one_that_is_named_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = script(tmp_path / "mine", f'exec "{judge.PROGRAM}" "$@"')
    monkeypatch.setenv("VSR_FFMPEG", str(program))
    assert find_ffmpeg() == str(program)
    assert describe_ffmpeg().named
    assert not describe_ffmpeg().lacks


@pytest.mark.parametrize(
    ("what", "hides"),
    [
        ("the muxer webm", "s/ webm / /"),
        ("the encoder libopus", "s/libopus//g"),
        ("the filter aresample", "s/ aresample / /"),
        ("for HLS the option -seg_max_retry", "s/-seg_max_retry//"),
        ("version 9 or later", "s/^ffmpeg version [^ ]*/ffmpeg version 5.1.9-0+deb12u1/"),
        ("it is no ffmpeg", "s/^ffmpeg version/tool/"),
    ],
)
def test_one_that_falls_short_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, hides: str
) -> None:
    program = script(tmp_path / "mine", f'"{judge.PROGRAM}" "$@" | sed \'{hides}\'')
    monkeypatch.setenv("VSR_FFMPEG", str(program))
    assert any(what in lack for lack in describe_ffmpeg().lacks)
    with pytest.raises(FfmpegError, match="VSR_FFMPEG") as refused:
        find_ffmpeg()
    assert what in str(refused.value)
    assert "\n" not in str(refused.value)


def test_nothing_in_the_tests_can_run_the_one_of_the_path() -> None:
    """The guard of `conftest.py` stands first, and would write it down."""
    ran = subprocess.run(["ffmpeg", "-version"], check=False)
    assert ran.returncode == 97
    calls = Path(os.environ["PATH"].split(os.pathsep)[0]) / "calls"
    assert "-version" in calls.read_text()
    calls.unlink()
