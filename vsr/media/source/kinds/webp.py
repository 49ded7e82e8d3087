"""An animated WebP, which Pillow reads and ffmpeg does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import av

from vsr.errors import InputError
from vsr.events import Sink
from vsr.media.format.animation import MILLISECOND, webp_pictures
from vsr.media.source.first_frame import StreamFacts, video_info
from vsr.media.source.integrity import flaws
from vsr.media.source.kinds.base import Source
from vsr.media.source.opening import reason
from vsr.media.source.streams import StreamInfo
from vsr.options import ColourOptions


@dataclass(frozen=True, kw_only=True)
class WebpSource(Source):
    """A WebP with one picture or many."""

    only_pictures: ClassVar[bool] = True

    def decode(self, start: int | None, sink: Sink) -> Iterator[av.VideoFrame]:
        """Yield all frames, whatever `start` is: each is painted over those before it."""
        try:
            yield from webp_pictures(self.path)
        except OSError as error:
            raise InputError(f"{self.path}: reading failed ({reason(error)})") from error

    def flaws(self) -> tuple[str, ...]:
        """Return in words what is missing at its end."""
        return flaws(self.path, self.format)


def probe_webp(path: Path, options: ColourOptions) -> Source:
    """Read all of an animation, which does not say how many frames it has. Raises InputError."""
    try:
        count, duration, first = 0, 0, None
        for picture in webp_pictures(path):
            count, duration = count + 1, duration + (picture.duration or 0)
            first = first or picture
    except OSError as error:
        raise InputError(f"{path}: not a WebP that can be read ({reason(error)})") from error
    assert first is not None
    facts = StreamFacts(
        codec="webp",
        rate=Fraction(1000 * count, duration) if duration else None,
        time_base=MILLISECOND,
        frames=count,
    )
    video = video_info(path, first, options, facts)
    stream = StreamInfo(index=0, kind="video", codec="webp", language=None, title=None)
    return WebpSource(
        path=path,
        format="webp",
        size=path.stat().st_size,
        duration=duration / 1000,
        any_start=False,
        start=Fraction(0),
        begin=Fraction(0),
        streams=(stream,),
        chapters=0,
        video=video,
    )
