"""A setting, tried on the moments of a film: the run itself, its time and its size."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from vsr.engine.base import Engine, is_out_of_memory
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
from vsr.report.invention import doubt
from vsr.report.moments import TellingMoment
from vsr.report.settings import Setting

_PASSES = 2  # of the network, for the doubts of a frame


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


@dataclass(frozen=True, kw_only=True)
class Doubter:
    """Asks the network of a setting for its doubts."""

    engine: Engine
    strength: float  # how much of what it draws beyond the source is kept

    def __call__(self, source: Tensor) -> Tensor | None:
        """Map (1, 3, h, w) RGB, 0..1 -> (scale * h, scale * w), as `doubt`, of what is kept."""
        try:
            found = doubt(self.engine, source)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None  # a run makes tiles then, which is not worth it here
        return None if found is None else found * self.strength


def doubters(
    trials: Sequence[Trial], share: float, moments: int, seconds: float
) -> list[Doubter | None]:
    """Return who looks at each setting; None where no network enlarges, or in want of time.

    `share`: of a frame that is looked at, 0..1. `seconds`: for all moments together.
    """
    engines = EngineCache()
    found = list[Doubter | None]()
    for trial in trials:
        options = trial.setting.options
        takes = _PASSES * trial.seconds_a_frame * share * moments
        if takes > seconds or trial.plan.target.scale <= 1:
            found.append(None)
            continue
        engine = engines.engine(options.model, Fraction(trial.plan.target.scale), options.device)
        draws = engine.receptive_radius > 0
        found.append(Doubter(engine=engine, strength=options.model.strength) if draws else None)
    return found
