"""A setting, tried on the moments of a film: the run itself, its time and its size."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vsr.engine.cache import EngineCache
from vsr.events import Sink
from vsr.jobs.plan.estimate import bytes_by_rule
from vsr.jobs.plan.label import default_scale
from vsr.jobs.plan.plan import Plan, plan
from vsr.jobs.run.context import Hooks, Runner
from vsr.jobs.run.short_run import Estimate, ShortRun, expected, run_short, seconds_a_frame
from vsr.media.read.keyframes import Keyframes
from vsr.media.source.kinds.base import Source
from vsr.options import Clip, Moment, UpscaleOptions
from vsr.report.moments import TellingMoment
from vsr.report.settings import Setting


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
    run: ShortRun  # of all takes, one after the other
    expected: Estimate  # of the whole film
    is_size_measured: bool  # or by rule of thumb

    @property
    def seconds_a_frame(self) -> float:
        """Return what a frame took."""
        return seconds_a_frame([self.run])


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
    index: Keyframes,
    runner: Runner | None,
    sink: Sink,
) -> Trial:
    """Run a setting on the takes, into `folder`, as it would be run on the film.

    `index`: the source's. Raises the errors of `upscale`.
    """
    clips = () if film.output.is_one_picture else [take.clip for take in takes]
    output = folder / f"trial{film.output.path.suffix}"
    hooks = Hooks(sink=sink, runner=runner)
    run = run_short(film, setting.options, clips, output, engines=EngineCache(), hooks=hooks)
    found = expected([run], film, index, setting.options)
    is_measured = found.bytes is not None
    if film.frames is not None and not is_measured:
        size = bytes_by_rule(film, setting.options, film.frames)
        found = dataclasses.replace(found, bytes=size)
    return Trial(setting=setting, plan=film, run=run, expected=found, is_size_measured=is_measured)
