"""Takes the flicker of invented texture out: frames that show the same are drawn alike.

A network draws each frame by itself, and noise in the source makes it invent other details each
time. Here each drawn frame is averaged with those up to `radius` frames before and after it,
moved by what moved in the source, and weighed by how well the source matches there, against the
source's own noise. What a neighbour can change is limited, and nothing passes a cut or a flash.
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
from vsr.stages.temporal.blend import NeighbourFrames, blended, starts_of, whole_steps
from vsr.stages.temporal.confidence import Confidence, MatchFeatures, look, weights
from vsr.stages.temporal.motion import CELL, LumaPyramid, chained, inside, motion, sight
from vsr.stages.temporal.shot_cuts import differ, thumbnail
from vsr.stages.temporal.subpel import QUARTERS

T = TypeVar("T")
Strength = Literal["light", "strong"]


@dataclass(frozen=True, kw_only=True)
class FilterLevel:
    """How far a frame may lean on those beside it."""

    temporal_radius: int  # frames on either side
    belief: Confidence
    most: float  # that its neighbours together may change a drawn pixel by, of 1


# Measured with benchmarks/flicker.py; docs/temporal_filter.md has the figures.
LEVELS: dict[Strength, FilterLevel] = {
    "light": FilterLevel(temporal_radius=2, belief=Confidence(full=2.5, none=8.0), most=12 / 255),
    "strong": FilterLevel(temporal_radius=4, belief=Confidence(full=3.0, none=9.0), most=12 / 255),
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
    look: MatchFeatures
    thumbnail: Tensor
    drawn: Tensor  # (1, C, H, W), to whole blocks
    steps: dict[int, Tensor] = field(default_factory=dict)  # motion, to the frame before and after
    same: dict[int, Tensor] = field(default_factory=dict)  # whether those numbers are of this shot

    @property
    def bytes(self) -> int:
        tensors = (self.drawn, self.thumbnail, *self.steps.values())
        return self.look.bytes + sum(x.numel() * x.element_size() for x in tensors)


class TemporalFilter(Generic[T]):
    """A stream of drawn frames, each given back `radius` frames later."""

    def __init__(self, strength: Strength) -> None:
        self._level = LEVELS[strength]
        self.temporal_radius = self._level.temporal_radius
        self._window: deque[_WindowFrame[T]] = deque()  # of one shot or part
        self._seen: LumaPyramid | None = None  # of the last frame in it
        # Never given twice, not even after going back: frames remember each other by them.
        self._numbers = itertools.count()
        self._next = 0  # place in the window of the frame that is finished next

    def push(
        self, source: Tensor, drawn: Tensor, token: T, *, first: bool = False
    ) -> list[tuple[T, Tensor]]:
        """Return (1, 3, h, w) RGB and what was drawn from it, (1, C, H, W), both float and about
        0..1.

        Gives back what is finished, in order, with what was handed in beside it. `first`: nothing
        before this frame has to do with it. Results are new tensors; `drawn` is kept, unchanged,
        until its neighbours are finished.
        """
        seen = sight(source)
        shown = _shown(source, seen, drawn, token, next(self._numbers))
        other = bool(self._window) and self._window[-1].size != shown.size
        done = self.flush() if first or other else []
        if self._window and self._seen is not None:
            step = motion(self._seen, seen)
            self._window[-1].steps[1], shown.steps[-1] = step, motion(seen, self._seen, -step)
        self._window.append(shown)
        self._seen = seen
        if len(self._window) - self._next > self.temporal_radius:
            done.append(self._finish())
        return done

    @property
    def held(self) -> int:
        """Bytes of the window now."""
        return sum(shown.bytes for shown in self._window)

    def bytes_for(self, width: int, height: int, scale: float, channels: int = 3) -> int:
        """Return memory for sources of that size, at most: the window, and what a frame is made
        with.
        """
        pixels, drawn = _sizes(width, height, scale)
        window = (2 * self.temporal_radius + 1) * self.bytes_each(width, height, scale, channels)
        # A padded copy and the result; what weighs the neighbours and where their lines begin,
        # enlarged across; the search's pictures and candidates.
        beside = round(2 * self.temporal_radius * pixels * (1.5 * scale + 8))
        return window + 4 * (2 * channels * drawn + beside + (2 * _SEARCH + 80) * pixels)

    def bytes_each(self, width: int, height: int, scale: float, channels: int = 3) -> int:
        """Return memory for a frame in the window."""
        pixels, drawn = _sizes(width, height, scale)
        parts = _parts(scale, scale)
        return 4 * ((_FLOATS + parts**2) * pixels + channels * drawn)

    def flush(self) -> list[tuple[T, Tensor]]:
        """Return what is left; the next frame begins anew."""
        done = []
        while self._next < len(self._window):
            done.append(self._finish())
        self._window.clear()
        self._seen = None
        self._next = 0
        return done

    def saved(self) -> TemporalFilter[T]:
        """Return the filter's state as it is now, to go back to."""
        other = copy.copy(self)
        other._window = self._window.copy()
        return other

    def _finish(self) -> tuple[T, Tensor]:
        here = self._window[self._next]
        beside = [*self._moves(-1), *self._moves(1)]
        drawn = _stabilised(here, beside, self._level)
        self._next += 1
        if self._next > self.temporal_radius:
            self._window.popleft()
            self._next -= 1
        return here.token, drawn

    def _moves(self, way: int) -> Iterator[tuple[_WindowFrame[T], Tensor]]:
        """Yield the frames on one side, nearest first, and where what is here is in them."""
        last = self._window[self._next]
        move: Tensor | None = None
        for n in range(self._next + way, self._next + way * (self.temporal_radius + 1), way):
            if not 0 <= n < len(self._window):
                return
            there, step = self._window[n], last.steps[way]
            move = step if move is None else inside(chained(move, step))
            yield there, move
            last = there


