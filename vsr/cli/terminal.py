"""Events as a person reads them: notes as lines, progress as a bar; all on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never, Self

from tqdm import tqdm

from vsr.cli.options import for_people
from vsr.cli.progress.plain import PlainProgress
from vsr.cli.standard import printable
from vsr.errors import VsrError
from vsr.events import (
    BatchProgress,
    Downloading,
    Event,
    Finished,
    Note,
    Progress,
    Started,
    Step,
    Uploading,
    WarningNote,
)

if TYPE_CHECKING:  # which tqdm itself does not know
    _Bar = tqdm[Never]
else:
    _Bar = tqdm


_SHOWN = ("l1", "charbonnier", "gan", "psnr")  # of what a step of a training tells


class _WorkBar(_Bar):
    """A bar that is told the time that is left: tqdm would count an earlier run's work."""

    seconds_left: float | None = None

    @property
    def format_dict(self) -> MutableMapping[str, Any]:
        """Return what tqdm draws the bar with."""
        known = super().format_dict
        if known["total"] is None or self.seconds_left is None:
            return known
        left = tqdm.format_interval(self.seconds_left)
        shown = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<" + left + ", {rate_fmt}{postfix}]"
        return {**known, "bar_format": shown}


class Terminal:
    """A sink. `quiet` leaves warnings and errors.

    `progress`: "auto" is a bar on a terminal, and elsewhere what "plain" is: a line every 30
    seconds. "none" shows no progress.
    Many pictures have one bar together, and a note that is true of several is said once.
    """

    def __init__(
        self,
        *,
        quiet: bool,
        progress: str = "auto",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quiet = quiet
        self._progress = progress
        self._clock = clock
        self._lock = threading.Lock()  # events come from several threads
        # Made now: an interrupt in the making would leave it without one.
        tqdm.get_lock()  # type: ignore[no-untyped-call]
        self._bar: tqdm[Never] | PlainProgress | None = None
        self._pictures: BatchProgress | None = None  # while a batch of them is under way
        self._said: set[str] = set()
        self._warnings: list[str] = []  # of the film that is worked on
        self._learnt: dict[str, str] = {}  # the last numbers of a training

    def __call__(self, event: Event) -> None:
        """Show an event."""
        with self._lock:
            match event:
                case BatchProgress():
                    self._batch(event)
                case Note() if self._pictures is not None:
                    self._say_once(event)
                case Downloading(name=name) if self._pictures is not None:
                    self._say_once(Note(text=f"fetching {name}"))
                case Started() if self._pictures is not None:
                    if self._pictures.done == 0:  # what runs, and where, is the same for all
                        self._say(event.description)
                case Progress() | Finished() if self._pictures is not None:
                    pass
                case Note():
                    self._tell(event)
                case Started():
                    self._say(event.description)
                    self._open(event.frames, "frame", scaled=False)
                case Progress(frames=frames, seconds_left=left):
                    self._move(frames, left)
                case Step():
                    self._step(event)
                case Downloading(name=name, done=done, total=total):
                    if self._bar is None:
                        self._say(f"{_word(event)} {name}")
                        self._open(total, "B", scaled=True)
                    self._move(done)
                    if done >= total:
                        self._close()
                case Finished(output=output, frames=frames, seconds=seconds):
                    self._close()
                    rate = frames / seconds if seconds else 0.0
                    self._say(f"{frames} frames in {seconds:.1f} s ({rate:.2f} fps)")
                    self._list_warnings(output.name)

    def error(self, text: str) -> None:
        """Write a line on stderr, however quiet the run is."""
        with self._lock:
            self._warnings = []  # of a film that comes to no end
            tqdm.write(printable(text), file=sys.stderr)

    def result(self, text: str, *, err: bool = False) -> None:
        """Write a line on stdout (or stderr), without breaking the bar."""
        file = sys.stderr if err else sys.stdout
        if file is None:  # closed by somebody who does not want it
            return
        with self._lock:
            tqdm.write(text, file=file)
            file.flush()  # a signal may end the process before it would be

    def _batch(self, event: BatchProgress) -> None:
        if self._pictures is None:
            self._open(event.total, "picture", scaled=False)
        self._pictures = event
        self._move(event.done)
        if event.done == event.total:
            self._close()
            self._pictures = None

    def _step(self, event: Step) -> None:
        if self._bar is None:
            self._open(event.total, "step", scaled=False, done=event.step - 1)
        self._learnt |= {n: f"{v:.4g}" for n, v in event.numbers.items() if n in _SHOWN}
        if isinstance(self._bar, tqdm):
            self._bar.set_postfix(self._learnt, refresh=False)
        self._move(event.step, event.seconds_left)

    def _say_once(self, note: Note) -> None:
        name, colon, what = note.text.partition(": ")
        if (what or name) not in self._said:
            self._said.add(what or name)
            self._tell(note, " (said once for all pictures)" if colon else "")

    def _tell(self, note: Note, more: str = "") -> None:
        if isinstance(note, WarningNote):
            text = for_people(note.text)
            tqdm.write(f"warning: {text}{more}", file=sys.stderr)
            if self._pictures is None and text not in self._warnings:
                self._warnings.append(text)
        else:
            self._say(f"note: {for_people(note.text)}{more}")

    def _list_warnings(self, name: str) -> None:
        """Say all that was warned of in one list, since some of it was said hours ago."""
        listed, self._warnings = self._warnings, []
        if listed:
            self._say(f"what {name} lacks or has otherwise, and what was damaged:")
        for text in listed:
            self._say(f"  {text}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            tqdm.write(printable(text), file=sys.stderr)

    def _open(self, total: int | None, unit: str, *, scaled: bool, done: int = 0) -> None:
        is_off = self._quiet or self._progress == "none"
        is_watched = sys.stderr is not None and sys.stderr.isatty()
        if is_off or (self._progress == "auto" and is_watched):
            kind = _WorkBar if unit in ("frame", "step") else tqdm
            self._bar = kind(
                total=total,
                initial=done,
                unit=unit,
                unit_scale=scaled,
                disable=is_off,
                dynamic_ncols=True,
            )
        else:
            self._bar = PlainProgress(total, unit, self._say, self._clock)

    def _move(self, done: int, seconds_left: float | None = None) -> None:
        if self._bar is not None:
            if isinstance(self._bar, _WorkBar | PlainProgress):
                self._bar.seconds_left = seconds_left
            self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._close()


def _word(event: Downloading) -> str:
    return "sending" if isinstance(event, Uploading) else "fetching"


def in_a_line(error: VsrError) -> str:
    """Return what went wrong, and what was added to it."""
    text = for_people("; ".join((error.text, *getattr(error, "__notes__", ()))))
    return " ".join(text.splitlines())


def size(count: int) -> str:
    """Format a number of bytes: `12.3 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
