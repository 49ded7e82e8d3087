"""What a name stands for that somebody typed, or a script put together: a file, a pipe, nothing."""

from __future__ import annotations

import os
import re
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from vsr.errors import InputError, OutputError, UsageError
from vsr.media.format.containers import STDOUT
from vsr.media.source.image_list import is_too_long

STDIN = Path("-")
_OPEN = re.compile(r"/(?:dev|proc/self)/fd/(\d+)|/dev/std(?:in|out|err)", re.ASCII)
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


def local(name: Path | str) -> Path:
    """Return a file's name. `-` as it stands is a standard stream; `./-` is a file like any other.

    Raises UsageError for a name that no file can have.
    """
    if not os.fspath(name):
        raise UsageError("a name is empty; is a variable not set?")
    path = Path(name)
    if any(map(is_too_long, path.parts)):
        raise UsageError(f"{path}: the name is too long")
    if "\0" in str(path):
        raise UsageError(f"{str(path)!r}: no name has a zero byte in it")
    if not path.is_absolute():
        try:
            Path.cwd()
        except OSError as error:
            raise UsageError(
                f"{path}: the working folder is gone; go to another one, or give full names"
            ) from error
    if isinstance(name, str) and name != str(STDIN) and path == STDIN:
        return path.absolute()
    return path


def local_source(name: Path | str) -> Path:
    """Return `local` of a source; of an open file (`/dev/stdin`, `/dev/fd/3`), its own name."""
    path = local(name)
    if (number := _open_file(path)) is None:
        return path
    with suppress(OSError):
        own = path.resolve()
        if own.is_file() and own.samefile(path):
            return own
    return STDIN if number == 0 else path


def local_output(name: Path | str) -> Path:
    """Return `local` of a result. Raises UsageError for what is no file, OutputError."""
    path = local(name)
    number = _open_file(path)
    if number == 1 or path == STDOUT:
        if sys.stdout is None:
            raise UsageError("standard output: is closed; a film cannot be written there")
        return STDOUT
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = 0
    except OSError as error:
        raise OutputError(f"{path}: cannot be written to ({error.strerror})") from error
    if number is not None or (mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))):
        there = f">&{number}" if number is not None else f"> {path}"
        raise UsageError(
            f"{path}: is no plain file; a film for a pipe or a device is written with -o - {there}"
        )
    return path


def names_folder(name: Path | str | None) -> bool:
    """Return whether a result's name says that it is a folder, there or not: `done/`."""
    return isinstance(name, str) and name.endswith("/")


def comes_once(path: Path) -> bool:
    """Return whether what is called so can only be read from its beginning to its end, one time."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    # An open file that has no name any more is one that nobody else can open.
    nameless = _open_file(path) is not None and not path.resolve().exists()
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode) or nameless


def opened(path: Path) -> BinaryIO:
    """Return what comes through `STDIN`, a named pipe or an open file. Raises InputError,
    UsageError.
    """
    shown = "standard input" if path == STDIN else str(path)
    number = _open_file(path)
    try:
        if path == STDIN:
            which = os.dup(sys.stdin.buffer.fileno() if sys.stdin is not None else 0)
        else:
            try:
                which = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                if number is None:
                    raise
                which = os.dup(number)  # a socket, which cannot be opened by its name
    except OSError as error:
        raise InputError(f"{shown}: cannot be read ({error.strerror})") from error
    file = os.fdopen(which, "rb", buffering=0)
    if file.isatty():
        file.close()
        raise UsageError(f"{shown}: is a terminal; send a film into it, or name a file")
    return file


def _open_file(path: Path) -> int | None:
    """Return the number of the open file that a name stands for."""
    found = _OPEN.fullmatch(str(path))
    if found is None:
        return None
    return int(found[1]) if found[1] is not None else _STANDARD[found[0]]
