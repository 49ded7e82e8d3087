"""The device stage: frames in, enlarged frames out, in batches that fit the memory.

upload | YUV -> RGB | network, whole or in tiles | resize | RGB -> YUV, round | download
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from vsr.engine.base import Engine, is_out_of_memory
from vsr.engine.streams import DeviceStreams
from vsr.errors import BrokenWeights, OutOfMemory
from vsr.events import Note, Sink
from vsr.frame import Colour, Frame, Layout
from vsr.options import DeviceOptions, TemporalOptions
from vsr.stages.colour.alpha_bleed import bleed
from vsr.stages.colour.backend_check import ends_for
from vsr.stages.colour.convert import alpha_from_float, alpha_to_float
from vsr.stages.colour.drift_correction import DriftCorrection, anchor, take_out
from vsr.stages.device.alpha import enlarged
from vsr.stages.device.memory_plan import SMALLEST_TILE, BatchPlan, MemoryPlanner
from vsr.stages.device.reuse import Reuser, reuses
from vsr.stages.device.size import TargetSize, step
from vsr.stages.device.tiles import infer
from vsr.stages.resize import resize
from vsr.stages.temporal.grain import regrained
from vsr.stages.temporal.mctf import TemporalFilter, is_on

_OVERLAP_CAP = 96  # inner pixels; beyond it x4plus changes by 0.021/255 at most (measured)


@dataclass(frozen=True, kw_only=True)
class OutputImage:
    """What the output's frames look like."""

    target: TargetSize
    layout: Layout
    colour: Colour
    kernel: str  # for the step from the network's size to the target's
    anchored: bool = True  # keep the source's colours


@dataclass
class _BatchInFlight:
    """A batch whose results are on their way."""

    frames: list[Frame]
    planes: tuple[Tensor, ...]  # each (N, h, w), on the host once `done` has happened
    finite: Tensor  # () bool, likewise
    done: torch.cuda.Event | None


@dataclass(frozen=True)
class _FrameExtras:
    """What goes with a drawn frame through the stabiliser."""

    frame: Frame
    source: Tensor | None  # (1, 3, h, w), where its grain is wanted
    alpha: Tensor | None  # (1, h, w), as it will be written


class _Overflow(Exception):
    """16 bits were too few."""


