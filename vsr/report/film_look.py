"""What is seen of a film without a network: its cuts, what reuse can spare, its worst frames."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import Tensor

from vsr.engine.torch_engine import PassThroughEngine
from vsr.errors import VsrError
from vsr.events import Progress, Sink, silent
from vsr.frame import Frame
from vsr.media.read.keyframes import Keyframes
from vsr.media.read.reader import read_frames
from vsr.media.source.kinds.base import Source
from vsr.media.source.spans import Span
from vsr.nets.store import load
from vsr.options import ColourOptions, UpscaleOptions
from vsr.report.invention import heat, invention
from vsr.report.moments import luma_of_frame, rgb_of_frame
from vsr.stages.consistency import enlarged
from vsr.stages.device.reuse import Reuser
from vsr.stages.device.size import TargetSize
from vsr.stages.device.stage import DeviceStage, OutputImage
from vsr.stages.temporal.shot_cuts import differ, thumbnail

_WIDEST = 640  # pixels of a worst frame, as it is shown


@dataclass(kw_only=True)
class FilmLook:
    """The source, frame by frame; times in seconds, as players show them."""

    times: list[float] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)  # share of each frame that reuse left to do


class _IdleEngine(PassThroughEngine):
    """Upscales nothing, and claims to see as far as a network does."""

    def __init__(self, receptive_radius: int) -> None:
        super().__init__(device=torch.device("cpu"))
        self.receptive_radius = receptive_radius


@torch.inference_mode()
def look_at(source: Source, options: UpscaleOptions, sink: Sink) -> FilmLook:
    """Decode the whole source once. Raises InputError."""
    found, reuser = FilmLook(), _reuser(source, options)
    before: Tensor | None = None
    for frame in read_frames(source, options.colour, sink=silent):
        found.times.append(float(frame.pts * frame.time_base - source.begin))
        now = thumbnail(luma_of_frame(frame))
        if before is not None and (before.shape != now.shape or bool(differ(before, now))):
            found.cuts.append(found.times[-1])
        before = now
        if reuser is not None:
            done = reuser.work_done
            reuser(rgb_of_frame(frame))
            found.work.append(reuser.work_done - done)
        sink(Progress(frames=len(found.times)))
    return found


def _reuser(source: Source, options: UpscaleOptions) -> Reuser | None:
    """Return what decides what is upscaled anew; None where that is everything."""
    if options.device.reuse == "off":
        return None
    try:
        radius = load(options.model).receptive_radius
    except VsrError:  # the weights are elsewhere now
        return None
    if not radius:
        return None
    video = source.video
    image = OutputImage(
        target=TargetSize(width=video.width, height=video.height, scale=Fraction(1)),
        layout=video.layout,
        colour=video.colour,
        kernel="bicubic",
    )
    engine = _IdleEngine(radius)
    return Reuser(DeviceStage(engine, image, options, sink=silent), options.device.reuse)


# --- the worst frames ---


@dataclass(frozen=True, kw_only=True, eq=False)
class WorstFrame:
    """A frame whose number is among the worst, as it was and as it became."""

    seconds: float
    value: float
    share: float | None  # of its detail, that is invented
    source: Tensor  # (H, W, 3) uint8, enlarged by bicubic
    result: Tensor  # (H, W, 3) uint8
    heat: Tensor | None  # (H, W, 4) uint8


def worst_times(
    times: Sequence[float], values: Sequence[float], count: int, *, low_is_bad: bool
) -> list[int]:
    """Return the numbers of the worst frames, a second apart, the worst first."""
    sign = 1 if low_is_bad else -1
    there = [n for n, value in enumerate(values) if not math.isnan(value)]
    chosen: list[int] = []
    for n in sorted(there, key=lambda n: sign * values[n]):
        if len(chosen) == count:
            break
        if all(abs(times[n] - times[other]) >= 1 for other in chosen):
            chosen.append(n)
    return chosen


@torch.inference_mode()
def worst_frame(
    films: tuple[Source, Source], indexes: tuple[Keyframes, Keyframes], seconds: Fraction,
    value: float, colour: ColourOptions,
) -> WorstFrame | None:  # fmt: skip
    """Return the frame of source and result at a time; None where one cannot be read.

    `seconds`: on the clocks of both, less nothing.
    """
    frames = [
        _frame_at(film, index, seconds, own)
        for film, index, own in zip(films, indexes, (colour, ColourOptions()), strict=True)
    ]
    one, other = frames
    if one is None or other is None:
        return None
    size = (other.width, other.height)
    scale = (other.width / one.width, other.height / one.height)
    found = None
    if min(scale) > 1:
        found = invention(luma_of_frame(one), luma_of_frame(other), scale)
    return WorstFrame(
        seconds=float(seconds),
        value=value,
        share=None if found is None else found.share,
        source=_shown(enlarged(rgb_of_frame(one), size, scale)),
        result=_shown(rgb_of_frame(other)),
        heat=None if found is None else heat(found.rms),
    )


def _frame_at(
    film: Source, index: Keyframes, seconds: Fraction, colour: ColourOptions
) -> Frame | None:
    """Return the frame whose time is nearest."""
    tick = seconds / film.video.time_base
    behind = bisect_left(index.frames, tick)
    near = index.frames[max(behind - 1, 0) : behind + 1]
    if not near:
        return None
    start = min(near, key=lambda pts: abs(pts - tick))
    span = Span(start=start, end=start + 1)
    with closing(read_frames(film, colour, spans=[span], sink=silent)) as frames:
        return next(itertools.islice(frames, 1), None)


def _shown(picture: Tensor) -> Tensor:
    """Map (1, 3, H, W) RGB -> (h, w, 3) uint8, small enough for the page."""
    return _small(picture[0].clamp(0, 1).mul(255).permute(1, 2, 0))


def _small(picture: Tensor) -> Tensor:
    """Map (H, W, C), 0..255 -> (h, w, C) uint8, of the width that is shown."""
    height, width = picture.shape[:2]
    if width > _WIDEST:
        size = (_WIDEST, max(round(height * _WIDEST / width), 1))
        scale = (_WIDEST / width, size[1] / height)
        picture = enlarged(picture.permute(2, 0, 1)[None].float(), size, scale)[0].permute(1, 2, 0)
    return picture.float().clamp(0, 255).round().byte().contiguous()
