"""A setting, tried on the moments of a film: the run itself, its time and its size."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import VsrError
from vsr.events import Event, Progress, Sink, Started, WarningNote
from vsr.jobs.plan.estimate import bytes_by_rule
from vsr.jobs.plan.label import default_scale
from vsr.jobs.plan.plan import Plan, plan
from vsr.jobs.run.context import Runner
from vsr.jobs.run.estimate import packet_sizes
from vsr.jobs.run.upscale import upscale
from vsr.media.source.kinds.base import Source
from vsr.options import Clip, Moment, UpscaleOptions
from vsr.report.moments import TellingMoment
from vsr.report.settings import Setting

STEADY = 4  # frames from which on the speed of the first is left out


@dataclass(frozen=True, kw_only=True)
class Take:
    """A moment, and how many frames of it are made."""

    moment: TellingMoment
    frames: int

    @property
    def clip(self) -> Clip:
        """The frames, as a run takes them."""
        return Clip(start=Moment(frame=self.moment.frame), duration=Moment(frame=self.frames))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of a setting."""

    setting: Setting
    plan: Plan  # of the whole film
    file: Path  # the frames of all takes, one after the other
    frames: int
    seconds_a_frame: float  # measured
    seconds: float | None  # that the whole film would take
    bytes: int | None  # that its picture would have
    measured_size: bool  # or by rule of thumb
    warnings: tuple[str, ...]


def whole_plan(source: Source, output: Path | None, options: UpscaleOptions) -> Plan:
    """Return what would be done with the whole film. Raises the errors of `plan`."""
    encode = dataclasses.replace(options.encode, overwrite=True)
    options = dataclasses.replace(options, encode=encode)
    return plan(source, output, options, default_scale=default_scale(options))


def tried(
    setting: Setting,
    film: Plan,
    takes: Sequence[Take],
    folder: Path,
    *,
    keys: int,
    runner: Runner | None,
    sink: Sink,
) -> Trial:
    """Run a setting on the takes, into `folder`, as it would be run on the film.

    `keys`: keyframes of the source, of which the result will have about as many.
    Raises the errors of `upscale`.
    """
    options = _short(setting.options, () if film.output.is_one_picture else takes)
    clock = _FrameClock(sink)
    result = upscale(
        film.source.path,
        folder / f"trial{film.output.path.suffix}",
        options,
        sink=clock,
        runner=runner,
    )
    frames, each = film.frames, clock.seconds_a_frame(result.seconds)
    counted = _bytes(result.output, frames, keys)
    return Trial(
        setting=setting,
        plan=film,
        file=result.output,
        frames=result.frames,
        seconds_a_frame=each,
        seconds=None if frames is None else clock.until_first + each * frames,
        bytes=by_rule(film, setting.options) if counted is None else counted,
        measured_size=counted is not None,
        warnings=tuple(clock.warnings),
    )


def by_rule(film: Plan, options: UpscaleOptions) -> int | None:
    """Return the size of the picture by rule of thumb."""
    return None if film.frames is None else bytes_by_rule(film, options, film.frames)


def _short(options: UpscaleOptions, takes: Sequence[Take]) -> UpscaleOptions:
    """Return the options for the takes alone, of which nothing is to be resumed."""
    clips = tuple(take.clip for take in takes)
    return dataclasses.replace(
        options,
        source=dataclasses.replace(options.source, clips=clips),
        encode=dataclasses.replace(options.encode, audio=False, overwrite=True),
        jobs=dataclasses.replace(options.jobs, segment=86400.0),
    )


class _FrameClock:
    """A sink that notes when frames were done, and hands events on."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._began = time.monotonic()
        self._first = self._last = self._began
        self._frames = 0
        self.warnings: list[str] = []

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, Started):
            self._began = now
        elif isinstance(event, Progress):
            self._first = now if not self._frames else self._first
            self._last, self._frames = now, event.frames
        elif isinstance(event, WarningNote) and event.text not in self.warnings:
            self.warnings.append(event.text)
        self._sink(event)

    @property
    def until_first(self) -> float:
        """Seconds from the beginning of the work to the first frame."""
        return max(self._first - self._began, 0.0)

    def seconds_a_frame(self, whole: float) -> float:
        """Return the steady speed where there were frames enough; `whole`: seconds of the run."""
        if self._frames >= STEADY:
            return (self._last - self._first) / (self._frames - 1)
        return whole / max(self._frames, 1)


def _bytes(result: Path, frames: int | None, keys: int) -> int | None:
    """Return the size of the whole picture, from the packets of its parts; None: too few.

    Each take begins with a keyframe, of which the film will have far fewer.
    """
    if frames is None:
        return None
    key, inner = packet_sizes(result)
    if not key:
        raise VsrError(f"{result.name}: holds no picture")
    a_key = sum(key) / len(key)
    if not inner:  # each picture by itself; of a single one nobody can tell
        return round(a_key * frames) if len(key) > STEADY else None
    keys = max(min(keys, frames), 1)
    return round(a_key * keys + sum(inner) / len(inner) * (frames - keys))