def _sizes(width: int, height: int, scale: float) -> tuple[int, int]:
    """Return pixels of the source, to whole cells, and of what is drawn from it."""
    pixels = (-(-width // CELL) * CELL) * (-(-height // CELL) * CELL)
    return pixels, round(pixels * scale**2)


def _shown(
    source: Tensor, seen: LumaPyramid, drawn: Tensor, token: T, number: int
) -> _WindowFrame[T]:
    size = (*source.shape[2:], *drawn.shape[2:])
    return _WindowFrame(
        token=token,
        number=number,
        size=size,
        look=look(_filled(source, CELL, CELL), seen, _parts(size[3] / size[1], size[2] / size[0])),
        thumbnail=thumbnail(seen.luma),
        drawn=_filled(drawn, *_block(size)),
    )


def _parts(across: float, down: float) -> int:
    """Return how many drawn pixels a source pixel is moved by; quarters where they do not fit."""
    fits = across == down and across in range(1, QUARTERS)
    return round(across) if fits else QUARTERS


def _block(size: tuple[int, ...]) -> tuple[int, int]:
    """Return (down, across): what a cell of the source is in the drawn picture, in whole pixels."""
    height, width, tall, wide = size
    return max(round(CELL * tall / height), 1), max(round(CELL * wide / width), 1)


def _filled(picture: Tensor, down: int, across: int) -> Tensor:
    """Repeat the edge until blocks of that size fill the picture."""
    right, bottom = -picture.shape[3] % across, -picture.shape[2] % down
    if right or bottom:
        picture = F.pad(picture, (0, right, 0, bottom), mode="replicate")
    return picture.contiguous()


def _same(here: _WindowFrame[T], there: _WindowFrame[T]) -> Tensor:
    """Return () bool: whether both are of one shot, and lit alike. Either asks, the other knows."""
    if there.number not in here.same:
        same = ~differ(here.thumbnail, there.thumbnail)
        here.same[there.number] = there.same[here.number] = same
    return here.same[there.number]


def _stabilised(
    here: _WindowFrame[T], beside: list[tuple[_WindowFrame[T], Tensor]], level: FilterLevel
) -> Tensor:
    height, width, tall, wide = here.size
    if not beside:
        return here.drawn[:, :, :tall, :wide].clone()
    scale = (wide / width, tall / height)
    others = [there for there, _ in beside]
    moves = whole_steps(torch.cat([move for _, move in beside]), scale)
    same = torch.stack([_same(here, there) for there in others])
    believed = weights(here.look, [there.look for there in others], moves, same, level.belief)
    blocks = (here.drawn.shape[2], here.drawn.shape[3])
    neighbours = NeighbourFrames(
        drawn=[there.drawn for there in others],
        starts=starts_of(moves, scale, _block(here.size), blocks),
        weights=believed[:, :height, :width],
    )
    return blended(here.drawn, neighbours, (tall, wide), level.most)
