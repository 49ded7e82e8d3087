"""A planned film and what is needed to make it: what its frames are read as and written in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from vsr.engine.base import Engine
from vsr.events import Note, Sink, WarningNote, silent
from vsr.frame import Colour, Frame
from vsr.jobs.plan.plan import Plan, spans
from vsr.media.format.animation import ANIMATIONS, loops_of, muxer_options
from vsr.media.format.captions import missed
from vsr.media.format.colour_tags import for_output, guessed
from vsr.media.format.containers import STDOUT
from vsr.media.format.encoders import EncoderPlan, plan_encoder
from vsr.media.format.still_image import STILLS
from vsr.media.read.interlace import Filters, ScanMode, undo
from vsr.media.read.reader import read_frames
from vsr.media.source.kinds.base import Source
from vsr.media.source.probe import probe
from vsr.media.source.spans import WHOLE, SecondsSpan, Span
from vsr.media.source.timestamp_repair import clocks_of, mended
from vsr.media.write.live_audio import LiveAudio
from vsr.media.write.writer import write_frames
from vsr.nets.store import LoadedModel
from vsr.options import EncodeOptions, UpscaleOptions
from vsr.stages.device.stage import OutputImage

_RATE = Fraction(25)  # of y4m, where the source has none


def never() -> bool:
    """Return False: nobody asks to stop."""
    return False


def unheard(job: Plan, complete: Path, frames: int) -> None:
    """Ignore what is about to get its name: nobody wants to know."""


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """A plan, and what is needed to carry it out."""

    job: Plan
    model: LoadedModel
    engine: Engine
    options: UpscaleOptions
    path: Path  # of the source, as it was named
    sink: Sink
    stop: Callable[[], bool] = never  # whether to end at the next part
    # Told of the complete result and its frames, before that gets its name; see `upscale_one`.
    ready: Callable[[Plan, Path, int], None] = unheard

    def on(self, source: Source) -> RunContext:
        """Return the same work on another copy of its source."""
        job = dataclasses.replace(self.job, source=source, spans=spans(source, self.options))
        return dataclasses.replace(self, job=job)

    def mended(self, folder: Path) -> RunContext:
        """Return the same work, on a copy in `folder` where the source's clock jumps."""
        source = self.job.source
        clocks = clocks_of(source)
        jumps, name = len(clocks.eras) - 1, source.path.name
        if jumps < 1 and not clocks.follows:
            return self
        if jumps > 0:
            places = f"{jumps} places" if jumps > 1 else "1 place"
            text = f"its clock jumps in {places}; mended in a copy of it"
            self.sink(WarningNote(text=f"{name}: {text}"))
        if clocks.follows:
            self.sink(Note(text=f"{name}: goes on as other streams; these are one in a copy of it"))
        path, index = mended(source, clocks, folder, sink=self.sink)
        return self.on(probe(path, self.options.colour, index))

    def part_encoder(self) -> EncoderPlan:
        """Return the encoder of parts: the job's own, or a lossless one where those cannot be
        joined.
        """
        job = self.job
        if job.pattern is None and job.container.muxer not in STILLS | ANIMATIONS:
            return job.encoder
        return plan_encoder(EncodeOptions(codec="ffv1"), job.encoder.layout)

    def picture(self) -> OutputImage:
        """Return what the result's frames look like."""
        return OutputImage(
            target=self.job.target,
            layout=self.job.encoder.layout,
            colour=self._colour(),
            kernel=self.model.kernel,
            corrects_drift=self.options.model.keep_colours,
        )

    def decoded(self) -> Iterator[Frame]:
        """Return the frames that would be worked on, for those who only measure."""
        source, filters = self.progressive()
        spans, colour = self.counted(self.job.spans or (WHOLE,)), self.options.colour
        return read_frames(source, colour, filters=filters, spans=spans, sink=silent)

    def encode(
        self,
        frames: Iterator[Frame],
        target: Path | BinaryIO,
        plan: EncoderPlan,
        muxer_options: Mapping[str, str],
        *,
        muxer: str | None = None,
        sound: LiveAudio | None = None,
    ) -> Generator[Frame, None, None]:
        """Write `frames`, made larger before, with the encoder `plan`; as `write_frames`."""
        video = self.progressive()[0].video
        if not plan.encoder.captions:
            frames = missed(frames, self.job.codec, self.job.source.path.name, self.sink)
        return write_frames(
            frames,
            target,
            plan,
            width=self.job.target.width,
            height=self.job.target.height,
            colour=self._colour(),
            rate=video.rate,
            time_base=video.time_base,
            sample_aspect_ratio=Fraction(1)
            if self.options.size.square
            else video.sample_aspect_ratio,
            display_matrix=video.display_matrix,
            muxer_options=muxer_options,
            muxer=muxer,
            sound=sound,
        )

    def progressive(self) -> tuple[Source, Filters]:
        """Return the source as the filters hand it out."""
        source, video = self.job.source, self.job.source.video
        filters = undo(self.job.scan, video.rate)
        if self.job.scan is ScanMode.TELECINED and video.rate is not None:  # four frames for five
            video = dataclasses.replace(video, rate=video.rate * Fraction(4, 5))
        fps = self.options.source.fps
        if self.job.pattern is not None and fps is not None:
            filters += (("fps", str(fps)),)
        if self.job.output == STDOUT and self.job.container.untimed:
            rate = video.rate or _RATE
            filters += (("fps", str(rate)),)
            video = dataclasses.replace(video, rate=rate, time_base=1 / rate)
        return dataclasses.replace(source, video=video), filters

    def counted(self, spans: Sequence[Span]) -> list[Span]:
        """Return `spans` in ticks of what `progressive` hands out: of a raw stream, frames are
        counted.
        """
        ratio = self.job.source.video.time_base / self.progressive()[0].video.time_base
        return [span.rescaled(ratio) for span in spans]

    def pieces(self) -> list[SecondsSpan]:
        """Return the spans in seconds; none: the whole film."""
        return [span.piece(self.job.source.video.time_base) for span in self.job.spans]

    def muxer_options(self) -> dict[str, str]:
        """Return those of the result's own format."""
        job, source = self.job, self.job.source
        if job.container.muxer in ANIMATIONS:
            return muxer_options(job.container.muxer, loops_of(source.path))
        if job.pattern is not None:
            return {"start_number": "1"}
        if job.container.muxer in STILLS:
            return {"update": "1"}  # one file of this very name, whatever is in it
        return self.exact(job.encoder)

    def exact(self, plan: EncoderPlan) -> dict[str, str]:
        """Return the muxer's options for an exact start, which would else be rounded to
        milliseconds.
        """
        if plan.encoder.container not in ("mp4", "mov"):
            return {}
        return {"movie_timescale": str(max(self.job.source.video.time_base.denominator, 1000))}

    def _colour(self) -> Colour:
        """Return what the result is written in."""
        job, encoder, video = self.job, self.job.encoder.encoder, self.job.source.video
        layout = job.encoder.layout
        if encoder.untagged:
            return guessed(layout, width=job.target.width, height=job.target.height)
        return encoder.colour or for_output(
            video.colour,
            video.layout,
            layout,
            sitings=encoder.sitings,
            full_range=encoder.full_range,
        )


def part_suffix(plan: EncoderPlan) -> str:
    """Return the suffix of segments that are encoded so."""
    return f".{plan.encoder.container}"
