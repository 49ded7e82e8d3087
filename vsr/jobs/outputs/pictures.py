"""An animation or one picture: complete as its encoder writes it, but for a few bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from vsr.errors import UsageError
from vsr.jobs.outputs.base import EncodedPicture, Output
from vsr.media.format.animation import loops_of, muxer_options, set_last_duration
from vsr.media.format.encoders import EncoderPlan
from vsr.media.format.still_image import put_notes
from vsr.media.read.keyframes import frame_times
from vsr.media.source.kinds.base import Source
from vsr.media.write.carried_streams import left_out


@dataclass(frozen=True, kw_only=True)
class AnimationOutput(Output):
    """A GIF, APNG or WebP, whose segments cannot be joined as they are."""

    def muxer_options(self, source: Source, encoder: EncoderPlan) -> Mapping[str, str]:
        """Return how often it is to be played."""
        return muxer_options(self.container.muxer, loops_of(source.path))

    def complete(self, picture: EncodedPicture) -> Path:
        """Write how long the last frame is shown, and what lay around the source's picture."""
        set_last_duration(picture.path, self.container.muxer, picture.written.last_duration)
        return with_metadata(picture, self)


@dataclass(frozen=True, kw_only=True)
class StillOutput(Output):
    """One picture."""

    is_one_picture: ClassVar[bool] = True

    def check_source(self, source: Source, frames: int | None) -> None:
        """Refuse an animation or a film, of which the last frame would stay."""
        if frames is None and source.rereadable and source.format == "apng":
            frames = len(frame_times(source))  # its header is not asked
        if (frames or 1) > 1:
            raise UsageError(
                f"{self.path.name}: is one picture; {source.path.name} has {frames}; name an .apng,"
                f" .webp or .gif, or pictures such as {self.path.stem}_%03d{self.path.suffix}"
            )

    def muxer_options(self, source: Source, encoder: EncoderPlan) -> Mapping[str, str]:
        """Return that it is one file of this very name, whatever is in it."""
        return {"update": "1"}

    def complete(self, picture: EncodedPicture) -> Path:
        """Write what lay around the source's picture."""
        return with_metadata(picture, self)


def with_metadata(picture: EncodedPicture, output: Output) -> Path:
    """Put the source's profile and EXIF into the picture, and say which streams are lost."""
    put_notes(picture.path, picture.source.metadata())
    left_out(picture.source, output.container, sink=picture.sink)
    return picture.path
