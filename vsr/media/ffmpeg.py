"""The ffmpeg program: where it is, and running it without a shell, a prompt or a deadlock."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import ffmpeg

from vsr.errors import FfmpegError


def find_ffmpeg() -> str:
    """The program of the PATH, else the one that imageio-ffmpeg brings. Raises FfmpegError.

    VSR_FFMPEG names another one.
    """
    named = os.environ.get("VSR_FFMPEG")
    if named:
        if (found := shutil.which(named)) is None:
            raise FfmpegError(f"VSR_FFMPEG={named}: there is no such program")
        return found
    if (found := shutil.which("ffmpeg")) is not None:
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise FfmpegError(
            "ffmpeg: not on the PATH and not brought by imageio-ffmpeg; "
            "install it, or run `pip install imageio-ffmpeg`"
        ) from error


def file_argument(path: Path) -> str:
    """A name that ffmpeg takes for a file whatever it looks like: `-x`, `a:b`, `a\\nb`."""
    return f"file:{path.absolute()}"


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
    with tempfile.TemporaryFile() as log:
        try:
            # stdin is not the terminal, else ffmpeg eats the keys that the user types.
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
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
    with tempfile.TemporaryFile() as log:
        try:
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


def find_with_filter(name: str) -> str:
    """An ffmpeg that has the filter `name`: `find_ffmpeg`'s, else imageio-ffmpeg's.

    Raises FfmpegError where neither has it.
    """
    first = find_ffmpeg()
    if _has_filter(first, name):
        return first
    with suppress(ImportError, RuntimeError):
        import imageio_ffmpeg

        brought = str(imageio_ffmpeg.get_ffmpeg_exe())
        if not os.environ.get("VSR_FFMPEG") and _has_filter(brought, name):
            return brought
    raise FfmpegError(
        f"{first}: was built without {name}; run `pip install imageio-ffmpeg`, whose ffmpeg has "
        f"it, or name another one with VSR_FFMPEG"
    )


def _has_filter(program: str, name: str) -> bool:
    command = [program, "-hide_banner", "-filters"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise FfmpegError(f"{program}: cannot be run ({error.strerror})") from error
    return any(name in line.split()[1:2] for line in done.stdout.decode("utf-8").splitlines())


def _failed(log: IO[bytes], code: int) -> FfmpegError:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").strip().splitlines()
    # The first line names the cause mostly, the last one what it led to.
    words = dict.fromkeys([*lines[:1], *lines[-1:]]) or {f"exit code {code}": 0}
    return FfmpegError(f"ffmpeg failed: {'; '.join(words)[:400]}")


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
