"""Frames in, upscaled frames out, in batches that fit the memory of the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import torch

from vsr.engine.base import Engine, fault_of, is_out_of_memory
from vsr.engine.kernel_launch import HasKernels
from vsr.errors import BrokenWeights, DeviceLost, OutOfMemory
from vsr.events import Note, Sink
from vsr.frame import Colour, Frame, Layout
from vsr.options import UpscaleOptions
from vsr.stages.device.batch import BatchInFlight, BatchUpscaler, Fp16Overflow
from vsr.stages.device.memory_plan import SMALLEST_TILE, BatchPlan, Beside, MemoryPlanner
from vsr.stages.device.stage import DeviceStage, OutputImage


class Upscaler:
    """Runs batches of frames through an engine; halves the batch, then the tile, out of memory."""

    def __init__(
        self,
        engine: Engine,
        image: OutputImage,
        options: UpscaleOptions,
        *,
        starts: Sequence[int] = (),
        sink: Sink,
    ) -> None:
        """Begin anew at each pts of `starts`: nothing upscaled before it is used from there on."""
        self._engine, self._image, self._sink = engine, image, sink
        stage = DeviceStage(engine, image, options, sink=sink)
        self._batches = BatchUpscaler(stage, starts=starts, sink=sink)
        self._memory = MemoryPlanner(
            engine,
            image.target,
            options.device,
            overlap=stage.overlap,
            beside=Beside(
                reuses=self._batches.reuses,
                grain=options.temporal.grain > 0,
                corrections=(stage.consistency is not None) + 2 * stage.weakens,
            ),
            temporal_filter=self._batches.filter,
            sink=sink,
        )
        self._plans: dict[tuple[int, int], BatchPlan] = {}  # by (width, height) of the frames

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Enlarge `frames`, in order. Raises OutOfMemory when nothing smaller is left to try.

        Raises DeviceLost where the GPU has failed: then the process has to end.
        """
        try:
            yield from self._upscaled(frames)
        except Exception as error:
            if (words := fault_of(error)) is None:
                raise
            raise self._lost(words) from error

    def _lost(self, words: str) -> DeviceLost:
        engine, device = self._engine, self._engine.device
        ours = isinstance(engine, HasKernels) and engine.refuse(f"have failed at work ({words})")
        if not ours:
            return DeviceLost(f"{device} has failed ({words}); start the command again")
        return DeviceLost(
            f"{device} has failed in our kernels ({words}); <device.engine> torch does without them"
        )

    def _upscaled(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        flights: deque[BatchInFlight] = deque()
        if not self._batches.wants_context:
            frames = (frame for frame in frames if not frame.context)
        for batch in self._batched(frames):
            for flight in self._launch(batch):
                flights.append(flight)
                if len(flights) > self._batches.depth:
                    yield from self._land(flights.popleft())
        if (last := self._flush()) is not None:
            flights.append(last)
        while flights:
            yield from self._land(flights.popleft())
        if (saved := self._batches.saved) is not None:
            self._sink(Note(text=f"reuse: {saved:.0%} of the network's work was not needed"))

    def bytes_for(self, width: int, height: int) -> int:
        """Working memory, in bytes, for one whole frame of that size; an estimate."""
        return self._memory.bytes_for(width, height)

    def _batched(self, frames: Iterable[Frame]) -> Iterator[list[Frame]]:
        def kind(frame: Frame) -> tuple[int, int, Layout, Colour]:
            return (frame.width, frame.height, frame.layout, frame.colour)

        for (width, height, _, _), alike in groupby(frames, key=kind):
            plan = self._plan(width, height)
            batch: list[Frame] = []
            for frame in alike:
                batch.append(frame)
                if len(batch) >= plan.batch:
                    yield batch
                    batch = []
            if batch:
                yield batch

    def _plan(self, width: int, height: int) -> BatchPlan:
        """Return what memory allows for frames of that size, less what running out has taught."""
        if (width, height) not in self._plans:
            if self._plans:
                target = self._image.target
                text = f"the picture changes to {width}x{height}; it is made to fill "
                self._sink(Note(text=f"{text}{target.width}x{target.height}, too"))
            self._plans[width, height] = self._memory.plan(width, height)
        return self._plans[width, height]

    def _launch(self, batch: list[Frame]) -> Iterator[BatchInFlight]:
        """Queue a batch on the device, in as many parts as memory asks for."""
        plan = self._plan(batch[0].width, batch[0].height)
        while batch:
            part = batch[: plan.batch]
            try:
                flight = self._batches.compute(part, plan.tile)
            except Fp16Overflow:
                self._fall_back_to_fp32()
                continue
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                # Without its traceback, which would keep all that was allocated alive.
                shortage: BaseException = error.with_traceback(None)
            else:
                batch = batch[len(part) :]
                if flight.frames:
                    yield flight
                continue
            self._shrink(plan, len(part), batch[0], shortage)

    def _shrink(self, plan: BatchPlan, tried: int, frame: Frame, shortage: BaseException) -> None:
        """Halve what is tried next. Raises OutOfMemory where there is nothing left to halve."""
        if self._engine.device.type == "cuda":
            torch.cuda.empty_cache()
        if tried > 1:
            plan.batch = tried // 2
            self._sink(Note(text="out of memory: going on with smaller batches"))
            return
        tile = (plan.tile or max(frame.width, frame.height)) // 2
        if self._engine.receptive_radius == 0 or tile < SMALLEST_TILE:
            raise OutOfMemory(
                f"out of memory on {self._engine.device}, even with "
                f"{f'tiles of {plan.tile} pixels' if plan.tile else 'single frames'}; "
                f"ask for a smaller result or use another device"
            ) from shortage
        plan.tile = tile
        self._sink(Note(text="out of memory: going on with smaller tiles"))

    def _flush(self) -> BatchInFlight | None:
        try:
            return self._batches.flush()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"out of memory on {self._engine.device}, in the temporal filter"
            ) from error

    def _land(self, flight: BatchInFlight) -> Iterator[Frame]:
        """Wait for a batch; where it is not numbers, do it again in fp32."""
        if not flight.wait():
            if self._batches.filter is not None:  # each frame was looked at before it
                raise BrokenWeights("the filtered picture is not a number")
            self._fall_back_to_fp32()
            for again in self._launch(flight.frames):
                if not again.wait():
                    raise BrokenWeights("the network's results are not numbers, even in fp32")
                yield from self._frames(again)
            return
        yield from self._frames(flight)

    def _fall_back_to_fp32(self) -> None:
        if not self._engine.fall_back_to_fp32() and self._batches.filter is not None:
            raise BrokenWeights("the network's results are not numbers, even in fp32")
        # Or a batch before this one had it done.
        self._batches.forget()
        self._sink(Note(text="16 bits overflow in this network: going on in fp32"))

    def _frames(self, flight: BatchInFlight) -> Iterator[Frame]:
        for n, frame in enumerate(flight.frames):
            planes = tuple(plane[n] for plane in flight.planes)
            yield frame.with_planes(planes, self._image.layout, self._image.colour)
