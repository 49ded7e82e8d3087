"""The device stage: frames in, enlarged frames out, in batches that fit the memory.

upload | YUV -> RGB | network, whole or in tiles | resize | RGB -> YUV, round | download
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from vsr.engine.base import Engine, is_out_of_memory
from vsr.engine.device import free_memory
from vsr.engine.lanes import Lanes
from vsr.errors import OutOfMemory
from vsr.events import Note, Sink
from vsr.frame import Colour, Frame, Layout
from vsr.options import DeviceOptions
from vsr.stages.anchor import anchor
from vsr.stages.colour import alpha_from_float, alpha_to_float, from_rgb, to_rgb
from vsr.stages.resize import resize
from vsr.stages.size import Target
from vsr.stages.tiles import EDGE, infer

_SHARE = 0.7  # of the free memory that is planned with; the rest is for what is not foreseen
_SMALLEST_TILE = 32
_LARGEST_BATCH = 8  # measured elsewhere: beyond it nothing is gained
_OVERLAP_CAP = 96  # deep RRDBNets: what lies beyond changes nothing by more than 1/255 (measured)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What the output's frames look like."""

    target: Target
    layout: Layout
    colour: Colour
    kernel: str  # for the step from the network's size to the target's
    anchored: bool = True  # keep the source's colours


@dataclass
class _Flight:
    """A batch whose results are on their way."""

    frames: list[Frame]
    planes: tuple[Tensor, ...]  # each (N, h, w), on the host once `done` has happened
    done: torch.cuda.Event | None


class Upscaler:
    """Runs batches of frames through an engine; halves the batch, then the tile, out of memory."""

    def __init__(
        self, engine: Engine, picture: Picture, options: DeviceOptions, *, sink: Sink
    ) -> None:
        self._engine = engine
        self._picture = picture
        self._options = options
        self._sink = sink
        self._lanes = Lanes(engine.device)
        self._overlap = (
            options.overlap if options.overlap is not None else min(engine.radius, _OVERLAP_CAP)
        )
        self._batch = options.batch or 1
        self._tile = options.tile or 0  # 0: whole frames
        self._planned: tuple[int, int] | None = None

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Enlarge `frames`, in order. Raises OutOfMemory when nothing smaller is left to try."""
        flights: deque[_Flight] = deque()
        with torch.inference_mode():
            for batch in self._batches(frames):
                for flight in self._launch(batch):
                    flights.append(flight)
                    if len(flights) > self._lanes.depth:
                        yield from self._land(flights.popleft())
            while flights:
                yield from self._land(flights.popleft())

    def _batches(self, frames: Iterable[Frame]) -> Iterator[list[Frame]]:
        def shape(frame: Frame) -> tuple[int, int, Layout, Colour]:
            return (frame.width, frame.height, frame.layout, frame.colour)

        for (width, height, _, _), alike in groupby(frames, key=shape):
            self._plan(width, height)
            batch: list[Frame] = []
            for frame in alike:
                batch.append(frame)
                if len(batch) >= self._batch:
                    yield batch
                    batch = []
            if batch:
                yield batch

    def _plan(self, width: int, height: int) -> None:
        """Choose tile and batch for frames of that size, from what memory is free."""
        if self._planned == (width, height):
            return
        self._planned = (width, height)
        spare = int(free_memory(self._engine.device) * _SHARE)
        pixels = (width + 2 * EDGE) * (height + 2 * EDGE)
        if self._options.tile is None:
            self._tile = 0
            if self._engine.radius and self._engine.bytes_for(pixels) > spare:
                self._tile = max(width, height)
                while self._tile > _SMALLEST_TILE and self._tile_bytes() > spare:
                    self._tile = -(-self._tile // 2)
                self._sink(Note(text=f"memory: frames are cut into tiles of {self._tile} pixels"))
        if self._options.batch is None:
            # On a CPU a frame keeps all cores busy by itself.
            on_gpu = self._engine.device.type == "cuda" and self._tile == 0
            fits = spare // max(self._engine.bytes_for(pixels), 1)
            self._batch = max(1, min(_LARGEST_BATCH, fits)) if on_gpu else 1

    def _tile_bytes(self) -> int:
        return self._engine.bytes_for((self._tile + 2 * self._overlap) ** 2)

    def _launch(self, batch: list[Frame]) -> Iterator[_Flight]:
        """Queue a batch on the device, in as many pieces as memory asks for."""
        while batch:
            piece = batch[: self._batch]
            try:
                flight = self._compute(piece)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                shortage = error
            else:
                batch = batch[len(piece) :]
                yield flight
                continue
            self._shrink(len(piece), batch[0], shortage)

    def _shrink(self, tried: int, frame: Frame, shortage: BaseException) -> None:
        if self._engine.device.type == "cuda":
            torch.cuda.empty_cache()
        if tried > 1:
            self._batch = tried // 2
            self._sink(Note(text="out of memory: going on with smaller batches"))
            return
        tile = (self._tile or max(frame.width, frame.height)) // 2
        if self._engine.radius == 0 or tile < _SMALLEST_TILE:
            raise OutOfMemory(
                f"out of memory on {self._engine.device}, even with "
                f"{f'tiles of {self._tile} pixels' if self._tile else 'single frames'}; "
                f"ask for a smaller result or use another device"
            ) from shortage
        self._tile = tile
        self._sink(Note(text="out of memory: going on with smaller tiles"))

    def _compute(self, frames: list[Frame]) -> _Flight:
        picture, engine = self._picture, self._engine
        first = frames[0]
        planes = tuple(
            self._lanes.upload([frame.planes[i] for frame in frames])
            for i in range(len(first.planes))
        )
        with self._lanes.computing():
            rgb = to_rgb(planes, first.layout, first.colour)
            enlarged = infer(
                engine, rgb.to(engine.dtype), tile=self._tile, overlap=self._overlap
            ).float()
            if picture.anchored and engine.radius:
                enlarged = anchor(enlarged, rgb)
            target = picture.target
            scale = self._step(enlarged, first)
            sized = resize(
                enlarged,
                width=target.width,
                height=target.height,
                scale=scale,
                kernel=picture.kernel,
            )
            out = from_rgb(sized, picture.layout, picture.colour)
            if picture.layout.alpha:
                out = (*out, self._alpha(planes, first))
        here, done = self._lanes.download(out)
        return _Flight(frames, here, done)

    def _step(self, enlarged: Tensor, source: Frame) -> tuple[float, float]:
        """Output pixels per enlarged pixel. A frame of another size is made to fill the picture."""
        target = self._picture.target
        exact_x, exact_y = target.scale * source.width, target.scale * source.height
        if 0 <= target.width - exact_x < 4 and 0 <= target.height - exact_y < 4:
            return float(exact_x / enlarged.shape[3]), float(exact_y / enlarged.shape[2])
        return target.width / enlarged.shape[3], target.height / enlarged.shape[2]

    def _alpha(self, planes: tuple[Tensor, ...], source: Frame) -> Tensor:
        target = self._picture.target
        alpha = alpha_to_float(planes[-1], source.layout.bits)
        sized = resize(
            alpha,
            width=target.width,
            height=target.height,
            scale=self._step(alpha, source),
            kernel=self._picture.kernel,
        )
        return alpha_from_float(sized, self._picture.layout)

    def _land(self, flight: _Flight) -> Iterator[Frame]:
        if flight.done is not None:
            flight.done.synchronize()
        for n, frame in enumerate(flight.frames):
            planes = tuple(plane[n] for plane in flight.planes)
            yield frame.with_planes(planes, self._picture.layout, self._picture.colour)
