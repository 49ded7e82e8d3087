"""The segments of a film, written one after the other while the pipeline runs on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from vsr.frame import Frame
from vsr.jobs.plan.segments import Segment
from vsr.jobs.store.job_store import JobStore, SegmentRecord
from vsr.nets.download import sha256

Encode = Callable[[Iterator[Frame], Path], Generator[Frame, None, None]]


def write_segments(
    frames: Iterator[Frame],
    segments: Sequence[Segment],
    store: JobStore,
    encode: Encode,
    *,
    suffix: str,
    finished: Callable[[], None],
) -> Generator[Frame, None, None]:
    """Encode `frames`, which belong to `segments` in this order, each segment into its own file.

    Yields each frame as it goes to the encoder. A segment that is complete gets its name and
    record; then `finished` is called, which may raise to stop there.
    """
    ahead = _StoppableFrames(frames)
    for segment in segments:
        path, tally = store.unfinished(segment.number, suffix), _SegmentTally()
        if ahead.has_before(segment.end):
            with closing(encode(ahead.before(segment.end), path)) as encoded:
                for frame in encoded:
                    tally.add(frame)
                    yield frame
        store.finish(segment.number, suffix, tally.record(path))
        finished()


class _StoppableFrames:
    """An iterator of frames that can be stopped in front of a pts, and goes on behind it."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._next: Frame | None = None

    def has_before(self, end: int | None) -> bool:
        if self._next is None:
            self._next = next(self._frames, None)
        return self._next is not None and (end is None or self._next.pts < end)

    def before(self, end: int | None) -> Iterator[Frame]:
        while self.has_before(end):
            frame, self._next = self._next, None
            assert frame is not None
            yield frame


class _SegmentTally:
    """What the record of a segment says."""

    def __init__(self) -> None:
        self._frames, self._first, self._last, self._duration = 0, 0, 0, 0

    def add(self, frame: Frame) -> None:
        if not self._frames:
            self._first = frame.pts
        self._frames += 1
        self._last, self._duration = frame.pts, frame.duration

    def record(self, path: Path) -> SegmentRecord:
        return SegmentRecord(
            frames=self._frames,
            first=self._first,
            last=self._last,
            last_duration=self._duration,
            bytes=path.stat().st_size if self._frames else 0,
            sha256=sha256(path) if self._frames else "",
        )
