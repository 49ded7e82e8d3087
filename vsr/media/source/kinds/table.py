"""Which kind of source a name stands for. The next kind is a class of its own, and a line here."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from vsr.media.source.image_list import is_many
from vsr.media.source.kinds.base import Source
from vsr.media.source.kinds.image_sequence import probe_pictures
from vsr.media.source.pipe import Pipe
from vsr.media.source.probe import probe
from vsr.options import ColourOptions

# Of several files: whether a name stands for one of the kind, and how that is looked at.
_KINDS = ((is_many, probe_pictures),)


def probe_source(
    path: Path,
    colour: ColourOptions,
    *,
    fps: Fraction | None = None,
    stream: int | None = None,
    pipe: Pipe | None = None,
) -> Source:
    """Look at what `path` stands for, one file or many. Raises InputError, UsageError.

    `fps`: of pictures, which have no rate. `stream`: the video of a file that is meant; None: the
    main one. `pipe`: where the bytes come from, in place of a file of that name.
    """
    if pipe is None:
        for is_of_kind, look in _KINDS:
            if is_of_kind(path):
                return look(path, fps, colour)
    return probe(path, colour, stream, pipe=pipe)
