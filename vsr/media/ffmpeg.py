"""The ffmpeg program: where it is, and running it without a shell, a prompt or a deadlock."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import ffmpeg

from vsr.children import shielded
from vsr.errors import NO_MEMORY, FfmpegError, OutOfMemory, VsrError

_OLDEST = 9  # with 7.0, times in Matroska are a tick off; 8 was not tried
# What is asked of it, what the answer must name, and what that is.
_NEEDED = {
    "-muxers": (("matroska", "mp4", "mov", "webm", "mpegts", "nut", "image2"), "the muxer"),
    "-encoders": (
        ("aac", "libopus", "flac", "alac", "pcm_s24le", "mov_text", "subrip", "webvtt"),
        "the encoder",
    ),
    "-filters": (("aformat", "aresample"), "the filter"),
    "-bsfs": (("aac_adtstoasc",), "the bitstream filter"),
    "-h demuxer=hls": (("-seg_max_retry",), "for HLS the option"),
    "-h muxer=mov": (("-movie_timescale",), "for MOV the option"),
    "-h muxer=matroska": (("-default_mode",), "for Matroska the option"),
}


@dataclass(frozen=True, kw_only=True)
class FfmpegProgram:
    """An ffmpeg, and what it lacks of what vsr asks of it."""

    path: str
    version: str  # as it says it; "" where it says none
    named: bool  # by VSR_FFMPEG
    lacks: tuple[str, ...]  # in words; none: all is there


def find_ffmpeg() -> str:
    """Return the program that imageio-ffmpeg brings, or the one that VSR_FFMPEG names.

    What else is installed does not matter: its version would decide what is kept of a film.
    Raises FfmpegError where there is none, or the one that is named falls short.
    """
    if not os.environ.get("VSR_FFMPEG"):
        return brought_ffmpeg()
    program = describe_ffmpeg()
    if program.lacks:
        raise FfmpegError(
            f"VSR_FFMPEG={program.path}: lacks {', '.join(program.lacks)}; name another one, or "
            f"unset VSR_FFMPEG and take the one that comes with vsr"
        )
    return program.path


def brought_ffmpeg() -> str:
    """Return the program in imageio-ffmpeg's wheel. Raises FfmpegError."""
    package = importlib.util.find_spec("imageio_ffmpeg")
    for folder in package.submodule_search_locations or () if package is not None else ():
        for program in sorted(Path(folder, "binaries").glob("ffmpeg-*")):
            if os.access(program, os.X_OK):
                return str(program)
    raise FfmpegError(
        "ffmpeg: imageio-ffmpeg brings none for this machine; run `pip install imageio-ffmpeg`, "
        "or name one with VSR_FFMPEG"
    )


def describe_ffmpeg() -> FfmpegProgram:
    """Say which ffmpeg is used, and what it lacks. Raises FfmpegError where there is none."""
    named = os.environ.get("VSR_FFMPEG")
    if not named:
        return _described(brought_ffmpeg(), named=False)
    if (found := shutil.which(named)) is None:
        raise FfmpegError(f"VSR_FFMPEG={named}: there is no such program")
    return _described(str(Path(found).absolute()), named=True)


@cache
def _described(program: str, *, named: bool) -> FfmpegProgram:
    said = _asked(program, "-version")
    version = said.split()[2] if said.startswith("ffmpeg version ") else ""
    if not version:
        return FfmpegProgram(path=program, version="", named=named, lacks=("all: it is no ffmpeg",))
    number = re.match(r"n?(\d+)\.", version)  # a build between two releases has a hash
    is_old = number is not None and int(number[1]) < _OLDEST
    lacks = [f"version {_OLDEST} or later (it is {version})"] if is_old else []
    for question, (names, what) in _NEEDED.items():
        words = set(_asked(program, *question.split()).split())
        lacks += [f"{what} {name}" for name in names if name not in words]
    return FfmpegProgram(path=program, version=version, named=named, lacks=tuple(lacks))


def has_filter(program: str, name: str) -> bool:
    """Return whether `program` was built with the filter `name`. Raises FfmpegError."""
    return any(name in line.split()[1:2] for line in _asked(program, "-filters").splitlines())


def said_of(path: Path, options: Mapping[str, str]) -> str:
    """Return what ffmpeg prints of the streams of a file, which it opens with `options`."""
    words = [word for name, value in options.items() for word in (f"-{name}", value)]
    return _run(find_ffmpeg(), *words, "-i", file_argument(path)).stderr.decode("utf-8", "replace")


