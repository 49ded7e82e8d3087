"""How a film says that vsr made it: where other encoders put their names, which muxers know."""

from __future__ import annotations

from pathlib import Path

from vsr.errors import InputError
from vsr.media.source.opening import open_source

MADE_BY = "vsr "  # and the version, in the tag of the picture's encoder


def is_result(path: Path) -> bool:
    """Return whether vsr says in the file that it made the picture; not all kinds of file can say
    it.
    """
    try:
        with open_source(path) as container:
            told = [stream.metadata for stream in container.streams.video[:1]]
    except (InputError, OSError):
        return False
    return any(
        name.lower() == "encoder" and value.startswith(MADE_BY)
        for tags in told
        for name, value in tags.items()
    )
