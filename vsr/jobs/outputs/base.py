"""What every kind of result can be asked, from the plan to the name that it gets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from vsr.errors import OutputError, OutputExists, UsageError
from vsr.events import Sink
from vsr.jobs.outputs.place import check_replaceable
from vsr.jobs.store import atomic_write
from vsr.jobs.store.job_store import JobStore, folder_of
from vsr.media.format.containers import Container
from vsr.media.format.encoders import EncoderPlan, plan_encoder
from vsr.media.read.interlace import Filters
from vsr.media.source.image_list import is_too_long
from vsr.media.source.kinds.base import Source, VideoInfo
from vsr.media.source.spans import SecondsSpan
from vsr.options import EncodeOptions
from vsr.pipeline import Written


@dataclass(frozen=True, kw_only=True)
class EncodedPicture:
    """The upscaled picture, encoded, and all that a result is completed with."""

    path: Path
    folder: Path  # that it lies in, for files of the run's own
    written: Written
    encoder: EncoderPlan
    shape: Fraction  # width / height as it is shown
    source: Source  # as it can be read once its frames have been
    pieces: Sequence[SecondsSpan]  # of the source that the picture shows; none: all of it
    audio: bool  # whether sound is wanted
    sink: Sink


@dataclass(frozen=True, kw_only=True)
class Output(ABC):
    """A result: its name, its container, and what is done for one of its kind.

    Each kind is a class, which says only where it differs from one file; `table.py` lists them.
    """

    is_stream: ClassVar[bool] = False  # written as it comes, and complete when it ends
    is_sequence: ClassVar[bool] = False  # many files, which lie in a folder that may be made
    is_one_picture: ClassVar[bool] = False  # which is soon done again

    path: Path
    container: Container

    # --- the plan ---

    def check(self, source: Path | None, *, overwrite: bool) -> None:
        """Refuse a name that cannot be had, `source`'s own too. Raises UsageError, OutputError."""
        output = self.path
        if is_too_long(output.name):
            raise UsageError(f"{output}: the name is too long; choose a shorter one with <output>")
        if output.exists():
            if source is not None and source.exists() and output.samefile(source):
                raise UsageError(f"{output}: the result may not take the place of its source")
            if not output.is_file():
                kind = "a folder" if output.is_dir() else "no plain file"
                raise UsageError(f"{output}: is {kind}; name a file")
            is_ours = JobStore(folder_of(output)).result_at(output) is not None
            if not (overwrite or is_ours):
                raise _taken(output)
            check_replaceable(output)
        if not output.absolute().parent.is_dir():
            raise OutputError(f"{output.parent}: there is no such folder")

    def check_source(self, source: Source, frames: int | None) -> None:  # noqa: B027
        """Refuse a source that it cannot be made of. Raises UsageError."""

    def adapted(self, encoder: EncoderPlan) -> EncoderPlan:
        """Return the encoder as this kind needs it."""
        return encoder

    def segment_encoder(self, encoder: EncoderPlan) -> EncoderPlan:
        """Return the encoder of segments: without loss where those cannot be joined."""
        return plan_encoder(EncodeOptions(codec="ffv1"), encoder.layout)

    def paced(self, video: VideoInfo, fps: Fraction | None) -> tuple[VideoInfo, Filters]:
        """Return the video at the rate that it is to have, and what brings it there.

        `fps`: as asked for.
        """
        return video, ()

    # --- the run ---

    @abstractmethod
    def muxer_options(self, source: Source, encoder: EncoderPlan) -> Mapping[str, str]:
        """Return ffmpeg's options for the file that the picture is encoded into."""

    def encoded_name(self, folder: Path, encoder: EncoderPlan) -> Path:
        """Return the name in `folder` that the picture is encoded under."""
        return folder / f"picture.{encoder.encoder.container}"

    @abstractmethod
    def complete(self, picture: EncodedPicture) -> Path:
        """Return the complete result, still in the picture's folder. Raises OutputError."""

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
        """Give the result its name, of which `store` and `ready` are told first."""
        if self.path.exists() and not overwrite:  # it was not at the beginning
            raise OutputExists(f"{self.path}: is there already, since this run; use --overwrite")
        if store is not None:
            store.tell({"bytes": complete.stat().st_size, "frames": frames})
        ready(complete)
        atomic_write.rename(complete, self.path)


def _taken(output: Path) -> OutputExists:
    error = OutputExists(f"{output}: is there already; use <encode.overwrite>, or another <output>")
    error.output = output
    return error
