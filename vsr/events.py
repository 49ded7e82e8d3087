"""What leaves a run sideways: progress, notes and results. The library never prints."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vsr.errors import worded
from vsr.timing import Pace


@dataclass(frozen=True, kw_only=True)
class Started:
    """The work is planned and begins."""

    source: Path
    output: Path
    frames: int | None  # None where the container does not tell; an estimate otherwise
    width: int  # of the output
    height: int
    store: Path | None  # where what is finished is kept if the run is stopped; None: nowhere
    description: str  # "realesr-animevideov3 x4, cpu fp32 -> h264 crf 17, 1280x720"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One more frame is encoded."""

    frames: int  # so far, those of an earlier run too
    total: int | None = None  # None where the container does not tell; an estimate otherwise
    seconds_left: float | None = None  # until `total`, at the pace of this run; None: not known yet


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step more is done: of a training, or of the rounds of a benchmark."""

    step: int  # so far, those of an earlier run too
    total: int
    numbers: Mapping[str, float]  # of it: losses, and now and then what was measured
    seconds_left: float | None = None  # at the pace of this run; None: not known yet


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something the user should know: a guess, a fallback, what was converted without loss.

    The text may name options as `<size.scale>`; `str(note)` shows their names instead.
    """

    text: str

    def __str__(self) -> str:
        return worded(self.text)


@dataclass(frozen=True, kw_only=True)
class WarningNote(Note):
    """A note of what is lost or damaged; it is said however quiet a run is to be.

    Whoever takes notes takes these, too.
    """


@dataclass(frozen=True, kw_only=True)
class Downloading:
    """Bytes of a weight file that are here; `total` once known."""

    name: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Uploading(Downloading):
    """Bytes of a film that its server has."""


@dataclass(frozen=True, kw_only=True)
class BatchProgress:
    """So many of a batch's pictures are done, or failed; at its beginning none.

    In between, each sends its own events.
    """

    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The output is complete and stands under its name."""

    output: Path
    frames: int
    seconds: float  # wall time
    notes: tuple[str, ...] = field(default=())


Event = Started | Progress | Step | Note | Downloading | BatchProgress | Finished
Sink = Callable[[Event], None]


def silent(event: Event) -> None:
    """Ignore an event: the sink of those who do not listen."""


class Timed:
    """A sink that adds to each progress what `Started` told of all, and the time that is left.

    Steps get the time that is left, too.
    """

    def __init__(self, sink: Sink, clock: Callable[[], float] = time.monotonic) -> None:
        self._sink, self._clock = sink, clock
        self._total: int | None = None
        self._pace = Pace()

    def __call__(self, event: Event) -> None:
        """Pass an event on."""
        if isinstance(event, Started):
            self._total = event.frames
            self._pace = Pace()
        elif isinstance(event, Progress):
            event = self._timed(event)
        elif isinstance(event, Step):
            left = self._pace.left(event.step, event.total, self._clock())
            event = dataclasses.replace(event, seconds_left=left)
        self._sink(event)

    def _timed(self, event: Progress) -> Progress:
        """Add total and time to `event`; an estimate that was too low is no total any more."""
        left = self._pace.left(event.frames, self._total or 0, self._clock())
        if self._total is None or event.frames > self._total:
            return event
        return dataclasses.replace(event, total=self._total, seconds_left=left)


class OncePerNote:
    """A sink that lets each note through once: what is true of every frame is said once."""

    def __init__(self, sink: Sink) -> None:
        self.notes: list[str] = []  # as they are shown
        self._said: set[str] = set()
        self._sink = sink

    def __call__(self, event: Event) -> None:
        """Hand an event on, unless it is a note that was said."""
        if isinstance(event, Note):
            if event.text in self._said:
                return
            self._said.add(event.text)
            self.notes.append(str(event))
        self._sink(event)