class Upscaler:
    """Runs batches of frames through an engine; halves the batch, then the tile, out of memory."""

    def __init__(
        self,
        engine: Engine,
        picture: OutputImage,
        options: DeviceOptions,
        temporal: TemporalOptions | None = None,
        *,
        starts: Sequence[int] = (),
        sink: Sink,
    ) -> None:
        """Take `starts`: pts from which on nothing of what was drawn before may be used."""
        self._engine, self._picture, self._options = engine, picture, options
        self._sink = sink
        self._lanes = DeviceStreams(engine.device)
        self._ends = ends_for(engine, sink)
        cap = min(engine.radius, _OVERLAP_CAP * engine.multiple)
        self._overlap = options.overlap if options.overlap is not None else cap
        self._portions: dict[tuple[int, int], BatchPlan] = {}  # by (width, height) of the frames
        self._starts, self._part, self._steady_part = sorted(starts), 0, 0
        self._reuser: Reuser | None = None
        if reuses(options, engine):
            self._reuser = Reuser(engine, options.reuse, self._overlap)
        temporal = temporal or TemporalOptions()
        self._grain = temporal.grain
        self._stabiliser: TemporalFilter[_FrameExtras] | None = None
        if is_on(temporal.filter):
            self._stabiliser = TemporalFilter(temporal.filter)
        self._room = MemoryPlanner(
            engine,
            picture.target,
            options,
            overlap=self._overlap,
            keeps=self._reuser is not None,
            stabiliser=self._stabiliser,
            grain=self._grain > 0,
            sink=sink,
        )

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Enlarge `frames`, in order. Raises OutOfMemory when nothing smaller is left to try."""
        flights: deque[_BatchInFlight] = deque()
        if self._stabiliser is None or self._reuser is not None:
            frames = (frame for frame in frames if not frame.context)
        for batch in self._batches(frames):
            for flight in self._launch(batch):
                flights.append(flight)
                if len(flights) > self._lanes.depth:
                    yield from self._land(flights.popleft())
        if (last := self._rest()) is not None:
            flights.append(last)
        while flights:
            yield from self._land(flights.popleft())
        if self._reuser is not None and self._reuser.asked:
            saved = 1 - self._reuser.done / self._reuser.asked
            self._sink(Note(text=f"reuse: {saved:.0%} of the network's work was not needed"))

    def bytes_for(self, width: int, height: int) -> int:
        """Estimate the working memory, in bytes, for one whole frame of that size."""
        return self._room.bytes_for(width, height)

    def _batches(self, frames: Iterable[Frame]) -> Iterator[list[Frame]]:
        def shape(frame: Frame) -> tuple[int, int, Layout, Colour]:
            return (frame.width, frame.height, frame.layout, frame.colour)

        for (width, height, _, _), alike in groupby(frames, key=shape):
            portion = self._portion(width, height)
            batch: list[Frame] = []
            for frame in alike:
                batch.append(frame)
                if len(batch) >= portion.batch:
                    yield batch
                    batch = []
            if batch:
                yield batch

    # --- how much at once ---

    def _portion(self, width: int, height: int) -> BatchPlan:
        """Return what memory allows for frames of that size, and what running out of it has
        taught.
        """
        if (width, height) not in self._portions:
            if self._portions:
                filled = f"{self._picture.target.width}x{self._picture.target.height}"
                said = f"the picture changes to {width}x{height}; it is made to fill {filled}, too"
                self._sink(Note(text=said))
            self._portions[width, height] = self._room.portion(width, height)
        return self._portions[width, height]

    def _launch(self, batch: list[Frame]) -> Iterator[_BatchInFlight]:
        """Queue a batch on the device, in as many pieces as memory asks for."""
        portion = self._portion(batch[0].width, batch[0].height)
        while batch:
            piece = batch[: portion.batch]
            try:
                flight = self._compute(piece, portion.tile)
            except _Overflow:
                self._widen()
                continue
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                # Without its traceback, which would keep all that was allocated alive.
                shortage: BaseException = error.with_traceback(None)
            else:
                batch = batch[len(piece) :]
                if flight.frames:
                    yield flight
                continue
            self._shrink(portion, len(piece), batch[0], shortage)

    def _shrink(
        self, portion: BatchPlan, tried: int, frame: Frame, shortage: BaseException
    ) -> None:
        if self._engine.device.type == "cuda":
            torch.cuda.empty_cache()
        if tried > 1:
            portion.batch = tried // 2
            self._sink(Note(text="out of memory: going on with smaller batches"))
            return
        tile = (portion.tile or max(frame.width, frame.height)) // 2
        if self._engine.radius == 0 or tile < SMALLEST_TILE:
            raise OutOfMemory(
                f"out of memory on {self._engine.device}, even with "
                f"{f'tiles of {portion.tile} pixels' if portion.tile else 'single frames'}; "
                f"ask for a smaller result or use another device"
            ) from shortage
        portion.tile = tile
        self._sink(Note(text="out of memory: going on with smaller tiles"))

    # --- the work ---

    @torch.inference_mode()
    def _compute(self, frames: list[Frame], tile: int) -> _BatchInFlight:
        picture, engine = self._picture, self._engine
        first = frames[0]
        planes = tuple(
            self._lanes.upload([frame.planes[i] for frame in frames])
            for i in range(len(first.planes))
        )
        with self._lanes.computing():
            rgb = self._ends.to_rgb(planes, first.layout, first.colour)
            for one, frame in zip(rgb, frames, strict=True):
                if frame.gain != 1:
                    one.mul_(frame.gain)
            if first.layout.alpha:
                rgb = bleed(rgb, alpha_to_float(planes[-1], first.layout.bits))
            enlarged, shown = self._draw(rgb, frames, tile)
            drift = None
            if picture.anchored and engine.radius:
                drift = self._ends.find_drift(enlarged, shown)
            # Each of its numbers has some of every pixel around it.
            finite = torch.isfinite((enlarged if drift is None else drift.cells).sum())
            if drift is not None and not self._is_last(enlarged, first):
                enlarged, drift = take_out(enlarged, drift), None
            sized = self._sized(enlarged, first)
            alpha = self._alpha(planes, first, tile) if picture.layout.alpha else None
            if self._stabiliser is None:
                return self._deliver(frames, sized, shown, alpha, finite, drift=drift)
            if not finite:  # before it spoils the frames beside it
                raise _Overflow
            before = self._stabiliser.saved(), self._steady_part
            try:
                return self._put_together(self._steady(frames, shown, sized, alpha))
            except BaseException:
                self._stabiliser, self._steady_part = before  # the frames will come again
                raise

    def _steady(
        self, frames: list[Frame], shown: Tensor, sized: Tensor, alpha: Tensor | None
    ) -> list[tuple[_FrameExtras, Tensor]]:
        """Return what the stabiliser has finished after these frames."""
        assert self._stabiliser is not None
        finished = []
        for n, frame in enumerate(frames):
            part = slice(n, n + 1)
            kept = _FrameExtras(
                frame,
                shown[part] if self._grain else None,
                None if alpha is None else alpha[part],
            )
            first = self._begins(frame)
            finished += self._stabiliser.push(shown[part], sized[part], kept, first=first)
        return finished

    def _begins(self, frame: Frame) -> bool:
        """Return whether what came before is another clip, or a part that must not be looked
        into.
        """
        part, last = bisect_right(self._starts, frame.pts), self._steady_part
        self._steady_part = part
        return frame.fresh or (self._reuser is not None and part != last)

    @torch.inference_mode()
    def _rest(self) -> _BatchInFlight | None:
        """Return what the stabiliser has not handed out yet."""
        if self._stabiliser is None:
            return None
        try:
            with self._lanes.computing():
                return self._put_together(self._stabiliser.flush())
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(f"out of memory on {self._engine.device}, stabilising") from error

    def _put_together(self, finished: list[tuple[_FrameExtras, Tensor]]) -> _BatchInFlight:
        shown = [(kept, drawn) for kept, drawn in finished if not kept.frame.context]
        if not shown:
            return _BatchInFlight([], (), torch.tensor(True), None)
        with self._lanes.computing():
            drawn = _joined([drawn for _, drawn in shown])
            sources = [kept.source for kept, _ in shown if kept.source is not None]
            alphas = [kept.alpha for kept, _ in shown if kept.alpha is not None]
            source, alpha = (_joined(kept) if kept else None for kept in (sources, alphas))
            finite = torch.isfinite(drawn.sum())
        return self._deliver([kept.frame for kept, _ in shown], drawn, source, alpha, finite)

    def _deliver(
        self,
        frames: list[Frame],
        sized: Tensor,
        source: Tensor | None,
        alpha: Tensor | None,
        finite: Tensor,
        *,
        drift: DriftCorrection | None = None,
    ) -> _BatchInFlight:
        """Send planes to the host. `drift`: is still in `sized`, and is taken out."""
        with self._lanes.computing():
            if self._grain and source is not None:
                sized = regrained(frames, sized, source, self._grain)
            out = self._ends.from_rgb(sized, self._picture.layout, self._picture.colour, drift)
            if alpha is not None:
                out = (*out, alpha)
        (*here, finite), done = self._lanes.download((*out, finite))
        return _BatchInFlight(frames, tuple(here), finite, done)

    def _draw(self, rgb: Tensor, frames: list[Frame], tile: int) -> tuple[Tensor, Tensor]:
        """Return the pictures through the network, and the source that they show; both to be
        kept.
        """
        if self._reuser is not None and tile:
            self._sink(Note(text="reuse: not of frames that are cut into tiles"))
        if self._reuser is None or tile:
            given = rgb.to(self._engine.dtype)
            return infer(self._engine, given, tile=tile, overlap=self._overlap).float(), rgb
        pairs = []
        for n, frame in enumerate(frames):
            if (part := bisect_right(self._starts, frame.pts)) != self._part:
                self._reuser.forget()
                self._part = part
            drawn, source = self._reuser(rgb[n : n + 1])
            pairs.append((drawn.clone(), source.clone()))
        if len(pairs) == 1:  # always, on a CPU: not copied once more
            return pairs[0]
        drawn, shown = (torch.cat(tensors) for tensors in zip(*pairs, strict=True))
        return drawn, shown

    def _step(self, drawn: Tensor, source: Frame) -> tuple[float, float]:
        size = (drawn.shape[3], drawn.shape[2])
        return step(self._picture.target, (source.width, source.height), size)

    def _sized(self, drawn: Tensor, source: Frame) -> Tensor:
        target, kernel = self._picture.target, self._picture.kernel
        scale = self._step(drawn, source)
        return resize(drawn, width=target.width, height=target.height, scale=scale, kernel=kernel)

    def _is_last(self, drawn: Tensor, source: Frame) -> bool:
        """Return whether nothing comes between what was drawn and its planes."""
        if self._stabiliser is not None or self._grain:
            return False
        target = self._picture.target
        same = drawn.shape[2:] == (target.height, target.width)
        return same and self._step(drawn, source) == (1.0, 1.0)

    def _alpha(self, planes: tuple[Tensor, ...], source: Frame, tile: int) -> Tensor:
        if source.layout.alpha:
            alpha = alpha_to_float(planes[-1], source.layout.bits)
        else:
            alpha = torch.ones_like(planes[0][:, None], dtype=torch.float32)

        def draw(grey: Tensor) -> Tensor:
            given = grey.to(self._engine.dtype)
            drawn = infer(self._engine, given, tile=tile, overlap=self._overlap).float()
            return anchor(drawn, grey) if self._picture.anchored else drawn

        network = draw if self._engine.radius else None
        alpha = enlarged(alpha, network, lambda drawn: self._sized(drawn, source))
        return alpha_from_float(alpha, self._picture.layout)

    def _land(self, flight: _BatchInFlight) -> Iterator[Frame]:
        if flight.done is not None:
            flight.done.synchronize()
        if not flight.finite:
            if self._stabiliser is not None:  # each frame was looked at before it
                raise BrokenWeights("the stabilised picture is not a number")
            self._widen()
            for again in self._launch(flight.frames):
                if again.done is not None:
                    again.done.synchronize()
                if not again.finite:
                    raise BrokenWeights("the network's results are not numbers, even in fp32")
                yield from self._frames(again)
            return
        yield from self._frames(flight)

    def _widen(self) -> None:
        if not self._engine.widen() and self._stabiliser is not None:
            raise BrokenWeights("the network's results are not numbers, even in fp32")
        # Or a batch before this one had it done.
        if self._reuser is not None:
            self._reuser.forget()  # what is not a number
        self._sink(Note(text="16 bits overflow in this network: going on in fp32"))

    def _frames(self, flight: _BatchInFlight) -> Iterator[Frame]:
        for n, frame in enumerate(flight.frames):
            planes = tuple(plane[n] for plane in flight.planes)
            yield frame.with_planes(planes, self._picture.layout, self._picture.colour)


def _joined(tensors: list[Tensor]) -> Tensor:
    """Join along the first axis; one alone is not copied."""
    return torch.cat(tensors) if len(tensors) > 1 else tensors[0]
