"""Clips out of films: taken where no cut is, and told apart by the scenes that they are of."""

from __future__ import annotations

import itertools
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from vsr.errors import InputError
from vsr.events import Sink, silent
from vsr.frame import Frame
from vsr.media.source.kinds.base import Source
from vsr.stages.temporal.shot_cuts import differ, same_picture, thumbnail
from vsr.train.film import codes, frames, rgb

_TRIES = 4  # clips' lengths that are looked through for one without a cut
_FLAT = (
    2.0  # code values that a picture's neighbours differ by, at least, to be worth learning from
)


@dataclass(frozen=True, kw_only=True)
class ScenePlace:
    """What was found at one place of a film."""

    clip: Tensor | None  # (T, 3, H, W) uint8; None where there are cuts only, or nothing to see
    times: tuple[Fraction, ...]  # seconds
    cut_before: bool  # whether a cut lies between where it was looked and the clip, or the end
    cut_after: bool  # whether one lies between the clip and the next place
    thumbnail: Tensor | None  # (1, 1, h, w) of the last frame that was looked at


def places(source: Source, count: int, *, length: int | None = None) -> list[float | None]:
    """Return seconds at which to look, evenly over the film; None: its only frame.

    With a `length`, no more of them than clips of so many frames fit between one and the next.
    """
    if source.video.frames == 1 or not source.duration:
        return [None]
    whole = source.duration
    if length is None or not source.video.rate:
        return [whole * (n + 0.25) / count for n in range(count)]
    rate = float(source.video.rate)
    # A frame more than a clip has: times are rounded to ticks, and a film's length is an estimate.
    count = max(min(count, round(whole * rate) // (length + 1)), 1)
    step = whole / count
    late = min(0.25 * step, max(step - (length + 1) / rate, 0))
    return [step * n + late for n in range(count)]


def take(
    source: Source,
    start: float | None,
    until: float | None,
    *,
    length: int,
    window: int,
    sink: Sink = silent,
) -> ScenePlace:
    """Return a clip of `length` frames without a cut, soon after `start`, cut to `window` pixels a
    side.

    Goes on reading to the first cut behind it, or to the first frame from `until` on, at which the
    next place begins: so each cut between two clips is seen. Of damage `sink` is told. Raises
    InputError.
    """
    end = None if until is None else round(until / source.video.time_base)
    run: list[Frame] = []
    found: list[Frame] = []
    last: tuple[Frame, Tensor] | None = None
    cut_before = cut_after = False
    with closing(frames(source, start=start, sink=sink)) as pictures:
        for n, frame in enumerate(pictures):
            now = thumbnail(rgb(frame).mean(0, keepdim=True)[None])
            cut, jump = _change(last, (frame, now))
            cut_before |= cut and not found
            cut_after = cut and bool(found)
            if cut_after or (end is not None and frame.pts >= end):
                break
            last = frame, now
            if not found:
                run = [frame] if jump else [*run, frame]
                found = run if len(run) == length else []
            tried = n >= _TRIES * length + 24
            if (found or tried) and (end is None or (cut_before and not found)):
                break
    clip, times = _taken(found, window)
    return ScenePlace(
        clip=clip,
        times=times,
        cut_before=cut_before,
        cut_after=cut_after,
        thumbnail=None if last is None else last[1],
    )


def _change(before: tuple[Frame, Tensor] | None, after: tuple[Frame, Tensor]) -> tuple[bool, bool]:
    """Return (whether a cut lies between two frames, whether they are of no one clip)."""
    if before is None:
        return False, False
    if before[0].planes[0].shape != after[0].planes[0].shape:
        return True, True
    return not same_picture(before[1], after[1]), bool(differ(before[1], after[1]))


def _taken(run: list[Frame], window: int) -> tuple[Tensor | None, tuple[Fraction, ...]]:
    if not run:
        return None, ()
    times = tuple(frame.pts * frame.time_base for frame in run)
    clip = torch.stack([codes(rgb(frame)) for frame in run])
    clip = clip[..., slice(*_best(clip, 2, window)), :]
    clip = clip[..., slice(*_best(clip, 3, window))]
    steps = clip.float().diff(dim=3).abs().mean()
    return (clip.contiguous() if steps >= _FLAT else None), times


def _best(clip: Tensor, dim: int, window: int) -> tuple[int, int]:
    """Return (start, end) of the stretch with most to see in it: the largest changes, at steps of
    8.
    """
    size = clip.shape[dim]
    if size <= window:
        return 0, size
    changes = clip[:1].float().diff(dim=dim).abs().mean([d for d in range(4) if d != dim])
    sums = torch.cat([torch.zeros(1), changes.cumsum(0)])
    starts = list(range(0, size - window + 1, 8))
    best = max(starts, key=lambda start: float(sums[start + window - 1] - sums[start]))
    return best, best + window


def read_at(source: Source, times: tuple[Fraction, ...]) -> Tensor:
    """Return (T, 3, H, W) uint8: the frames of a film that are shown at these seconds.

    Raises InputError.
    """
    close = Fraction(2, 5) / source.video.rate if source.video.rate else Fraction(1, 100)
    found: list[Tensor] = []
    with closing(frames(source, start=float(times[0] - close))) as pictures:
        for frame in itertools.islice(pictures, 8 * len(times)):
            wanted = times[len(found)]
            if abs(frame.pts * frame.time_base - wanted) < close:
                found.append(codes(rgb(frame)))
            if len(found) == len(times):
                return torch.stack(found)
    raise InputError(
        f"{source.path}: has no picture at {float(times[0]):.3f} s, as its partner has"
    )
