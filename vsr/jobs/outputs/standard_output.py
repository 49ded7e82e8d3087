"""Standard output: written as it comes, with nothing to put right behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from vsr.jobs.outputs.base import EncodedPicture, Output
from vsr.media.format.encoders import EncoderPlan
from vsr.media.read.interlace import Filters
from vsr.media.source.kinds.base import Source, VideoInfo

_RATE = Fraction(25)  # of what has none, where the container knows no times


@dataclass(frozen=True, kw_only=True)
class StandardOutput(Output):
    """The pipe that standard output is."""

    is_stream: ClassVar[bool] = True

    def check(self, source: Path | None, *, overwrite: bool) -> None:
        """Refuse nothing."""

    def paced(self, video: VideoInfo, fps: Fraction | None) -> tuple[VideoInfo, Filters]:
        """Return the video at a constant rate where the container knows no other."""
        if not self.container.untimed:
            return video, ()
        rate = video.rate or _RATE
        video = dataclasses.replace(video, rate=rate, time_base=1 / rate)
        return video, (("fps", str(rate)),)

    def muxer_options(self, source: Source, encoder: EncoderPlan) -> Mapping[str, str]:
        """Return the container's own."""
        return self.container.options

    def complete(self, picture: EncodedPicture) -> Path:
        """Return its name: nothing comes behind what is written."""
        return self.path
