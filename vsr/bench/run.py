"""The benchmark: every stage in turn, then all together, again and again."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from vsr.bench.machine import Machine, describe
from vsr.bench.stages import BenchStages
from vsr.engine.cache import EngineCache
from vsr.engine.device import DTYPES
from vsr.errors import UsageError
from vsr.events import Event, Finished, Progress, Sink, Started, Step, Timed, silent
from vsr.jobs.plan.source import OpenedSource
from vsr.jobs.run.auto_strength import resolve_strength
from vsr.jobs.run.context import Hooks
from vsr.jobs.run.upscale import prepare, upscale_one
from vsr.options import Clip, Moment, UpscaleOptions

_FILLING = 4  # frames until every stage is at work


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds a frame: the median of the rounds, and how far they lie apart."""

    name: str
    median: float
    least: float
    most: float
    floor: float | None = None
    floor_of: str = ""


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """What was measured, on what."""

    machine: Machine
    source: str
    frames: int
    description: str  # of the run: model, device, sizes, encoder
    rounds: int
    stages: list[Timing]
    whole: Timing  # between two frames, with everything at work
    start: float  # seconds until the first frame is encoded, networks being loaded
    end: float  # seconds from the last frame to the finished file

    @property
    def slowest(self) -> Timing:
        """The stage that the others wait for."""
        return max((s for s in self.stages if "plainly" not in s.name), key=lambda s: s.median)

    @property
    def overlap(self) -> float:
        """The whole's rate / that of its slowest stage by itself; 1 hides all the others."""
        return self.slowest.median / self.whole.median


@dataclass
class _Watch:
    """When each frame of a run was encoded."""

    description: str = ""
    began: float = 0.0
    frames: list[float] = field(default_factory=list)
    ended: float = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.description, self.began = event.description, time.perf_counter()
        elif isinstance(event, Progress):
            self.frames.append(time.perf_counter())
        elif isinstance(event, Finished):
            self.ended = time.perf_counter()

    @property
    def steady(self) -> float:
        """Seconds between two frames, once every stage is at work."""
        first = min(_FILLING, len(self.frames) - 2)
        return (self.frames[-1] - self.frames[first]) / (len(self.frames) - 1 - first)


def bench(
    source: Path,
    options: UpscaleOptions,
    *,
    frames: int = 24,
    rounds: int = 5,
    sink: Sink = silent,
) -> BenchReport:
    """Time the first `frames` frames of `source`, or those after the `--start` of `options`.

    Stages are timed one after the other and in rounds, so that what else the machine does
    falls on all of them. Raises the errors of `vsr.errors`.
    """
    if frames < 3 or rounds < 1:
        raise UsageError("--frames, --rounds: a benchmark needs 3 frames and 1 round at least")
    options = _for_frames(options, frames)
    engines = EngineCache()
    with tempfile.TemporaryDirectory(prefix="vsr-bench-") as name:
        folder = Path(name)
        output = folder / "whole.mkv"
        work = resolve_strength(
            prepare(OpenedSource(path=source, output=output), options, engines, Hooks(sink=sink))
        )
        machine = describe(work.engine.device, DTYPES[work.engine.precision])
        repeats = 1 if work.engine.device.type == "cpu" else 8
        stages = BenchStages(work, machine, folder, repeats=repeats).all()
        took: dict[str, list[float]] = {stage.name: [] for stage in stages}
        watches: list[_Watch] = []
        for stage in stages:
            stage.work()  # warms up
        steps = Timed(sink)
        for number in range(rounds):
            for stage in stages:
                began = time.perf_counter()
                stage.work()
                took[stage.name].append((time.perf_counter() - began) / stage.frames)
            watches.append(watch := _Watch())
            upscale_one(source, output, options, engines, Hooks(sink=watch))
            steps(Step(step=number + 1, total=rounds, numbers={}))
    return BenchReport(
        machine=machine,
        source=source.name,
        frames=frames,
        description=watches[0].description,
        rounds=rounds,
        stages=[_timing(s.name, took[s.name], floor=s.floor, floor_of=s.floor_of) for s in stages],
        whole=_timing("all together", [watch.steady for watch in watches]),
        start=statistics.median(watch.frames[0] - watch.began for watch in watches),
        end=statistics.median(watch.ended - watch.frames[-1] for watch in watches),
    )


def _for_frames(options: UpscaleOptions, frames: int) -> UpscaleOptions:
    """Return the same, of so many frames only, in one part, replacing what is there."""
    clips = options.source.clips
    if len(clips) > 1:
        raise UsageError("<source.clips>: a benchmark takes one part of a film")
    start = clips[0].start if clips else None
    clip = Clip(start=start, duration=Moment(frame=frames))
    return dataclasses.replace(
        options,
        source=dataclasses.replace(options.source, clips=(clip,)),
        encode=dataclasses.replace(options.encode, overwrite=True),
    )


def _timing(
    name: str, seconds: list[float], *, floor: float | None = None, floor_of: str = ""
) -> Timing:
    return Timing(
        name=name,
        median=statistics.median(seconds),
        least=min(seconds),
        most=max(seconds),
        floor=floor,
        floor_of=floor_of,
    )
