"""Moments of a film at which settings show their differences, found by looking at a few places."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.errors import InputError, UsageError
from vsr.events import silent
from vsr.frame import Frame, Matrix
from vsr.media.read.keyframes import Keyframes
from vsr.media.read.reader import read_frames
from vsr.media.source.kinds.base import Source
from vsr.media.source.spans import Span
from vsr.options import ColourOptions, Moment
from vsr.stages.colour.convert import luma_of, to_rgb
from vsr.stages.temporal.shot_cuts import differ, same_picture, thumbnail, unlike

_PLACES = 32  # that are looked at
_CUTS = 12  # keyframes of which it is asked whether a shot begins there
_APART = Fraction(1)  # seconds between two moments, at least
_BLOCK = 16  # pixels, in which edges are counted
_STRONG = 0.25  # of black to white, between neighbours: an edge like that of a letter
_CROWDED = 0.12  # share of a block's pixels that are such edges
_DARK = 0.22  # mean luma
_SEEN = 0.015  # deviation of luma below which there is nothing to see
# Score below which a film has no such moment.
_LEAST = {"detail": 0.0, "motion": 0.004, "dark": 0.0, "text": 0.01, "cut": 0.0}
_REASONS = {
    "detail": "the most detail",
    "motion": "the most motion",
    "text": "edges like those of text",
    "cut": "just after a cut",
    "dark": "dark",
}


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle of the result, in its pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, picture: Tensor) -> Tensor:
        """Return what is in it of (1, C, H, W)."""
        down, across = slice(self.top, self.top + self.height), self.left + self.width
        return picture[:, :, down, self.left : across]

    def of_source(self, picture: Tensor, scale: tuple[float, float]) -> Tensor:
        """Return what the rectangle is made of, of the (1, C, h, w) source."""
        left, top = int(self.left / scale[0]), int(self.top / scale[1])
        width, height = (
            math.ceil(n / s) for n, s in zip((self.width, self.height), scale, strict=True)
        )
        return picture[:, :, top : top + height, left : left + width]

    @classmethod
    def around(
        cls, size: tuple[int, int], centre: tuple[float, float], most: tuple[int, int]
    ) -> Self:
        """Return that around `centre`, even in place and size, that can be shown."""
        sides = [max(min(a, b) // 2 * 2, 1) for a, b in zip(size, most, strict=True)]
        corner = [
            min(max(round(c * whole - side / 2), 0), whole - side) // 2 * 2
            for c, whole, side in zip(centre, size, sides, strict=True)
        ]
        return cls(left=corner[0], top=corner[1], width=sides[0], height=sides[1])


@dataclass(frozen=True, kw_only=True)
class TellingMoment:
    """A frame at which to look, and where in it."""

    frame: int  # its number, from 0
    seconds: Fraction  # on the film's clock, as players show it
    reason: str
    centre: tuple[float, float] = (0.5, 0.5)  # (across, down) of the picture


@dataclass(frozen=True)
class _Look:
    """What is seen at a place: how much of each kind, and where."""

    frame: int
    scores: dict[str, float]
    maps: dict[str, Tensor]  # (h, w)


def find_moments(
    source: Source, index: Keyframes, colour: ColourOptions, window: tuple[float, float]
) -> list[TellingMoment]:
    """Return a moment for each kind of trouble that the film has, in their order in it.

    `window`: (width, height) of what can be shown of a frame, as shares of its sides. Raises
    InputError.
    """
    looks = list(_looks(source, index, colour))
    if not looks:
        raise InputError(f"{source.path}: not one frame of its video can be decoded")
    clock = _clock(source, index)
    found: list[TellingMoment] = []
    for kind, reason in _REASONS.items():
        ranked = sorted(looks, key=lambda look: -look.scores.get(kind, 0.0))
        for look in ranked:
            if look.scores.get(kind, 0.0) <= _LEAST[kind]:
                break
            seconds = clock(look.frame)
            if any(abs(seconds - other.seconds) < _APART for other in found):
                continue
            centre = _centre(look.maps.get(kind, look.maps["detail"]), window)
            found.append(
                TellingMoment(frame=look.frame, seconds=seconds, reason=reason, centre=centre)
            )
            break
    if not found:  # a still, or black throughout
        first = looks[0]
        found = [
            TellingMoment(frame=first.frame, seconds=clock(first.frame), reason="the beginning")
        ]
    return sorted(found, key=lambda moment: moment.frame)


def named_moments(
    source: Source,
    index: Keyframes,
    colour: ColourOptions,
    window: tuple[float, float],
    wanted: Sequence[Moment],
) -> list[TellingMoment]:
    """Return the moments that the user named, as `find_moments`. Raises UsageError."""
    clock = _clock(source, index)
    found = []
    for moment in wanted:
        number = moment.frame
        if number is None:
            assert moment.seconds is not None
            tick = (source.begin + moment.seconds) / source.video.time_base
            # The frame that is on the screen then.
            number = max(bisect_right(index.frames, tick) - 1, 0)
        if number >= len(index.frames):
            raise UsageError(f"--at {moment}: lies behind the film's last frame")
        if moment.seconds is not None and moment.seconds > clock(len(index.frames) - 1) + 1:
            raise UsageError(f"--at {moment}: lies behind the film's last frame")
        look = _looked(source, index, colour, number)
        if look is None:
            raise InputError(f"{source.path}: cannot be decoded at {moment}")
        centre = _centre(look.maps["detail"], window)
        found.append(
            TellingMoment(frame=number, seconds=clock(number), reason="as you asked", centre=centre)
        )
    return sorted(found, key=lambda moment: moment.frame)


def _clock(source: Source, index: Keyframes) -> Callable[[int], Fraction]:
    """Return what maps a frame's number to the time that players show."""
    return lambda number: index.frames[number] * source.video.time_base - source.begin


