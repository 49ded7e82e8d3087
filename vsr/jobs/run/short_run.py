"""A run of some of a film: what it took, and what that comes to for all of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr.engine.cache import EngineCache
from vsr.events import Event, Progress, Sink, WarningNote
from vsr.jobs.plan.plan import Plan
from vsr.jobs.run.context import Hooks
from vsr.jobs.run.upscale import upscale_one
from vsr.media.read.keyframes import Keyframes
from vsr.media.source.probe import probe
from vsr.options import Clip, UpscaleOptions

STEADY = 4  # frames from which on the start is left out of the speed
_GOP = 250  # frames from one keyframe of a result to the next, where nothing is cut

Crop = tuple[int, int, int, int]  # width, height, left, top


@dataclass(frozen=True, kw_only=True)
class ShortRun:
    """What a run of some of a film took and weighs."""

    output: Path
    frames: int  # that were made
    clips: int  # that they lie in, each of which begins with a keyframe
    share: float  # of the frame's pixels
    start: float  # seconds to the first frame; 0 where there are few
    seconds: float  # from there to the end
    key: float  # bytes of a keyframe
    inner: float | None  # bytes of another frame; None: there is none
    warnings: tuple[str, ...]

    @property
    def steps(self) -> int:
        """Return how many frames `seconds` were for: without the first, unless there are few."""
        return self.frames - 1 if self.frames >= STEADY else self.frames


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is to be expected of the whole film."""

    seconds: float | None  # None: the weights are not here, or the frames are not known
    bytes: int | None  # of the picture; None: not known
    frames: int = 0  # that were made to find it out; 0: by rule of thumb


def run_short(
    plan: Plan,
    options: UpscaleOptions,
    clips: Sequence[Clip],
    output: Path,
    *,
    engines: EngineCache,
    hooks: Hooks,
    crop: Crop | None = None,
) -> ShortRun:
    """Make `clips` of a planned film, or `crop` of them; no `clips`: all of it.

    Raises the errors of `upscale`.
    """
    watch = _Watch(hooks.sink)
    began = time.monotonic()
    result = upscale_one(
        plan.source.path,
        output,
        _short(plan, options, clips, crop),
        engines,
        dataclasses.replace(hooks, sink=watch),
    )
    ended = time.monotonic()
    video, share = plan.source.video, 1.0
    if crop is not None:
        share = crop[0] * crop[1] / (video.width * video.height)
    first = watch.first if watch.first is not None and result.frames >= STEADY else began
    key, inner = _sizes(result.output, plan, result.frames)
    return ShortRun(
        output=result.output,
        frames=result.frames,
        clips=max(len(clips), 1),
        share=share,
        start=first - began,
        seconds=ended - first,
        key=key / share,
        inner=None if inner is None else inner / share,
        warnings=tuple(dict.fromkeys(watch.warnings)),
    )


def _short(
    plan: Plan, options: UpscaleOptions, clips: Sequence[Clip], crop: Crop | None
) -> UpscaleOptions:
    """Return the options of such a run."""
    source = dataclasses.replace(options.source, strict=False)
    if clips:
        source = dataclasses.replace(source, clips=tuple(clips))
    size = options.size
    if crop is not None:  # made larger by as much as the whole frame would be
        source = dataclasses.replace(source, crop=":".join(map(str, crop)))
        size = dataclasses.replace(size, scale=plan.target.scale, fit=None, height=None)
    encode = dataclasses.replace(options.encode, audio=False, overwrite=True)
    return dataclasses.replace(options, source=source, size=size, encode=encode)


class _Watch:
    """A sink that notes when the first frame was done and what was warned of; hands events on."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.first: float | None = None
        self.warnings: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and self.first is None:
            self.first = time.monotonic()
        elif isinstance(event, WarningNote):
            self.warnings.append(event.text)
        self._sink(event)


def _sizes(result: Path, plan: Plan, frames: int) -> tuple[float, float | None]:
    """Return the bytes of a keyframe, and of another frame, of the result."""
    if plan.output.is_sequence:
        return sum(file.stat().st_size for file in result.parent.iterdir()) / frames, None
    if plan.output.container.kind != "film":
        return result.stat().st_size / frames, None
    key, inner = packet_sizes(result)
    return sum(key) / max(len(key), 1), sum(inner) / len(inner) if inner else None


def packet_sizes(result: Path) -> tuple[list[int], list[int]]:
    """Return the bytes of each keyframe, and of each other frame, of a film."""
    source = probe(result)
    key, inner = list[int](), list[int]()
    with source.open() as container:
        stream: Any = container.streams[source.video.index]
        for packet in container.demux(stream):
            if packet.size:
                (key if packet.is_keyframe else inner).append(packet.size)
    return key, inner


# --- what it comes to ---


def seconds_a_frame(runs: Sequence[ShortRun]) -> float:
    """Return what a whole frame takes after the first one."""
    return sum(run.seconds / run.share for run in runs) / sum(run.steps for run in runs)


def expected(
    runs: Sequence[ShortRun],
    plan: Plan,
    index: Keyframes,
    options: UpscaleOptions,
    *,
    loading: float = 0.0,
    workers: int = 1,
) -> Estimate:
    """Return what making the whole film comes to, of which `runs` made some.

    `index`: that of the source. `loading`: seconds that were not in the runs. `workers`: that
    will share what each run did by itself.
    """
    made, frames = sum(run.frames for run in runs), plan.frames
    if frames is None:
        return Estimate(seconds=None, bytes=None, frames=made)
    return Estimate(
        seconds=loading + runs[0].start + seconds_a_frame(runs) * frames / workers,
        bytes=_bytes(runs, frames, _keys(plan, index, frames, options)),
        frames=made,
    )


def _keys(plan: Plan, index: Keyframes, frames: int, options: UpscaleOptions) -> float:
    """Return about how many keyframes the result will have.

    Where those of the source come often, they say nothing of where it is cut.
    """
    seconds = float((index.frames[-1] - index.frames[0]) * plan.source.video.time_base)
    parts = 1 + seconds / options.jobs.segment
    gop = len(index.frames) / max(len(index.pts), 1)
    rate = plan.source.video.rate or 25
    of_source = frames / gop if gop >= rate else 0.0
    return min(max(parts, frames / _GOP, of_source), frames)


def _bytes(runs: Sequence[ShortRun], frames: int, keys: float) -> int | None:
    """Return the size of the whole picture; None: only first frames were made, of more."""
    a_key = sum(run.key for run in runs) / len(runs)
    inner = [(run.inner, run.frames - run.clips) for run in runs if run.inner is not None]
    if inner:
        each = sum(size * count for size, count in inner) / sum(count for _, count in inner)
        return round(a_key * keys + each * (frames - keys))
    made = sum(run.frames for run in runs)
    if made < frames and made <= sum(run.clips for run in runs):
        return None  # what other frames weigh is not known
    return round(a_key * frames)
