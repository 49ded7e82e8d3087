"""The whole run on one screen: decode -> upscale -> encode, a thread each.

Every stage is an iterator of frames in and an iterator of frames out and knows
no neighbour. What is in memory at once: the two queues, the batches in flight
and what the decoder and the encoder keep for themselves; never more, however
long the film.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction

import torch

from vsr.engine.base import Engine
from vsr.engine.device import free_memory
from vsr.events import Progress, Sink
from vsr.flow import Scope
from vsr.frame import Frame, Layout
from vsr.media.read.interlace import Filters
from vsr.media.read.reader import read_frames
from vsr.media.source.kinds.base import Source
from vsr.media.source.spans import WHOLE, Span
from vsr.options import UpscaleOptions
from vsr.stages.device.alpha import warn_of_transparency
from vsr.stages.device.stage import OutputImage
from vsr.stages.device.upscaler import Upscaler
from vsr.stages.temporal.deflicker import deflicker, levels

_DEEPEST = 16  # frames in a queue: two of the device's largest batches
_SHARE = 0.05  # of the free memory, for a queue

# Takes the results, and yields each one as it goes to the encoder.
Writer = Callable[[Iterator[Frame]], Generator[Frame, None, None]]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written."""

    frames: int = 0
    first: Fraction = Fraction(0)  # seconds
    last: Fraction = Fraction(0)  # seconds, the last frame's pts
    last_duration: Fraction = Fraction(0)  # seconds


@dataclass(frozen=True, kw_only=True)
class Section:
    """Which frames of a source are upscaled in one go, and what is known of the others."""

    filters: Filters
    spans: Sequence[Span] = (WHOLE,)  # one segment or more; what is joined is read once
    seeks: bool = True  # False: filters that remember what was long ago want all before it, too
    context: int = 0  # frames around each span that are looked at, as far as it has room for them
    starts: Sequence[int] = ()  # pts of the result from which what was before must not be known
    done: int = 0  # frames that were written before, for the progress


def run_pipeline(
    source: Source,
    section: Section,
    write: Writer,
    *,
    engine: Engine,
    picture: OutputImage,
    options: UpscaleOptions,
    sink: Sink,
) -> Written:
    """Upscale `section` of the video of `source` into `write`.

    Raises whatever a stage raises, after every thread has ended.
    """
    upscale = Upscaler(engine, picture, options, starts=section.starts, sink=sink)
    with Scope() as scope, ExitStack() as stops:
        stops.callback(source.stop)  # before the threads are waited for
        frames: Iterator[Frame] = read_frames(
            source,
            options.colour,
            filters=section.filters,
            spans=section.spans,
            seeks=section.seeks,
            context=section.context,
            sink=sink,
        )
        if source.video.layout.alpha and not (picture.layout.alpha or source.video.transparent):
            frames = warn_of_transparency(frames, source.path.name, sink)
        if options.temporal.deflicker and levels(source.video.colour):
            frames = deflicker(frames)
        video, target = source.video, picture.target
        depth = _depth(video.layout, video.width, video.height)
        decoded = scope.ahead(frames, depth=depth, name="vsr-decode")
        depth = _depth(picture.layout, target.width, target.height)
        upscaled = scope.ahead(upscale(decoded), depth=depth, name="vsr-upscale")
        count, first, last, duration = 0, 0, 0, 0
        with closing(write(upscaled)) as written:
            for frame in written:
                first = first if count else frame.pts
                count += 1
                last, duration = frame.pts, frame.duration
                sink(Progress(frames=section.done + count))
        stops.pop_all()
    base = source.video.time_base
    return Written(
        frames=count, first=first * base, last=last * base, last_duration=duration * base
    )


def _depth(layout: Layout, width: int, height: int) -> int:
    """Return how many frames of that kind a queue may hold: small ones cost nothing, 8K is 50 MB
    each.
    """
    samples = sum(rows * columns for rows, columns in layout.plane_sizes(width, height))
    room = int(_SHARE * free_memory(torch.device("cpu")))
    return max(1, min(_DEEPEST, room // (samples * layout.dtype.itemsize)))
