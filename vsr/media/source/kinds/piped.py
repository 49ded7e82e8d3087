"""Standard input, a pipe, or a file that is still being written: it comes once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import av
from av.container import InputContainer

from vsr.errors import UsageError
from vsr.events import Sink
from vsr.media.source.kinds.base import Source
from vsr.media.source.kinds.file import AspectWatch, FileSource, demuxed_frames
from vsr.media.source.opening import open_source
from vsr.media.source.pipe import Pipe

# Raw pictures, too large to be kept, with nothing beside them.
_PICTURE_ONLY = frozenset({"yuv4mpegpipe", "rawvideo"})


@dataclass(frozen=True, kw_only=True)
class PipedSource(Source):
    """What comes through a pipe; `path` is but its name."""

    rereadable: ClassVar[bool] = False

    pipe: Pipe
    lasts: bool = False

    def open(self) -> AbstractContextManager[InputContainer]:
        """Open it, from its first byte that is held; as often as `expect` was told."""
        return open_source(self.path, self.pipe)

    def decode(self, start: int | None, sink: Sink) -> Iterator[av.VideoFrame]:
        """Yield the decoder's frames, all of them."""
        yield from demuxed_frames(self, sink, AspectWatch(self, sink))

    def check_whole(self, sink: Sink) -> None:
        """Refuse to. Raises UsageError."""
        raise UsageError("<source.strict>: needs a file, which can be read twice")

    def expect(self, readers: int) -> None:
        """Let go of all bytes that so many readers have had."""
        self.pipe.start(readers)

    def kept(self, folder: Path, stack: ExitStack) -> Source:
        """Return the file that grew, or a copy in `folder`; raw pictures have nothing to keep."""
        if self.pipe.file is not None:
            self.pipe.start(1)
            return self._as_file(self.pipe.file)
        if self.format in _PICTURE_ONLY:
            self.pipe.start(1)
            return self
        copy = folder / self.path.name
        self.pipe.start(1, stack.enter_context(copy.open("wb")))
        return self._as_file(copy)

    def _as_file(self, path: Path) -> Source:
        known = {field.name: getattr(self, field.name) for field in dataclasses.fields(Source)}
        return FileSource(**{**known, "path": path})

    def drain(self, most: int | None) -> None:
        """Read on, for the copy, and end."""
        self.pipe.drain(most)
        self.pipe.stop()

    def stop(self) -> None:
        """End all reading; readers see the end."""
        self.pipe.stop()
