"""The standard streams and the working folder, as scripts, services and full disks leave them."""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_NAMES = "vsr-names"  # how what an encoding does not have is written
# Of PyTorch's allocator, of the loader, of Python's threads, and of the system.
_NO_MEMORY = (
    "t allocate memory", "failed to map segment", "start new thread", "bad_alloc", "Cannot allocate"
)  # fmt: skip
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def prepare() -> None:
    """Make the standard streams such that no work is lost by what becomes of them.

    Where one is closed, the next file to be opened would take its place, and its text. One that
    nobody reads any more, or whose disk is full, ends no film: `failure` tells of it at the end.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for number in (1, 2):  # who made them non-blocking for himself did it for us as well
        with suppress(OSError):
            os.set_blocking(number, True)
    codecs.register_error(_NAMES, _as_bytes)
    if sys.stdout is not None and sys.stdout is sys.__stdout__:
        sys.stdout = _SafeStream(1, sys.__stdout__.encoding)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _SafeStream(2, getattr(sys.__stderr__, "encoding", "utf-8"))


def failure() -> str | None:
    """Return what is to be said of text on standard output that could not be written; None:
    nothing.
    """
    failed = sys.stdout.failed if isinstance(sys.stdout, _SafeStream) else None
    if failed is None:
        return None
    if failed.errno == errno.EPIPE:
        return ""  # who read it has what he wanted
    return f"standard output: cannot be written to ({failed.strerror})"


@contextmanager
def in_a_folder() -> Iterator[None]:
    """Move somewhere for a while where the working folder is gone: Intel's MKL cannot be loaded
    there.
    """
    try:
        os.getcwd()  # noqa: PTH109 (only whether there is one)
    except OSError:
        here = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
        os.chdir("/")
        try:
            yield
        finally:
            os.fchdir(here)
            os.close(here)
    else:
        yield


def lacks_memory(error: BaseException) -> bool:
    """Return whether a library says, in whatever words, that there is no memory for it."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)


def printable(text: str) -> str:
    """Return `text` in one line, with nothing in it that a terminal would take for an order."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class _SafeStream(io.TextIOWrapper):
    """Text to a standard stream, which remembers what went wrong and goes on."""

    def __init__(self, number: int, encoding: str) -> None:
        if codecs.lookup(encoding).name == "ascii":
            encoding = "utf-8"  # as click decides; it would put a stream of its own before this
        file = open(number, "wb", closefd=False)  # noqa: SIM115 (lasts as long as we do)
        super().__init__(file, encoding=encoding, errors=_NAMES, line_buffering=True)
        self.failed: OSError | None = None

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.failed = error
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.failed = error


def _as_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write a name as it stands on the disk, whatever encoding is asked for."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    try:
        return os.fsencode(text), error.end
    except UnicodeEncodeError:
        return text.encode("ascii", "backslashreplace"), error.end
