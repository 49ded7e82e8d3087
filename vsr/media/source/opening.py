"""Opening a file, or what comes through a pipe, and what is said where that fails."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from vsr.errors import NO_MEMORY, InputError, OutOfMemory, cause
from vsr.machine import is_short_of_memory
from vsr.media.format.decoder import most_pixels
from vsr.media.source.pipe import Pipe
from vsr.media.source.protocols import PLAYLISTS, input_options


class FilePart(io.RawIOBase):
    """The bytes of a file from `start` to before `end`, as a file of their own."""

    def __init__(self, path: Path, start: int, end: int) -> None:
        self._file = path.open("rb")
        self._start, self._end = start, end
        self._file.seek(start)

    def readable(self) -> bool:
        """Say so."""
        return True

    def seekable(self) -> bool:
        """Say so."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as there is something; returns the number of bytes."""
        left = max(self._end - self._file.tell(), 0)
        return self._file.readinto(memoryview(buffer)[:left])

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place within the part; returns it."""
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._end}
        return self._file.seek(max(base[whence] + offset, self._start)) - self._start

    def tell(self) -> int:
        """Return the place within the part."""
        return self._file.tell() - self._start

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


@contextlib.contextmanager
def open_source(
    path: Path, pipe: Pipe | None = None, part: tuple[int, int] | None = None
) -> Iterator[InputContainer]:
    """Open the file, or what comes through `pipe`, as a container.

    `part`: only the bytes from the first number to before the second; for demuxers that stop
    where the first of several joined files ends.
    Raises InputError in one line, whatever is wrong.
    """
    # A picture's name with a % in it is a name, not a pattern of many.
    options = input_options(path) | {"pattern_type": "none", "max_pixels": str(most_pixels())}
    reader = pipe.reader() if pipe is not None else FilePart(path, *part) if part else None
    # Absolute, so that no name can look like an option or a protocol.
    name: Any = reader or str(path.absolute())
    try:
        container = av.open(name, options=options, **LENIENT)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder, not a video") from error
    except PermissionError as error:
        raise InputError(f"{path}: may not be read (no permission)") from error
    except av.ArgumentError as error:
        raise InputError(
            f"{path}: not a media file, or a playlist that names others; "
            f"a playlist is read when its name ends in {', '.join(sorted(PLAYLISTS))}"
        ) from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a media file that can be read ({reason(error)})") from error
    try:
        yield container
    finally:
        container.close()
        if reader is not None:
            reader.close()


def reason(error: BaseException) -> str:
    """Return the core of an ffmpeg or system error, without numbers and file names.

    Raises OutOfMemory for one that says nothing of the file.
    """
    if isinstance(error, MemoryError | BlockingIOError) and is_short_of_memory():
        raise OutOfMemory(NO_MEMORY) from error
    said = cause(error) if isinstance(error, OSError) else getattr(error, "strerror", None)
    return (said or str(error) or type(error).__name__).splitlines()[0]


# Tags in an old 8-bit encoding are no reason to refuse a film; PyAV 19 is lenient by itself.
LENIENT: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)
