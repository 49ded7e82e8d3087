"""A picture for each frame, under numbered names: all of them or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from vsr.errors import OutputError, OutputExists, UsageError, cause
from vsr.events import Note, Sink
from vsr.jobs.outputs.base import EncodedPicture, Output
from vsr.jobs.store.job_store import JobStore, folder_of
from vsr.media.format.encoders import EncoderPlan, one_file_each
from vsr.media.format.still_image import notes_of_matrix, put_notes
from vsr.media.read.interlace import Filters
from vsr.media.source.image_list import NumberedName, folders_in, names_in
from vsr.media.source.kinds.base import Source, VideoInfo
from vsr.media.write.carried_streams import left_out


@dataclass(frozen=True, kw_only=True)
class ImageSequenceOutput(Output):
    """The files of a pattern, numbered from 1."""

    is_sequence: ClassVar[bool] = True

    pattern: NumberedName

    def check(self, source: Path | None, *, overwrite: bool) -> None:
        """Refuse names that cannot all be had. Raises UsageError, OutputError."""
        path, pattern, folder = self.path, self.pattern, self.pattern.folder.absolute()
        if pattern.is_too_long:
            raise UsageError(f"{path}: the name is too long")
        if not folder.is_dir():
            if not folder.parent.is_dir():
                raise OutputError(f"{folder.parent}: there is no such folder")
            return  # it will be made
        for file in (source, source.resolve()) if source is not None else ():
            named_so = pattern.number(file.name) is not None and file.exists()
            if named_so and file.absolute().parent.samefile(folder):
                raise UsageError(f"{path}: the pictures may not take the place of {file.name}")
        for name in sorted(folders_in(folder)):
            if pattern.number(name) is not None:
                raise UsageError(f"{folder / name}: is a folder; name other pictures with <output>")
        # A job that was killed while its pictures got their names goes on with that.
        if overwrite or JobStore(folder_of(path)).delivers_pictures():
            return
        if there := sum(pattern.number(name) is not None for name in names_in(folder)):
            raise OutputExists(
                f"{path}: {there} pictures of such names are there already; "
                f"use <encode.overwrite>, or another <output>"
            )

    def adapted(self, encoder: EncoderPlan) -> EncoderPlan:
        """Return the encoder with a file for each frame."""
        return one_file_each(encoder)

    def paced(self, video: VideoInfo, fps: Fraction | None) -> tuple[VideoInfo, Filters]:
        """Return the video, and what takes so many pictures of each second."""
        return video, () if fps is None else (("fps", str(fps)),)

    def muxer_options(self, source: Source, encoder: EncoderPlan) -> Mapping[str, str]:
        """Return the first number."""
        return {"start_number": "1"}

    def encoded_name(self, folder: Path, encoder: EncoderPlan) -> Path:
        """Return the name that ffmpeg numbers files by; only its own % is a directive."""
        escaped = str(folder.absolute()).replace("%", "%%")
        return Path(escaped) / f"%d{self.path.suffix}"

    def complete(self, picture: EncodedPicture) -> Path:
        """Turn the pictures as the film is turned, by EXIF. Raises OutputError for one missing."""
        folder, frames = picture.folder, picture.written.frames
        suffix = self.path.suffix
        files = (entry for entry in os.scandir(folder) if entry.name.endswith(suffix))
        if (written := sum(file.stat().st_size > 0 for file in files)) != frames:
            raise OutputError(f"{self.pattern.folder}: {written} of {frames} pictures were written")
        left_out(picture.source, self.container, sink=picture.sink)
        matrix = picture.source.video.display_matrix
        if matrix is not None and (notes := notes_of_matrix(matrix)) is not None:
            for n in range(1, frames + 1):
                put_notes(folder / f"{n}{suffix}", notes)
        return folder / picture.path.name

    def deliver(
        self,
        complete: Path,
        frames: int,
        store: JobStore | None,
        *,
        overwrite: bool,
        ready: Callable[[Path], None],
        sink: Sink,
    ) -> None:
        """Move the pictures to their names; `ready` is told of the last when all have theirs."""
        pattern = self.pattern
        if store is not None:
            store.tell({"pictures": frames})
        for name in folders_in(pattern.folder):  # before the first has its name: all or none
            if 0 < (pattern.number(name) or 0) <= frames:
                raise OutputError(f"{pattern.folder / name}: is a folder; no picture was put there")
        for n in range(1, frames + 1):
            try:
                os.replace(complete.with_name(f"{n}{self.path.suffix}"), pattern.path(n))
            except OSError as error:
                text = f"{pattern.path(n)}: cannot be given its name ({cause(error)})"
                raise OutputError(f"{text}; those before it have theirs") from error
        if older := sum((pattern.number(name) or 0) > frames for name in names_in(pattern.folder)):
            sink(Note(text=f"{older} pictures of higher numbers were there before, and stay"))
        ready(pattern.path(frames))
