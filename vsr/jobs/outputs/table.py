"""Which kind of result a name asks for. The next kind is a class of its own, and a line here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from vsr.jobs.outputs.base import Output
from vsr.jobs.outputs.film import FilmOutput
from vsr.jobs.outputs.image_sequence import ImageSequenceOutput
from vsr.jobs.outputs.pictures import AnimationOutput, StillOutput
from vsr.jobs.outputs.standard_output import StandardOutput
from vsr.media.format.containers import PIPES, STDOUT, ContainerKind, container_of
from vsr.media.source.image_list import NumberedName, numbered
from vsr.options import EncodeOptions

_KINDS: Mapping[ContainerKind, type[Output]] = {
    "film": FilmOutput,
    "animation": AnimationOutput,
    "still": StillOutput,
}


def output_of(path: Path, options: EncodeOptions) -> Output:
    """Return the result that `path` names. Raises UsageError for a suffix that is not written."""
    if path == STDOUT:
        return StandardOutput(path=path, container=PIPES[options.pipe_format])
    container = container_of(path)
    if (pattern := picture_pattern(path)) is not None:
        container = dataclasses.replace(container, muxer="image2")
        return ImageSequenceOutput(path=path, container=container, pattern=pattern)
    return _KINDS[container.kind](path=path, container=container)


def picture_pattern(path: Path) -> NumberedName | None:
    """Return the names that an output asks for as `%05d.png` does; None where it is one file's."""
    return numbered(path) if container_of(path).as_pictures else None
