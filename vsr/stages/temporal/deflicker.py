"""Takes the pumping of light out of old film: each frame gets the brightness of its surroundings.

How much brighter a frame is than one beside it is the median, over small pieces of the picture,
of their ratio: what moves does not count. Where that goes in a straight line over the window, it
is a fade, and stays. The window ends at cuts, and at flashes, which stay, too.

Only the gain is found here; it travels with the frame, and is applied before the network.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.frame import Colour, Frame
from vsr.stages.colour.convert import luma_codes
from vsr.stages.temporal.shot_cuts import same_picture, thumbnail

RADIUS = 5  # frames on either side
_LIT = 0.06  # of white, from which on a ratio means something
_FEW = 32  # lit pieces of a picture, without which nothing is known of its light
_LARGEST = math.log(1.4)  # between two frames; more is a flash
_LIMIT = math.log(1.25)  # that is corrected


@dataclass(frozen=True)
class _FrameBrightness:
    frame: Frame
    small: Tensor  # (1, 1, h, w) luma, 0..1


def levels(colour: Colour) -> bool:
    """Return whether the light of such a film can be levelled by a gain."""
    return not colour.hdr


def deflicker(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield the same frames, each with its `gain`. In memory: `RADIUS` on either side."""
    window: deque[_FrameBrightness] = deque()
    current = 0  # place in the window of the frame that is handed out next
    for frame in frames:
        brightness = _FrameBrightness(frame, _small(frame))
        if window and (frame.fresh or window[-1].small.shape != brightness.small.shape):
            yield from _rest(window, current)
            window.clear()
            current = 0
        window.append(brightness)
        if len(window) - current > RADIUS:
            yield _with_gain(window, current)
            current += 1
            if current > RADIUS:
                window.popleft()
                current -= 1
    yield from _rest(window, current)


def _rest(window: deque[_FrameBrightness], current: int) -> Iterator[Frame]:
    for n in range(current, len(window)):
        yield _with_gain(window, n)


def _small(frame: Frame) -> Tensor:
    zero, span = luma_codes(frame.layout, frame.colour)
    planes = frame.planes[:3] if frame.layout.family == "rgb" else frame.planes[:1]
    luma = torch.stack([plane.float() for plane in planes]).mean(0)
    light = (luma - zero) / span
    if frame.layout.alpha:  # what is not seen is dark, and does not count
        light *= frame.planes[-1].float() / ((1 << frame.layout.bits) - 1)
    return thumbnail(light[None, None])


def _with_gain(window: deque[_FrameBrightness], current: int) -> Frame:
    at, steps, levels = window[current], [0.0], [0.0]
    for way in (-1, 1):
        last = at
        for n in range(current + way, current + way * (RADIUS + 1), way):
            if not 0 <= n < len(window) or not _same(last, window[n]):
                break
            last = window[n]
            steps.append(float(n - current))
            levels.append(_brighter(last.small, at.small))
    gain = max(-_LIMIT, min(_LIMIT, _line_at_zero(steps, levels)))
    return dataclasses.replace(at.frame, gain=math.exp(gain))


def _same(one: _FrameBrightness, other: _FrameBrightness) -> bool:
    if abs(_brighter(one.small, other.small)) > _LARGEST:
        return False
    return same_picture(one.small, other.small)


def _brighter(one: Tensor, other: Tensor) -> float:
    """Return the logarithm of how much brighter `one` is."""
    lit = torch.minimum(one, other) > _LIT
    if int(lit.sum()) < _FEW:
        return 0.0
    return float((one[lit] / other[lit]).log().median())


def _line_at_zero(steps: list[float], levels: list[float]) -> float:
    """Return where the straight line that fits best passes 0; with too few steps, the last
    known.
    """
    count = len(steps)
    middle, level = sum(steps) / count, sum(levels) / count
    spread = sum((x - middle) ** 2 for x in steps)
    if count < 3:
        return 0.0
    slope = sum((x - middle) * (y - level) for x, y in zip(steps, levels, strict=True)) / spread
    return level - slope * middle
