"""What a source is, and what every kind of source can be asked."""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
from av.container import InputContainer

from vsr.events import Sink
from vsr.frame import Colour, Layout
from vsr.media.format.hdr import HdrMetadata
from vsr.media.format.still_image import ImageMetadata, notes_of
from vsr.media.source.cropping import NOTHING_HIDDEN, HiddenEdges
from vsr.media.source.opening import open_source
from vsr.media.source.streams import Kind, StreamInfo
from vsr.media.source.views import Views

_SAMPLE = 1 << 20  # bytes that are hashed at the beginning, in the middle and at the end


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """The stream that is upscaled, as its first frame shows it."""

    index: int
    codec: str
    width: int  # of what is seen
    height: int
    hidden: HiddenEdges = NOTHING_HIDDEN  # around that, in what the decoder hands out
    pix_fmt: str
    layout: Layout
    colour: Colour
    siting: str | None  # as tagged
    guesses: tuple[str, ...]  # in words, what was not tagged, or is not read
    sample_aspect_ratio: Fraction | None
    rate: Fraction | None  # average frames per second
    time_base: Fraction
    fields: int = 1  # frames that are made of one: 2 where each field becomes one
    frames: int | None  # estimate
    end: int | None  # in ticks: where the container says that the picture ends
    display_matrix: tuple[int, ...] | None  # how a player turns and mirrors the picture
    rotation: int  # degrees, counter-clockwise, as a player would have to turn the picture
    interlaced: bool
    hdr: HdrMetadata | None  # static metadata of the first frame
    views: Views | None = None  # of all around, or for two eyes
    transparent: bool  # whether anything is seen through, as far as the first frame tells
    beside: tuple[str, ...] = ()  # in words, what goes with the picture and is lost
    hidden_alpha: bool  # VP8 and VP9 carry it beside the picture; no decoder here reads it

    @property
    def stream_base(self) -> Fraction:
        """The time base of the stream's own packets; `time_base` is that of our frames."""
        return self.time_base * self.fields

    def showing(self, hidden: HiddenEdges) -> VideoInfo:
        """Return the same with only these edges hidden."""
        all_x = self.width + self.hidden.left + self.hidden.right
        all_y = self.height + self.hidden.top + self.hidden.bottom
        width, height = hidden.seen(all_x, all_y)
        return dataclasses.replace(self, hidden=hidden, width=width, height=height)

    def in_fields(self) -> VideoInfo:
        """Return the same with each field as a frame, in half the ticks."""
        return dataclasses.replace(
            self,
            fields=2,
            time_base=self.time_base / 2,
            rate=None if self.rate is None else 2 * self.rate,
            frames=None if self.frames is None else 2 * self.frames,
            end=None if self.end is None else 2 * self.end,
        )


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """What is in a source, and how its frames are come by.

    Each kind is a class, which says only where it differs from a picture in a file that can be read
    as often as need be; `table.py` lists them.
    """

    rereadable: ClassVar[bool] = True  # whether it can be opened as often as need be, and sought
    only_pictures: ClassVar[bool] = False  # no other streams, no chapters, no fields
    is_sequence: ClassVar[bool] = False  # many pictures, whose rate <source.fps> says

    path: Path
    format: str  # ffmpeg's name of the demuxer
    size: int  # bytes; 0 if they come through a pipe
    duration: float | None  # seconds
    any_start: bool  # whether its clock may start anywhere, and jump
    start: Fraction  # seconds that are taken off every timestamp; 0 unless it has to be moved
    begin: Fraction  # seconds; the timestamp, less `start`, that players show as 0:00
    streams: tuple[StreamInfo, ...]
    chapters: int
    video: VideoInfo
    tags: Mapping[str, str] = field(default_factory=dict)  # of the file as a whole
    lasts: bool = True  # whether it will be there for another run, which can go on with it

    def of_kind(self, *kinds: Kind) -> tuple[StreamInfo, ...]:
        """Return the streams of these kinds."""
        return tuple(s for s in self.streams if s.kind in kinds)

    @property
    def copies_streams(self) -> bool:
        """Whether ffmpeg can read other streams out of it, while or after its frames are read."""
        return self.rereadable and not self.only_pictures

    def open(self) -> AbstractContextManager[InputContainer]:
        """Open it for its packets. Raises InputError."""
        return open_source(self.path)

    @abstractmethod
    def decode(self, start: int | None, sink: Sink) -> Iterator[av.VideoFrame]:
        """Yield its frames as they are decoded, from somewhere before the pts `start` on.

        Of damage `sink` is told. Raises InputError when nothing can be read any more.
        """

    def aspect_at(self, pts: int) -> Fraction | None:
        """Return the shape of the pixels of the frame that is shown at `pts`, as far as known."""
        return self.video.sample_aspect_ratio

    def known_times(self) -> Sequence[int] | None:
        """Return the pts of all frames, each a keyframe; None where they have to be read."""
        return None

    def flaws(self) -> tuple[str, ...]:
        """Return in words what is missing or broken, as its own structure tells."""
        return ()

    def check_whole(self, sink: Sink) -> None:  # noqa: B027
        """Decode all of it where that tells more. Raises InputError unless it is whole."""

    def metadata(self) -> ImageMetadata:
        """Return the profile and EXIF of what is one picture; nothing of what is not."""
        return notes_of(self.path)

    def identity(self) -> dict[str, Any]:
        """Return what tells it from others, as JSON: size and hashes. Raises OSError."""
        size = self.path.stat().st_size
        pieces = []
        with self.path.open("rb") as file:
            for place in (0, (size - _SAMPLE) // 2, size - _SAMPLE):
                file.seek(max(place, 0))
                pieces.append(hashlib.sha256(file.read(_SAMPLE)).hexdigest())
        return {"bytes": size, "sha256": pieces}

    def expect(self, readers: int) -> None:  # noqa: B027
        """Prepare for so many readers at once; nobody else will come."""

    def kept(self, folder: Path, stack: ExitStack) -> Source:
        """Return it as it can be read once its frames have been, for its other streams.

        What has to be written for that goes into `folder`, for as long as `stack` is open.
        """
        return self

    def drain(self, most: int | None) -> None:  # noqa: B027
        """Read what is left, at most so many bytes, for `kept`; its frames are not wanted."""

    def stop(self) -> None:  # noqa: B027
        """End all reading of what may never come, in any thread."""
