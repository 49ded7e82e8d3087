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
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeGuard, TypeVar

from torch import Tensor
from torch.nn import functional as F

from vsr.options import Stabilise
from vsr.stages.blend import Belief, Neighbour, blended, slope, starts_of, weights, whole_steps
from vsr.stages.cuts import differ, thumbnail
from vsr.stages.motion import CELL, Sight, chained, inside, motion, sight, warped

T = TypeVar("T")
Strength = Literal["light", "strong"]


@dataclass(frozen=True, kw_only=True)
class Level:
    """How far a frame may lean on those beside it."""

    radius: int  # frames on either side
    belief: Belief


# Measured with benchmarks/flicker.py; docs/stabilise.md has the figures.
LEVELS: dict[Strength, Level] = {
    "light": Level(radius=1, belief=Belief(full=2.5, none=8.0, most=24 / 255)),
    "strong": Level(radius=3, belief=Belief(full=3.0, none=9.0, most=24 / 255)),
}

_FLOATS = 28  # that are kept for each source pixel: RGB, luma, slope, windows for the search


def radius_of(stabilise: Stabilise) -> int:
    """How many frames on either side decide on a frame. "auto" has to be settled before."""
    return LEVELS[stabilise].radius if is_on(stabilise) else 0


def is_on(stabilise: Stabilise) -> TypeGuard[Strength]:
    """Whether that is a level of the filter."""
    return stabilise in LEVELS


@dataclass(kw_only=True)
class _Shown(Generic[T]):
    """A frame in the window."""

    token: T
    source: Tensor  # (1, 3, h, w), to whole cells
    size: tuple[int, ...]  # (h, w, H, W) as they came
    sight: Sight
    slope: Tensor
    thumbnail: Tensor
    drawn: Tensor  # (1, C, H, W), to whole blocks
    steps: dict[int, Tensor] = field(default_factory=dict)  # motion, to the frame before and after

    @property
    def bytes(self) -> int:
        seen = self.sight
        tensors = (self.source, self.slope, self.drawn, self.thumbnail, *self.steps.values(),
                   seen.luma, seen.eighth, seen.quarter, seen.half, seen.full)  # fmt: skip
        return sum(x.numel() * x.element_size() for x in tensors)


class Stabiliser(Generic[T]):
    """A stream of drawn frames, each given back `radius` frames later."""

    def __init__(self, strength: Strength) -> None:
        self._level = LEVELS[strength]
        self.radius = self._level.radius
        self._window: deque[_Shown[T]] = deque()  # of one shot or part
        self._next = 0  # place in the window of the frame that is finished next

    def push(
        self, source: Tensor, drawn: Tensor, token: T, *, first: bool = False
    ) -> list[tuple[T, Tensor]]:
        """(1, 3, h, w) RGB and what was drawn from it, (1, C, H, W), both float and about 0..1.

        Gives back what is finished, in order, with what was handed in beside it. `first`: nothing
        before this frame has to do with it. Results are new tensors; `drawn` is kept, unchanged,
        until its neighbours are finished.
        """
        shown = _shown(source, drawn, token)
        other = bool(self._window) and self._window[-1].size != shown.size
        done = self.flush() if first or other else []
        if self._window:
            last = self._window[-1]
            last.steps[1] = motion(last.sight, shown.sight)
            shown.steps[-1] = motion(shown.sight, last.sight, -last.steps[1])
        self._window.append(shown)
        if len(self._window) - self._next > self.radius:
            done.append(self._finish())
        return done

    @property
    def held(self) -> int:
        """Bytes of the window now."""
        return sum(shown.bytes for shown in self._window)

    def bytes_for(self, width: int, height: int, scale: float, channels: int = 3) -> int:
        """Memory for sources of that size, at most: the window, and what a frame is made with."""
        pixels, drawn = width * height, round(width * height * scale**2)
        window = (2 * self.radius + 1) * (_FLOATS * pixels + channels * drawn)
        # A padded copy and the result; the weights, enlarged across; the search's candidates.
        work = 2 * channels * drawn + round(2 * self.radius * pixels * (scale + 12)) + 80 * pixels
        return 4 * (window + work)

    def flush(self) -> list[tuple[T, Tensor]]:
        """What is left; the next frame begins anew."""
        done = []
        while self._next < len(self._window):
            done.append(self._finish())
        self._window.clear()
        self._next = 0
        return done

    def saved(self) -> Stabiliser[T]:
        """As it is now, to go back to."""
        other = copy.copy(self)
        other._window = self._window.copy()
        return other

    def _finish(self) -> tuple[T, Tensor]:
        here = self._window[self._next]
        beside = [*self._moves(-1), *self._moves(1)]
        drawn = _stabilised(here, beside, self._level.belief)
        self._next += 1
        if self._next > self.radius:
            self._window.popleft()
            self._next -= 1
        return here.token, drawn

    def _moves(self, way: int) -> Iterator[tuple[_Shown[T], Tensor]]:
        """The frames on one side, nearest first, and where what is here is in them."""
        last = self._window[self._next]
        move: Tensor | None = None
        for n in range(self._next + way, self._next + way * (self.radius + 1), way):
            if not 0 <= n < len(self._window):
                return
            there, step = self._window[n], last.steps[way]
            move = step if move is None else inside(chained(move, step))
            yield there, move
            last = there


def _shown(source: Tensor, drawn: Tensor, token: T) -> _Shown[T]:
    seen, size = sight(source), (*source.shape[2:], *drawn.shape[2:])
    return _Shown(
        token=token,
        source=_filled(source.float(), CELL, CELL),
        size=size,
        sight=seen,
        slope=slope(seen.luma),
        thumbnail=thumbnail(seen.luma),
        drawn=_filled(drawn, *_block(size)),
    )


def _block(size: tuple[int, ...]) -> tuple[int, int]:
    """(down, across): what a cell of the source is in the drawn picture, in whole pixels."""
    height, width, tall, wide = size
    return max(round(CELL * tall / height), 1), max(round(CELL * wide / width), 1)


def _filled(picture: Tensor, down: int, across: int) -> Tensor:
    """With its edge repeated until blocks of that size fill it."""
    right, bottom = -picture.shape[3] % across, -picture.shape[2] % down
    if right or bottom:
        picture = F.pad(picture, (0, right, 0, bottom), mode="replicate")
    return picture.contiguous()


def _stabilised(here: _Shown[T], beside: list[tuple[_Shown[T], Tensor]], belief: Belief) -> Tensor:
    height, width, tall, wide = here.size
    if not beside:
        return here.drawn[:, :, :tall, :wide].clone()
    scale = (wide / width, tall / height)
    down, across = _block(here.size)
    moves = [whole_steps(move, scale) for _, move in beside]
    # Bicubic would see a little more, and take a sixth of the filter's time (measured).
    brought = [
        warped(there.source, move, "bilinear")
        for (there, _), move in zip(beside, moves, strict=True)
    ]
    same = [~differ(here.thumbnail, there.thumbnail) for there, _ in beside]
    believed = weights(here.source, brought, same, here.slope, belief)
    neighbours = [
        Neighbour(
            drawn=there.drawn,
            starts=starts_of(move, scale, (down, across), here.drawn),
            weight=weight[:, :, :height, :width],
        )
        for (there, _), move, weight in zip(beside, moves, believed, strict=True)
    ]
    return blended(here.drawn, neighbours, (tall, wide), belief.most)
