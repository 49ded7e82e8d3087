"""Clips out of films: taken where no cut is, and told apart by the scenes that they are of."""

from __future__ import annotations

import itertools
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from vsr.errors import InputError
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
    ends: bool  # whether a cut lies between here and the next place


def places(source: Source, count: int) -> list[float | None]:
    """Return seconds at which to look, evenly over the film; None: its only frame."""
    if source.video.frames == 1 or not source.duration:
        return [None]
    length = source.duration
    return [length * (n + 0.25) / count for n in range(count)]


def take(
    source: Source, start: float | None, until: float | None, *, length: int, window: int
) -> ScenePlace:
    """Return a clip of `length` frames without a cut, soon after `start`, cut to `window` pixels a
    side.

    Goes on reading to the first cut, or to `until` if there is none. Raises InputError.
    """
    run: list[Frame] = []
    found: list[Frame] = []
    last: Tensor | None = None
    with closing(frames(source, start=start)) as pictures:
        for n, frame in enumerate(pictures):
            if until is not None and float(frame.pts * frame.time_base) >= until:
                break
            now = thumbnail(rgb(frame).mean(0, keepdim=True)[None])
            size_changed = bool(run) and run[-1].planes[0].shape != frame.planes[0].shape
            if last is not None and (size_changed or bool(differ(last, now))):
                run = []
                if found and (size_changed or not same_picture(last, now)):
                    return _taken(source, found, window, ends=True)
            last = now
            if not found:
                run.append(frame)
                found = run if len(run) == length else []
                if not found and n >= _TRIES * length + 24:
                    break
            if found and until is None:
                break
    return _taken(source, found, window, ends=not found)


def _taken(source: Source, run: list[Frame], window: int, *, ends: bool) -> ScenePlace:
    if not run:
        return ScenePlace(clip=None, times=(), ends=ends)
    times = tuple(frame.pts * frame.time_base for frame in run)
    clip = torch.stack([codes(rgb(frame)) for frame in run])
    clip = clip[..., slice(*_best(clip, 2, window)), :]
    clip = clip[..., slice(*_best(clip, 3, window))]
    steps = clip.float().diff(dim=3).abs().mean()
    return ScenePlace(clip=clip.contiguous() if steps >= _FLAT else None, times=times, ends=ends)


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
