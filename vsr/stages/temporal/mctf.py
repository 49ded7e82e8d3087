"""Takes the flicker of invented texture out: frames that show the same look the same.

A network upscales each frame by itself, and noise in the source makes it invent other details each
time. Here each upscaled frame is averaged with those up to `temporal_radius` frames before and
after it, moved by what moved in the source, and weighed by how well the source matches there,
against the source's own noise. What a neighbour can change is limited, and nothing passes a cut or
a flash.
The window is finite: with it inside one shot, a frame's result does not depend on where the stream
began.
"""

from __future__ import annotations

import copy
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeGuard, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.options import FilterStrength
from vsr.stages.temporal.blend import NeighbourFrames, blend_neighbours, starts_of, to_whole_pixels
from vsr.stages.temporal.confidence import (
    Confidence,
    MatchFeatures,
    match_features,
    neighbour_weights,
)
from vsr.stages.temporal.motion import CELL, LumaPyramid, chain, inside, luma_pyramid, motion
from vsr.stages.temporal.shot_cuts import differ, thumbnail
from vsr.stages.temporal.subpel import QUARTERS

T = TypeVar("T")
Strength = Literal["light", "strong"]


@dataclass(frozen=True, kw_only=True)
class FilterLevel:
    """How far a frame may lean on those beside it."""

    temporal_radius: int  # frames on either side
    confidence: Confidence
    limit: float  # that its neighbours together may change an upscaled pixel by, of 1


# Measured with benchmarks/flicker.py; docs/temporal_filter.md has the figures.
LEVELS: dict[Strength, FilterLevel] = {
    "light": FilterLevel(
        temporal_radius=2, confidence=Confidence(full=2.5, none=8.0), limit=12 / 255
    ),
    "strong": FilterLevel(
        temporal_radius=4, confidence=Confidence(full=3.0, none=9.0), limit=12 / 255
    ),
}

# Floats for each source pixel: colour and slope, by which frames are compared beside luma, and
# their motion; and what the search for that needs, of two frames at a time.
_FLOATS, _SEARCH = 10, 38


def temporal_radius_of(strength: FilterStrength) -> int:
    """Return how many frames on either side decide on a frame. "auto" has to be settled before."""
    return LEVELS[strength].temporal_radius if is_on(strength) else 0


def is_on(strength: FilterStrength) -> TypeGuard[Strength]:
    """Return whether that is a level of the filter."""
    return strength in LEVELS


@dataclass(kw_only=True)
class _WindowFrame(Generic[T]):
    """A frame in the window."""

    token: T
    number: int  # its own
    size: tuple[int, ...]  # (h, w, H, W) as they came
    features: MatchFeatures
    thumbnail: Tensor
    upscaled: Tensor  # (1, C, H, W), to whole blocks
    steps: dict[int, Tensor] = field(default_factory=dict)  # motion, to the frame before and after
    same_shot: dict[int, Tensor] = field(default_factory=dict)  # whether those numbers are of it

    @property
    def bytes(self) -> int:
        tensors = (self.upscaled, self.thumbnail, *self.steps.values())
        return self.features.bytes + sum(x.numel() * x.element_size() for x in tensors)