def _looks(source: Source, index: Keyframes, colour: ColourOptions) -> Iterator[_Look]:
    for number in _places(index):
        if (look := _looked(source, index, colour, number)) is not None:
            yield look
    yield from _cuts(source, index, colour)


def _places(index: Keyframes) -> list[int]:
    """Return numbers of frames, at keyframes where there are enough, spread over the film."""
    last = max(len(index.frames) - 2, 0)
    keys = [n for n in (bisect_left(index.frames, pts) for pts in index.pts) if n <= last]
    among = keys if len(keys) >= _PLACES else list(range(last + 1))
    count = min(_PLACES, len(among))
    return [among[(2 * n + 1) * len(among) // (2 * count)] for n in range(count)]


def _pair(source: Source, index: Keyframes, colour: ColourOptions, number: int) -> list[Frame]:
    """Return the frame of that number, and the next."""
    behind = number + 2
    end = index.frames[behind] if behind < len(index.frames) else None
    span = Span(start=index.frames[number], end=end)
    with closing(read_frames(source, colour, spans=[span], sink=silent)) as frames:
        return [frame for frame, _ in zip(frames, range(2), strict=False)]


def _looked(source: Source, index: Keyframes, colour: ColourOptions, number: int) -> _Look | None:
    pair = _pair(source, index, colour, number)
    if not pair:
        return None
    luma = [luma_of_frame(frame) for frame in pair]
    return _look(number, luma[0], luma[1] if len(luma) > 1 else None)


@torch.inference_mode()
def _look(number: int, luma: Tensor, after: Tensor | None) -> _Look:
    fine = (luma - F.avg_pool2d(F.pad(luma, (1, 1, 1, 1), mode="replicate"), 3, 1)).abs()
    edges = ((luma[..., 1:] - luma[..., :-1]).abs() > _STRONG).float()
    crowded = (F.avg_pool2d(edges, _BLOCK, ceil_mode=True) > _CROWDED).float()
    mean, deviation = float(luma.mean()), float(luma.std())
    scores = {"detail": float(fine.mean()), "text": float(crowded.mean())}
    maps = {"detail": fine[0, 0], "text": crowded[0, 0]}
    if deviation > _SEEN and mean < _DARK:
        scores["dark"] = _DARK - mean
    if after is not None and after.shape == luma.shape:
        one, other = thumbnail(luma), thumbnail(after)
        if not differ(one, other):
            moved = (other - one).abs()
            scores["motion"] = float(moved.mean())
            maps["motion"] = moved[0, 0]
    return _Look(number, scores, maps)


@torch.inference_mode()
def _cuts(source: Source, index: Keyframes, colour: ColourOptions) -> Iterator[_Look]:
    """Yield first frames of shots. Encoders put a keyframe there, earlier than it was due."""
    keys = [bisect_left(index.frames, pts) for pts in index.pts]
    steps = [(b - a, b) for a, b in pairwise(keys)]
    if not steps:
        return
    due = max(step for step, _ in steps)
    early = [number for step, number in steps if step < due or len(steps) == 1]
    for number in early[:: max(len(early) // _CUTS, 1)][:_CUTS]:
        pair = _pair(source, index, colour, number - 1)
        if len(pair) < 2 or (pair[0].width, pair[0].height) != (pair[1].width, pair[1].height):
            continue
        luma = luma_of_frame(pair[1])
        thumbs = thumbnail(luma_of_frame(pair[0])), thumbnail(luma)
        if not same_picture(*thumbs):
            look = _look(number, luma, None)
            yield _Look(number, {"cut": float(unlike(*thumbs))}, look.maps)


def luma_of_frame(frame: Frame) -> Tensor:
    """Return (1, 1, H, W) luma of a frame, 0..1, with BT.709's weights."""
    return luma_of(rgb_of_frame(frame), Matrix.BT709)[:, None]


def rgb_of_frame(frame: Frame) -> Tensor:
    """Return (1, 3, H, W) RGB of a frame, nominally 0..1."""
    return to_rgb(tuple(plane[None] for plane in frame.planes), frame.layout, frame.colour)


def _centre(interest: Tensor, window: tuple[float, float]) -> tuple[float, float]:
    """Return the middle of the window that holds the most of `interest`, as shares of its sides.

    `interest` may be a small copy of the picture.
    """
    height, width = interest.shape
    across, down = (
        max(min(round(side * share), side), 1)
        for side, share in zip((width, height), window, strict=True)
    )
    pooled = F.avg_pool2d(interest[None, None].float(), (down, across), stride=1)[0, 0]
    top, left = divmod(int(pooled.argmax()), pooled.shape[1])
    return (left + across / 2) / width, (top + down / 2) / height
