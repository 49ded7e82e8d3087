"""Opening a file, or what comes through a pipe, and what is said where that fails."""

from __future__ import annotations

import contextlib
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


@contextlib.contextmanager
def open_source(path: Path, pipe: Pipe | None = None) -> Iterator[InputContainer]:
    """Open the file, or what comes through `pipe`, as a container.

    Raises InputError in one line, whatever is wrong.
    """
    # A picture's name with a % in it is a name, not a pattern of many.
    options = input_options(path) | {"pattern_type": "none", "max_pixels": str(most_pixels())}
    reader = pipe.reader() if pipe is not None else None
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
