"""The whole run on one screen: decode -> upscale -> encode, a thread each.

Every stage is an iterator of frames in and an iterator of frames out and knows
no neighbour. What is in memory at once: the two queues, the batches in flight
and what the decoder and the encoder keep for themselves; never more, however
long the film.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from vsr.engine.base import Engine
from vsr.errors import InputError
from vsr.events import Progress, Sink
from vsr.flow import Scope
from vsr.media.encoders import EncoderPlan
from vsr.media.probe import SourceInfo
from vsr.media.reader import read_frames
from vsr.media.scan import Filters
from vsr.media.sound import Sound
from vsr.media.spans import Span
from vsr.media.writer import write_frames
from vsr.options import UpscaleOptions
from vsr.stages.upscale import Picture, Upscaler

_DECODED = 8  # frames, small ones
_FINISHED = 4  # frames, large ones


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a run wrote."""

    frames: int
    first: Fraction  # seconds
    last: Fraction  # seconds, the last frame's pts
    last_duration: Fraction  # seconds


def run(
    source: SourceInfo,
    target: Path | BinaryIO,
    *,
    filters: Filters,
    spans: Sequence[Span],
    engine: Engine,
    picture: Picture,
    encoder: EncoderPlan,
    muxer_options: Mapping[str, str],
    muxer: str | None = None,
    sound: Sound | None = None,
    options: UpscaleOptions,
    sink: Sink,
) -> Written:
    """Upscale the video of `source` into `target`, which holds only the picture.

    Beside it `sound`, if it is given. `muxer`: other than the encoder's own.

    Raises whatever a stage raises, after every thread has ended.
    """
    video = source.video
    upscale = Upscaler(engine, picture, options.device, sink=sink)
    with Scope() as scope, ExitStack() as stops:
        if source.pipe is not None:
            stops.callback(source.pipe.stop)  # before the threads are waited for
        decoded = scope.ahead(
            read_frames(source, options.colour, filters=filters, spans=spans, sink=sink),
            depth=_DECODED,
            name="vsr-decode",
        )
        upscaled = scope.ahead(upscale(decoded), depth=_FINISHED, name="vsr-upscale")
        written = write_frames(
            upscaled,
            target,
            encoder,
            width=picture.target.width,
            height=picture.target.height,
            colour=picture.colour,
            rate=video.rate,
            time_base=video.time_base,
            sample_aspect_ratio=video.sample_aspect_ratio,
            display_matrix=video.display_matrix,
            muxer_options=muxer_options,
            muxer=muxer,
            sound=sound,
        )
        count, first, last, duration = 0, None, 0, 0
        with closing(written) as encoded:
            for frame in encoded:
                count += 1
                first = frame.pts if first is None else first
                last, duration = frame.pts, frame.duration
                sink(Progress(frames=count))
        stops.pop_all()
    if first is None:
        raise InputError(f"{source.path}: not one frame of its video can be decoded")
    return Written(
        frames=count,
        first=first * video.time_base,
        last=last * video.time_base,
        last_duration=duration * video.time_base,
    )
