"""A planned film, made: the pipeline, and what comes around its picture."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from vsr.engine.base import Engine
from vsr.events import Sink
from vsr.jobs.frames import work_names
from vsr.jobs.plan import Plan
from vsr.media.animation import ANIMATIONS, loops_of, muxer_options, set_last_duration
from vsr.media.containers import STDOUT
from vsr.media.mux import Picture as EncodedPicture
from vsr.media.mux import left_out, mux
from vsr.media.probe import SourceInfo
from vsr.media.scan import Filters, Scan, undo
from vsr.media.sound import Sound
from vsr.media.spans import WHOLE
from vsr.media.still import STILLS, notes_of, put_notes
from vsr.media.tags import for_output, guessed
from vsr.nets.store import Loaded
from vsr.options import UpscaleOptions
from vsr.pipeline import Written, run
from vsr.stages.upscale import Picture

# Raw pictures, too large to be kept, with nothing beside them.
_PICTURE_ONLY = frozenset({"yuv4mpegpipe", "rawvideo"})
_RATE = Fraction(25)  # of y4m, where the source has none
_BEHIND = 1 << 22  # bytes that are read behind a part, for the sound that belongs to it


@dataclass(frozen=True, kw_only=True)
class Work:
    """A plan, and what is needed to carry it out."""

    job: Plan
    model: Loaded
    engine: Engine
    options: UpscaleOptions
    sink: Sink

    def into_pipe(self) -> Written:
        """Write to standard output, as it comes. Raises the errors of `vsr.errors`."""
        job, source = self.job, self.job.source
        pieces = [span.piece(source.video.time_base) for span in job.spans]
        left_out(source, job.container, sink=self.sink)
        sound = None
        if job.container.audio is None and source.pictures is None:
            sound = Sound(source, pieces, sink=self.sink)
        if source.pipe is not None:
            source.pipe.start(1 if sound is None else 2)
        return self._run(sys.stdout.buffer, dict(job.container.options), sound)

    def into_folder(self, folder: Path) -> tuple[Path, int]:
        """The complete result, in `folder`, and its number of frames.

        Of a plan with a pattern, the files are there under `work_names`. Raises the errors of
        `vsr.errors`.
        """
        job, encoder = self.job, self.job.encoder.encoder
        muxer = job.container.muxer
        encoded = folder / f"picture.{encoder.container}"
        if job.pattern is not None:
            encoded = work_names(job, folder)
        with ExitStack() as stack:
            source = _kept(job.source, folder, stack)
            written = self._run(encoded, self._muxer_options())
            if (pipe := job.source.pipe) is not None:
                pipe.drain(_BEHIND if job.spans else None)
                pipe.stop()
        if muxer in STILLS or muxer in ANIMATIONS:  # complete as they are, but for this
            if muxer in ANIMATIONS:
                set_last_duration(encoded, muxer, written.last_duration)
            if job.pattern is None and source.pictures is None:
                put_notes(encoded, notes_of(source.path))
            left_out(source, job.container, sink=self.sink)
            return encoded, written.frames
        joined = folder / f"joined{job.output.suffix}"
        picture = EncodedPicture(
            path=encoded,
            codec=encoder.codec,
            hidden_alpha=encoder.codec == "vp9" and job.encoder.layout.alpha,
            frames=written.frames,
            first=written.first,
            last=written.last,
        )
        pieces = [span.piece(job.source.video.time_base) for span in job.spans]
        mux(picture, source, joined, job.container, pieces=pieces, sink=self.sink)
        return joined, written.frames

    def _run(
        self, target: Path | BinaryIO, muxer_options: Mapping[str, str], sound: Sound | None = None
    ) -> Written:
        job, encoder = self.job, self.job.encoder.encoder
        video, layout = job.source.video, job.encoder.layout
        colour = encoder.colour or for_output(
            video.colour,
            video.layout,
            layout,
            sitings=encoder.sitings,
            full_range=encoder.full_range,
        )
        if encoder.untagged:
            colour = guessed(layout, width=job.target.width, height=job.target.height)
        source, filters = self._progressive()
        return run(
            source,
            target,
            filters=filters,
            spans=job.spans or (WHOLE,),
            engine=self.engine,
            picture=Picture(
                target=job.target,
                layout=layout,
                colour=colour,
                kernel=self.model.kernel,
                anchored=self.options.model.keep_colours,
            ),
            encoder=job.encoder,
            muxer_options=muxer_options,
            muxer=job.container.muxer if job.output == STDOUT else None,
            sound=sound,
            options=self.options,
            sink=self.sink,
        )

    def _progressive(self) -> tuple[SourceInfo, Filters]:
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
        job, source = self.job, self.job.source
        if job.container.muxer in ANIMATIONS:
            return muxer_options(job.container.muxer, loops_of(source.path))
        if job.pattern is not None:
            return {"start_number": "1"}
        if job.container.muxer in STILLS:
            return {"update": "1"}  # one file of this very name, whatever is in it
        if job.encoder.encoder.container not in ("mp4", "mov"):
            return {}
        # Or a late start would be rounded to milliseconds.
        return {"movie_timescale": str(max(source.video.time_base.denominator, 1000))}


def _kept(source: SourceInfo, folder: Path, stack: ExitStack) -> SourceInfo:
    """The source as it can be read again, for what is not its picture."""
    pipe = source.pipe
    if pipe is None:
        return source
    if pipe.file is not None:
        pipe.start(1)
        return dataclasses.replace(source, path=pipe.file, pipe=None)
    if source.format in _PICTURE_ONLY:
        pipe.start(1)
        return source
    copy = folder / source.path.name
    pipe.start(1, stack.enter_context(copy.open("wb")))
    return dataclasses.replace(source, path=copy, pipe=None)
