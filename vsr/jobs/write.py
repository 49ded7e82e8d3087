"""A planned film, made: the pipeline, and what comes around its picture."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from vsr.engine.base import Engine
from vsr.errors import InputError, OutputError, Stopped
from vsr.events import Note, Sink, silent
from vsr.frame import Colour, Frame
from vsr.jobs import disk
from vsr.jobs.frames import finish, work_names
from vsr.jobs.intake import kept
from vsr.jobs.parts import Part, write_parts
from vsr.jobs.plan import Plan, spans
from vsr.jobs.segments import joined, with_context
from vsr.jobs.store import Record, Store
from vsr.media.animation import ANIMATIONS, loops_of, muxer_options, set_last_duration
from vsr.media.containers import STDOUT
from vsr.media.encoders import EncoderPlan, plan_encoder
from vsr.media.index import keyframes
from vsr.media.join import join
from vsr.media.mux import left_out, mux
from vsr.media.probe import SourceInfo, probe
from vsr.media.reader import read_frames
from vsr.media.repair import clock_jumps, mended
from vsr.media.scan import Filters, Scan, undo
from vsr.media.sound import Sound
from vsr.media.spans import WHOLE, Piece, Span
from vsr.media.still import STILLS, notes_of, put_notes
from vsr.media.tags import for_output, guessed
from vsr.media.verify import Picture as EncodedPicture
from vsr.media.writer import write_frames
from vsr.nets.store import Loaded
from vsr.options import ColourOptions, EncodeOptions, UpscaleOptions
from vsr.pipeline import Writer, Written, run
from vsr.stages.deflicker import RADIUS as DEFLICKER_RADIUS
from vsr.stages.temporal import radius_of
from vsr.stages.upscale import Picture, reuses

_RATE = Fraction(25)  # of y4m, where the source has none
_SPARE = 1 << 26  # bytes that have to be free for the work to go on
_BEHIND = 1 << 22  # bytes that are read behind a part, for the sound that belongs to it


# Sees to it that parts are finished in a store; the frames in other parts are for the progress.
Runner = Callable[["Work", Store, Sequence[Part], int], None]


def here(work: Work, store: Store, parts: Sequence[Part], done: int) -> None:
    """In this process, one after the other."""
    work.into_store(store, parts, done)


def never() -> bool:
    """Nobody asks to stop."""
    return False


@dataclass(frozen=True, kw_only=True)
class Work:
    """A plan, and what is needed to carry it out."""

    job: Plan
    model: Loaded
    engine: Engine
    options: UpscaleOptions
    path: Path  # of the source, as it was named
    sink: Sink
    stop: Callable[[], bool] = never  # whether to end at the next part

    def into_pipe(self) -> Written:
        """Write to standard output, as it comes. Raises the errors of `vsr.errors`."""
        job, source = self.job, self.job.source
        left_out(source, job.container, sink=self.sink)
        sound = None
        if job.container.audio is None and source.pictures is None:
            sound = Sound(source, self._pieces(), sink=self.sink)
        if source.pipe is not None:
            source.pipe.start(1 if sound is None else 2)

        def write(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
            return self.encode(
                frames,
                sys.stdout.buffer,
                job.encoder,
                dict(job.container.options),
                muxer=job.container.muxer,
                sound=sound,
            )

        return self._run(write, joined(job.spans or (WHOLE,)))

    def into_folder(self, folder: Path) -> tuple[Path, int]:
        """The complete result, in `folder`, and its number of frames; all in one go.

        Of a plan with a pattern, the files are there under `work_names`. Raises the errors of
        `vsr.errors`.
        """
        job = self.job
        encoded = self._target(folder)

        def write(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
            return self.encode(frames, encoded, job.encoder, self._muxer_options())

        with ExitStack() as stack:
            source = kept(job.source, folder, stack)
            written = self._run(write, joined(job.spans or (WHOLE,)))
            if (pipe := job.source.pipe) is not None:
                pipe.drain(_BEHIND if job.spans else None)
                pipe.stop()
        return self._complete(encoded, written, source, folder), written.frames

    def into_store(self, store: Store, parts: Sequence[Part], done: int) -> None:
        """Encode `parts`, each of which is then finished in `store`.

        `done`: frames that are in other parts already. Raises the errors of `vsr.errors`, and
        Stopped where the work is to be, or has to be, gone on with later.
        """
        plan = self.part_encoder()

        def encode(frames: Iterator[Frame], path: Path) -> Generator[Frame, None, None]:
            return self.encode(frames, path, plan, self._exact(plan))

        def write(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
            return write_parts(
                frames,
                parts,
                store,
                encode,
                suffix=part_suffix(plan),
                finished=lambda: self._go_on(store),
            )

        starts = [part.span.at for part in parts]
        wanted, context = joined([part.span for part in parts]), self._context()
        if context:
            frames = keyframes(self.job.source).frames
            wanted = with_context(wanted, self.job.spans, frames, context)
        self._run(write, wanted, starts, done, context)

    def from_store(
        self, store: Store, records: Sequence[tuple[Part, Record]], folder: Path
    ) -> tuple[Path, int]:
        """The complete result, in `folder`, made of finished parts; and its number of frames.

        Raises the errors of `vsr.errors`.
        """
        job, plan, base = self.job, self.part_encoder(), self.job.source.video.time_base
        filled = [(part, record) for part, record in records if record.frames]
        if not filled:
            raise InputError(f"{job.source.path}: not one frame of its video can be decoded")
        paths = [store.part(part.number, part_suffix(plan)) for part, _ in filled]
        first, last = filled[0][1], filled[-1][1]
        written = Written(
            frames=sum(record.frames for _, record in filled),
            first=first.first * base,
            last=last.last * base,
            last_duration=last.last_duration * base,
        )
        encoded = self._target(folder)
        if plan is job.encoder:
            join(
                paths,
                encoded,
                container=plan.encoder.container,
                time_base=base,
                last_duration=last.last_duration,
                muxer_options=self._exact(plan),
            )
        else:
            for _ in self.encode(_frames_of(paths), encoded, job.encoder, self._muxer_options()):
                pass
        return self._complete(encoded, written, job.source, folder), written.frames

    def deliver(
        self, complete: Path, frames: int, folder: Path, store: Store | None = None
    ) -> None:
        """Give the complete result in `folder` its name, which `store` is told first."""
        job = self.job
        try:
            if job.pattern is not None:
                if store is not None:
                    store.tell({"pictures": frames})
                finish(job, job.pattern, folder, frames, sink=self.sink)
                return
            if store is not None:
                store.tell({"bytes": complete.stat().st_size, "frames": frames})
            disk.rename(complete, job.output)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            text = f"{job.output}: cannot be given its name ({error.strerror})"
            raise OutputError(text) from error

    def on(self, source: SourceInfo) -> Work:
        """The same work on another copy of its source."""
        job = dataclasses.replace(self.job, source=source, spans=spans(source, self.options))
        return dataclasses.replace(self, job=job)

    def mended(self, folder: Path) -> Work:
        """The same work, on a copy in `folder` where the source's clock jumps."""
        source = self.job.source
        if not clock_jumps(source):
            return self
        self.sink(Note(text=f"{source.path.name}: its clock jumps; mended in a copy of it"))
        return self.on(probe(mended(source, folder), self.options.colour, 0))

    def part_encoder(self) -> EncoderPlan:
        """The encoder of parts: the job's own, or a lossless one where those cannot be joined."""
        job = self.job
        if job.pattern is None and job.container.muxer not in STILLS | ANIMATIONS:
            return job.encoder
        return plan_encoder(EncodeOptions(codec="ffv1"), job.encoder.layout)

    def _go_on(self, store: Store) -> None:
        """Called between two parts. Raises Stopped."""
        if self.stop():
            raise Stopped("stopped")
        free = shutil.disk_usage(store.folder).free
        if free < _SPARE:
            raise Stopped(f"{store.folder.parent}: only {free >> 20} MB are free; make room")

    def _target(self, folder: Path) -> Path:
        job = self.job
        if job.pattern is not None:
            return work_names(job, folder)
        return folder / f"picture.{job.encoder.encoder.container}"

    def _complete(self, encoded: Path, written: Written, source: SourceInfo, folder: Path) -> Path:
        """The picture, with what else is in the source; still in `folder`."""
        job, encoder, muxer = self.job, self.job.encoder.encoder, self.job.container.muxer
        if not written.frames:
            raise InputError(f"{source.path}: not one frame of its video can be decoded")
        if muxer in STILLS or muxer in ANIMATIONS:  # complete as they are, but for this
            if muxer in ANIMATIONS:
                set_last_duration(encoded, muxer, written.last_duration)
            if job.pattern is None and source.pictures is None:
                put_notes(encoded, notes_of(source.path))
            left_out(source, job.container, sink=self.sink)
            return folder / encoded.name  # `work_names` writes the folder's name as ffmpeg reads it
        complete = folder / f"joined{job.output.suffix}"
        picture = EncodedPicture(
            path=encoded,
            codec=encoder.codec,
            hidden_alpha=encoder.codec == "vp9" and job.encoder.layout.alpha,
            frames=written.frames,
            first=written.first,
            last=written.last,
        )
        mux(picture, source, complete, job.container, pieces=self._pieces(), sink=self.sink)
        return complete

    def _pieces(self) -> list[Piece]:
        return [span.piece(self.job.source.video.time_base) for span in self.job.spans]

    def _context(self) -> int:
        """Frames next to a part that decide on its pixels, too."""
        chosen = self.options.temporal
        context = DEFLICKER_RADIUS if chosen.deflicker else 0
        if reuses(self.options.device, self.engine):
            return context  # what is drawn depends on where a part begins: so does the filter
        return context + radius_of(chosen.stabilise)

    def _run(
        self,
        write: Writer,
        spans: Sequence[Span],
        starts: Sequence[int] = (),
        done: int = 0,
        context: int = 0,
    ) -> Written:
        source, filters = self.progressive()
        return run(
            source,
            write,
            filters=filters,
            spans=spans,
            seeks=self.job.scan is not Scan.TELECINED,  # whose filters count in fives
            context=context,
            starts=starts,
            engine=self.engine,
            picture=self.picture(),
            options=self.options,
            done=done,
            sink=self.sink,
        )

    def picture(self) -> Picture:
        """What the result's frames look like."""
        return Picture(
            target=self.job.target,
            layout=self.job.encoder.layout,
            colour=self._colour(),
            kernel=self.model.kernel,
            anchored=self.options.model.keep_colours,
        )

    def decoded(self) -> Iterator[Frame]:
        """The frames that would be worked on, for those who only measure."""
        source, filters = self.progressive()
        spans, colour = self.job.spans or (WHOLE,), self.options.colour
        return read_frames(source, colour, filters=filters, spans=spans, sink=silent)

    def encode(
        self,
        frames: Iterator[Frame],
        target: Path | BinaryIO,
        plan: EncoderPlan,
        muxer_options: Mapping[str, str],
        *,
        muxer: str | None = None,
        sound: Sound | None = None,
    ) -> Generator[Frame, None, None]:
        """Write `frames`, made larger before, with the encoder `plan`; as `write_frames`."""
        video = self.progressive()[0].video
        return write_frames(
            frames,
            target,
            plan,
            width=self.job.target.width,
            height=self.job.target.height,
            colour=self._colour(),
            rate=video.rate,
            time_base=video.time_base,
            sample_aspect_ratio=video.sample_aspect_ratio,
            display_matrix=video.display_matrix,
            muxer_options=muxer_options,
            muxer=muxer,
            sound=sound,
        )

    def _colour(self) -> Colour:
        """What the result is written in."""
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

    def progressive(self) -> tuple[SourceInfo, Filters]:
        """The source as the filters hand it out."""
        source, video = self.job.source, self.job.source.video
        filters = undo(self.job.scan, video.rate)
        if self.job.scan is Scan.TELECINED and video.rate is not None:  # four frames for five
            video = dataclasses.replace(video, rate=video.rate * Fraction(4, 5))
        fps = self.options.source.fps
        if self.job.pattern is not None and fps is not None:
            filters += (("fps", str(fps)),)
        if self.job.output == STDOUT and self.job.container.untimed:
            rate = video.rate or _RATE
            filters += (("fps", str(rate)),)
            video = dataclasses.replace(video, rate=rate, time_base=1 / rate)
        return dataclasses.replace(source, video=video), filters

    def _muxer_options(self) -> dict[str, str]:
        """Those of the result's own format."""
        job, source = self.job, self.job.source
        if job.container.muxer in ANIMATIONS:
            return muxer_options(job.container.muxer, loops_of(source.path))
        if job.pattern is not None:
            return {"start_number": "1"}
        if job.container.muxer in STILLS:
            return {"update": "1"}  # one file of this very name, whatever is in it
        return self._exact(job.encoder)

    def _exact(self, plan: EncoderPlan) -> dict[str, str]:
        """Or a late start would be rounded to milliseconds."""
        if plan.encoder.container not in ("mp4", "mov"):
            return {}
        return {"movie_timescale": str(max(self.job.source.video.time_base.denominator, 1000))}


def part_suffix(plan: EncoderPlan) -> str:
    """Of the names of parts that are encoded so."""
    return f".{plan.encoder.container}"


def _frames_of(paths: Sequence[Path]) -> Iterator[Frame]:
    """The frames of finished parts, one after the other."""
    for path in paths:
        yield from read_frames(probe(path), ColourOptions(), sink=silent)