def _asked(program: str, *question: str) -> str:
    return _run(program, *question).stdout.decode("utf-8", "replace")


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [program, "-hide_banner", *arguments]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise FfmpegError(f"{program}: cannot be run ({error.strerror})") from error


def file_argument(path: Path) -> str:
    """Return a name that ffmpeg takes for a file whatever it looks like: `-x`, `a:b`, `a\\nb`."""
    return f"file:{path.absolute()}"


def plain_name(path: Path, folder: Path) -> Path:
    """Return a name that ffmpeg-python can hold: a link, where the file's own is no text at all."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        link = folder / f"source{os.fsdecode(path.suffix.encode(errors='ignore'))}"
        if not link.is_symlink():
            link.symlink_to(path.absolute())
        return link
    return path


def run(
    streams: Sequence[Any],
    target: Path,
    options: Mapping[str, Any],
    *,
    extra: Sequence[str] = (),
    patience: float | None = None,
) -> None:
    """Make ffmpeg write `streams` of ffmpeg-python to `target`, with the output's `options`.

    `extra`: options of the output that come more than once, which ffmpeg-python cannot say.
    `patience`: seconds without growth of `target` after which ffmpeg is told to come to an
    end, as if its source had ended.

    Raises FfmpegError with the first and the last line that ffmpeg wrote.
    ffmpeg-python only builds the arguments: its own `run` loses the error text.
    """
    name = file_argument(target)
    arguments = ffmpeg.get_args(ffmpeg.output(*streams, name, **options))
    at = arguments.index(name)
    arguments[at:at] = ["-y", *extra]
    command = [find_ffmpeg(), "-nostdin", "-hide_banner", "-loglevel", "error", *arguments]
    # A file, not a pipe: nothing has to be read while ffmpeg runs, and nothing can fill up.
    with _unnamed() as log:
        try:
            # stdin is not the terminal, else ffmpeg eats the keys that the user types.
            with shielded(but=() if patience is None else (signal.SIGTERM,)):
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
        except OSError as error:
            raise FfmpegError(f"{command[0]}: cannot be run ({error.strerror})") from error
        try:
            code = process.wait() if patience is None else _watch(process, target, patience)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if code:
            raise _failed(log, code)


@contextmanager
def fed(program: str, arguments: Sequence[str], folder: Path) -> Iterator[IO[bytes]]:
    """Run ffmpeg in `folder` on what the caller writes into the stream that it gets.

    Leaving the context ends the stream and waits. Raises FfmpegError with ffmpeg's words.
    """
    if Path(program).name != program:
        program = str(Path(program).absolute())  # as it was named, not as from `folder`
    command = [program, "-hide_banner", "-loglevel", "error", *arguments]
    with _unnamed() as log:
        try:
            with shielded():
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder
                )
        except OSError as error:
            raise FfmpegError(f"{command[0]}: cannot be run ({error.strerror})") from error
        assert process.stdin is not None
        try:
            try:
                yield process.stdin
                process.stdin.close()
            except BrokenPipeError:  # its words say why it stopped reading
                with suppress(BrokenPipeError):
                    process.stdin.close()
                raise _failed(log, process.wait()) from None
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()
            raise
        if code:
            raise _failed(log, code)


def _unnamed() -> IO[bytes]:
    """Return a file for a program's words, in memory: folders for such files may be full, or not
    there.
    """
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("vsr"), "w+b")
    return tempfile.TemporaryFile()


def _failed(log: IO[bytes], code: int) -> VsrError:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").strip().splitlines()
    # The first line names the cause mostly, the last one what it led to.
    words = dict.fromkeys([*lines[:1], *lines[-1:]]) or {_ended(code): 0}
    text = f"ffmpeg failed: {'; '.join(words)[:400]}"
    return OutOfMemory(NO_MEMORY) if os.strerror(errno.ENOMEM) in text else FfmpegError(text)


def _ended(code: int) -> str:
    if code == -signal.SIGXFSZ:
        return "a file grew beyond the limit of `ulimit -f`; write elsewhere, or raise it"
    return f"exit code {code}" if code > 0 else f"ended by {signal.Signals(-code).name}"


def _watch(process: subprocess.Popen[bytes], target: Path, patience: float) -> int:
    """Wait for the process, and end it where nothing comes any more."""
    size, grown = -1, time.monotonic()
    while True:
        try:
            return process.wait(timeout=min(patience / 4, 0.5))
        except subprocess.TimeoutExpired:
            pass
        now = target.stat().st_size if target.exists() else -1
        if now > size:
            size, grown = now, time.monotonic()
        elif time.monotonic() - grown > patience:
            process.terminate()  # ffmpeg finishes its file
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            return 0
