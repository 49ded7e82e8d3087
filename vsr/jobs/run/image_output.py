"""A film that becomes pictures: one file for each frame, all of them or none."""

from __future__ import annotations

import os
from pathlib import Path

from vsr.errors import OutputError, cause
from vsr.events import Note, Sink
from vsr.jobs.plan.plan import Plan
from vsr.media.format.still_image import notes_of_matrix, put_notes
from vsr.media.source.image_list import NumberedName, folders_in, names_in


def work_names(plan: Plan, folder: Path) -> Path:
    """Return the name that ffmpeg numbers the files in `folder` by; only its own % is a
    directive.
    """
    escaped = str(folder.absolute()).replace("%", "%%")
    return Path(escaped) / f"%d{plan.output.suffix}"


def finish(plan: Plan, pattern: NumberedName, folder: Path, frames: int, *, sink: Sink) -> None:
    """Move the files of `work_names` to the names of `pattern`, numbered from 1.

    Pictures turn as the film is turned, by EXIF. Raises OutputError where one is missing.
    """
    suffix = plan.output.suffix
    files = (entry for entry in os.scandir(folder) if entry.name.endswith(suffix))
    if (written := sum(file.stat().st_size > 0 for file in files)) != frames:
        raise OutputError(f"{pattern.folder}: {written} of {frames} pictures were written")
    matrix = plan.source.video.display_matrix
    notes = notes_of_matrix(matrix) if matrix is not None else None
    for name in folders_in(pattern.folder):  # before the first has its name: all or none
        if 0 < (pattern.number(name) or 0) <= frames:
            raise OutputError(f"{pattern.folder / name}: is a folder; no picture was put there")
    for n in range(1, frames + 1):
        file = folder / f"{n}{suffix}"
        if notes is not None:
            put_notes(file, notes)
        try:
            os.replace(file, pattern.path(n))
        except OSError as error:
            text = f"{pattern.path(n)}: cannot be given its name ({cause(error)})"
            raise OutputError(f"{text}; those before it have theirs") from error
    if older := sum((pattern.number(name) or 0) > frames for name in names_in(pattern.folder)):
        sink(Note(text=f"{older} pictures of higher numbers were there before, and stay"))