class TemporalFilter(Generic[T]):
    """A stream of upscaled frames, each given back `temporal_radius` frames later."""

    def __init__(self, strength: Strength) -> None:
        self._level = LEVELS[strength]
        self.temporal_radius = self._level.temporal_radius
        self._window: deque[_WindowFrame[T]] = deque()  # of one shot or part
        self._pyramid: LumaPyramid | None = None  # of the last frame in it
        # Never given twice, not even after going back: frames remember each other by them.
        self._numbers = itertools.count()
        self._next = 0  # place in the window of the frame that is finished next

    def push(
        self, source: Tensor, upscaled: Tensor, token: T, *, first: bool = False
    ) -> list[tuple[T, Tensor]]:
        """Take (1, 3, h, w) RGB, and that upscaled, (1, C, H, W), both float and about 0..1.

        Returns what is finished, in order, with what was handed in beside it. `first`: nothing
        before this frame has to do with it. Results are new tensors; `upscaled` is kept, unchanged,
        until its neighbours are finished.
        """
        pyramid = luma_pyramid(source)
        frame = _window_frame(source, pyramid, upscaled, token, next(self._numbers))
        other_size = bool(self._window) and self._window[-1].size != frame.size
        done = self.flush() if first or other_size else []
        if self._window and self._pyramid is not None:
            step = motion(self._pyramid, pyramid)
            self._window[-1].steps[1], frame.steps[-1] = step, motion(pyramid, self._pyramid, -step)
        self._window.append(frame)
        self._pyramid = pyramid
        if len(self._window) - self._next > self.temporal_radius:
            done.append(self._finish())
        return done

    @property
    def held_bytes(self) -> int:
        """Bytes of the window now."""
        return sum(frame.bytes for frame in self._window)

    def bytes_for(self, width: int, height: int, scale: float, channels: int = 3) -> int:
        """Return memory for sources of that size, at most: the window, and what a frame is made
        with.
        """
        pixels, upscaled = _sizes(width, height, scale)
        window = (2 * self.temporal_radius + 1) * self.bytes_each(width, height, scale, channels)
        # A padded copy and the result; what weighs the neighbours and where their lines begin,
        # enlarged across; the search's pictures and candidates.
        blending = round(2 * self.temporal_radius * pixels * (1.5 * scale + 8))
        return window + 4 * (2 * channels * upscaled + blending + (2 * _SEARCH + 80) * pixels)

    def bytes_each(self, width: int, height: int, scale: float, channels: int = 3) -> int:
        """Return memory for a frame in the window."""
        pixels, upscaled = _sizes(width, height, scale)
        parts = _parts(scale, scale)
        return 4 * ((_FLOATS + parts**2) * pixels + channels * upscaled)

    def flush(self) -> list[tuple[T, Tensor]]:
        """Return what is left; the next frame begins anew."""
        done = []
        while self._next < len(self._window):
            done.append(self._finish())
        self._window.clear()
        self._pyramid = None
        self._next = 0
        return done

    def saved(self) -> TemporalFilter[T]:
        """Return the filter's state as it is now, to go back to."""
        other = copy.copy(self)
        other._window = self._window.copy()
        return other

    def _finish(self) -> tuple[T, Tensor]:
        current = self._window[self._next]
        neighbours = [*self._moves(-1), *self._moves(1)]
        upscaled = _filtered(current, neighbours, self._level)
        self._next += 1
        if self._next > self.temporal_radius:
            self._window.popleft()
            self._next -= 1
        return current.token, upscaled

    def _moves(self, way: int) -> Iterator[tuple[_WindowFrame[T], Tensor]]:
        """Yield the frames on one side, nearest first, and where what is here is in them."""
        last = self._window[self._next]
        move: Tensor | None = None
        for n in range(self._next + way, self._next + way * (self.temporal_radius + 1), way):
            if not 0 <= n < len(self._window):
                return
            other, step = self._window[n], last.steps[way]
            move = step if move is None else inside(chain(move, step))
            yield other, move
            last = other


def _sizes(width: int, height: int, scale: float) -> tuple[int, int]:
    """Return pixels of the source, to whole cells, and of the upscaled frame."""
    pixels = (-(-width // CELL) * CELL) * (-(-height // CELL) * CELL)
    return pixels, round(pixels * scale**2)


def _window_frame(
    source: Tensor, pyramid: LumaPyramid, upscaled: Tensor, token: T, number: int
) -> _WindowFrame[T]:
    size = (*source.shape[2:], *upscaled.shape[2:])
    return _WindowFrame(
        token=token,
        number=number,
        size=size,
        features=match_features(
            _padded(source, CELL, CELL), pyramid, _parts(size[3] / size[1], size[2] / size[0])
        ),
        thumbnail=thumbnail(pyramid.luma),
        upscaled=_padded(upscaled, *_block(size)),
    )


def _parts(across: float, down: float) -> int:
    """Return in how many steps a source pixel is moved: upscaled pixels, or quarters of it."""
    fits = across == down and across in range(1, QUARTERS)
    return round(across) if fits else QUARTERS


def _block(size: tuple[int, ...]) -> tuple[int, int]:
    """Return (down, across): what a cell of the source becomes, in whole upscaled pixels."""
    height, width, tall, wide = size
    return max(round(CELL * tall / height), 1), max(round(CELL * wide / width), 1)


def _padded(picture: Tensor, down: int, across: int) -> Tensor:
    """Repeat the edge until blocks of that size fill the picture."""
    right, bottom = -picture.shape[3] % across, -picture.shape[2] % down
    if right or bottom:
        picture = F.pad(picture, (0, right, 0, bottom), mode="replicate")
    return picture.contiguous()


def _in_same_shot(current: _WindowFrame[T], other: _WindowFrame[T]) -> Tensor:
    """Return () bool: whether both are of one shot, and lit alike. Either asks, the other knows."""
    if other.number not in current.same_shot:
        same_shot = ~differ(current.thumbnail, other.thumbnail)
        current.same_shot[other.number] = other.same_shot[current.number] = same_shot
    return current.same_shot[other.number]


def _filtered(
    current: _WindowFrame[T], neighbours: list[tuple[_WindowFrame[T], Tensor]], level: FilterLevel
) -> Tensor:
    height, width, tall, wide = current.size
    if not neighbours:
        return current.upscaled[:, :, :tall, :wide].clone()
    scale = (wide / width, tall / height)
    others = [other for other, _ in neighbours]
    moves = to_whole_pixels(torch.cat([move for _, move in neighbours]), scale)
    same_shot = torch.stack([_in_same_shot(current, other) for other in others])
    confidences = neighbour_weights(
        current.features, [other.features for other in others], moves, same_shot, level.confidence
    )
    blocks = (current.upscaled.shape[2], current.upscaled.shape[3])
    frames = NeighbourFrames(
        upscaled=[other.upscaled for other in others],
        starts=starts_of(moves, scale, _block(current.size), blocks),
        weights=confidences[:, :height, :width],
    )
    return blend_neighbours(current.upscaled, frames, (tall, wide), level.limit)
