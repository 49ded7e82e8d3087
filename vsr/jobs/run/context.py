"""A planned film and what is needed to make it: what its frames are read as and written in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from vsr.engine.base import Engine
from vsr.events import Note, Sink, WarningNote, silent
from vsr.frame import Colour, Frame
from vsr.jobs.plan.plan import Plan, begun, prepared, spans
from vsr.jobs.plan.segments import Segment
from vsr.jobs.store.job_store import JobStore, folder_of
from vsr.jobs.store.object_store import ObjectOutput
from vsr.media.format.captions import missed
from vsr.media.format.colour_tags import for_output, guessed
from vsr.media.format.decoder import loses_nothing
from vsr.media.format.encoders import EncoderPlan
from vsr.media.format.still_image import is_lossless
from vsr.media.read.interlace import Filters, ScanMode, undo
from vsr.media.read.keyframes import Keyframes, keyframes
from vsr.media.read.reader import read_frames
from vsr.media.source.kinds.base import Source
from vsr.media.source.probe import probe
from vsr.media.source.spans import WHOLE, SecondsSpan, Span
from vsr.media.source.timestamp_repair import clocks_of, repaired
from vsr.media.write.live_audio import LiveAudio
from vsr.media.write.writer import VideoFormat, write_frames
from vsr.nets.store import LoadedModel
from vsr.options import UpscaleOptions
from vsr.stages.device.stage import OutputImage


def never() -> bool:
    """Return False: nobody asks to stop."""
    return False


def ignore(*_: object) -> None:
    """Ignore what nobody wants to know."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What those who ask for a run hear of it, and have a say in, while it goes on."""

    sink: Sink
    stop: Callable[[], bool] = never  # whether to end at the next segment
    # Finishes segments in a store; the number is that of the frames in others, for the progress.
    # None: this process does, one after the other.
    runner: Runner | None = None
    # Where the result goes as an object; its file, and what is finished of it, are copies then.
    remote: ObjectOutput | None = None
    # Told the result's name before any work; it may raise UsageError.
    claim: Callable[[Path], None] = ignore
    # Told of the complete file and its frames before that gets its name; of many, of the last
    # when all have it.
    ready: Callable[[Plan, Path, int], None] = ignore


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """A plan, and what is needed to carry it out."""

    plan: Plan
    model: LoadedModel
    engine: Engine
    options: UpscaleOptions
    path: Path  # of the source, as it was named
    hooks: Hooks
    address: str | None = None  # of the object that `path` is a copy of

    @property
    def sink(self) -> Sink:
        """Where progress and notes go."""
        return self.hooks.sink

    @cached_property
    def keyframes(self) -> Keyframes:
        """Where the source can be cut; all of it is read for that, once. Raises InputError."""
        return keyframes(self.plan.source)

    def store(self) -> JobStore:
        """Return the job's store, not yet opened."""
        if self.hooks.remote is not None:
            return self.hooks.remote.store()
        return JobStore(folder_of(self.plan.output.path))

    def on(self, source: Source) -> RunContext:
        """Return the same work on another copy of its source."""
        source = prepared(source, self.plan.scan, self.plan.source.video.hidden)
        wanted = spans(source, self.options)
        plan = dataclasses.replace(self.plan, source=begun(source, wanted), spans=wanted)
        return dataclasses.replace(self, plan=plan)

    def repaired(self, folder: Path) -> RunContext:
        """Return the same work, on a copy in `folder` where the source's clock jumps."""
        source = self.plan.source
        clocks = clocks_of(source)
        jumps, name = len(clocks.eras) - 1, source.path.name
        if clocks.late:
            text = f"{clocks.late} of its streams begin{'s' * (clocks.late == 1)} on the way"
            self.sink(WarningNote(text=f"{name}: {text}: left out"))
        if not clocks.repairs:
            return self
        if jumps > 0:
            places = f"{jumps} places" if jumps > 1 else "1 place"
            text = f"its clock jumps in {places}; mended in a copy of it"
            self.sink(WarningNote(text=f"{name}: {text}"))
        if source.format == "mpegts" and len(clocks.stretches) > 1:
            self.sink(Note(text=f"{name}: goes on as other streams; these are one in a copy of it"))
        path, index = repaired(source, clocks, folder, sink=self.sink)
        return self.on(probe(path, self.options.colour, index))

    def segment_encoder(self) -> EncoderPlan:
        """Return the encoder of segments: the result's own, if those can be joined."""
        return self.plan.output.segment_encoder(self.plan.encoder)

    def picture(self) -> OutputImage:
        """Return what the result's frames look like."""
        return OutputImage(
            target=self.plan.target,
            layout=self.plan.encoder.layout,
            colour=self._colour(),
            kernel=self.model.kernel,
            clean_source=is_clean(self.plan.source),
        )

    def sample_aspect_ratio(self) -> Fraction | None:
        """Return the shape of the result's pixels; None where the source does not say it."""
        if self.options.size.square:
            return Fraction(1)
        return self.plan.source.video.sample_aspect_ratio

    def decoded(self) -> Iterator[Frame]:
        """Return the frames that would be worked on, for those who only measure."""
        source, filters = self.progressive()
        spans, colour = self.counted(self.plan.spans or (WHOLE,)), self.options.colour
        return read_frames(source, colour, filters=filters, spans=spans, sink=silent)

    def encode(
        self,
        frames: Iterator[Frame],
        target: Path | BinaryIO,
        encoder: EncoderPlan,
        muxer_options: Mapping[str, str],
        *,
        muxer: str | None = None,
        sound: LiveAudio | None = None,
    ) -> Generator[Frame, None, None]:
        """Write `frames`, made larger before, with the `encoder`; as `write_frames`."""
        video = self.progressive()[0].video
        if not encoder.encoder.captions:
            frames = missed(frames, self.plan.codec, self.plan.source.path.name, self.sink)
        return write_frames(
            frames,
            target,
            encoder,
            VideoFormat(
                width=self.plan.target.width,
                height=self.plan.target.height,
                colour=self._colour(),
                rate=video.rate,
                time_base=video.time_base,
                sample_aspect_ratio=self.sample_aspect_ratio(),
                display_matrix=video.display_matrix,
            ),
            muxer_options=muxer_options,
            muxer=muxer,
            sound=sound,
        )

    def progressive(self) -> tuple[Source, Filters]:
        """Return the source as the filters hand it out."""
        source, video = self.plan.source, self.plan.source.video
        filters = undo(self.plan.scan, video.rate)
        if self.plan.scan is ScanMode.TELECINED and video.rate is not None:  # four frames for five
            video = dataclasses.replace(video, rate=video.rate * Fraction(4, 5))
        video, pace = self.plan.output.paced(video, self.options.source.fps)
        return dataclasses.replace(source, video=video), filters + pace

    def counted(self, spans: Sequence[Span]) -> list[Span]:
        """Return `spans` in ticks of what `progressive` hands out: of a raw stream, frames are
        counted.
        """
        ratio = self.plan.source.video.time_base / self.progressive()[0].video.time_base
        return [span.rescaled(ratio) for span in spans]

    def pieces(self) -> list[SecondsSpan]:
        """Return the spans in seconds; none: the whole film."""
        return [span.piece(self.plan.source.video.time_base) for span in self.plan.spans]

    def muxer_options(self) -> Mapping[str, str]:
        """Return those of the result's own format."""
        return self.plan.output.muxer_options(self.plan.source, self.plan.encoder)

    def _colour(self) -> Colour:
        """Return what the result is written in."""
        plan, encoder, video = self.plan, self.plan.encoder.encoder, self.plan.source.video
        layout = plan.encoder.layout
        if encoder.untagged:
            return guessed(layout, width=plan.target.width, height=plan.target.height)
        return encoder.colour or for_output(
            video.colour,
            video.layout,
            layout,
            sitings=encoder.sitings,
            full_range=encoder.full_range,
        )


def segment_suffix(encoder: EncoderPlan) -> str:
    """Return the suffix of segments that are encoded so."""
    return f".{encoder.encoder.container}"


Runner = Callable[[RunContext, JobStore, Sequence[Segment], int], None]


def is_clean(source: Source) -> bool:
    """Return whether the picture was coded without loss, as far as its file tells."""
    if source.format == "webp":
        return is_lossless(source.path)
    return loses_nothing(source.video.codec)
