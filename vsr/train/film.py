"""Films and pictures as RGB, for training: short runs of frames from given places."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vsr.errors import InputError
from vsr.events import Sink, silent
from vsr.frame import Frame
from vsr.media.read.reader import read_frames
from vsr.media.source.kinds.base import Source
from vsr.media.source.kinds.table import probe_source
from vsr.media.source.spans import WHOLE, Span
from vsr.options import ColourOptions
from vsr.stages.colour.convert import to_rgb


def opened(path: Path) -> Source:
    """Return a film, a picture, or numbered pictures as a film. Raises InputError."""
    return probe_source(path, ColourOptions())


def frames(
    source: Source, *, start: float | None = None, sink: Sink = silent
) -> Generator[Frame, None, None]:
    """Return frames from `start` seconds on."""
    span = WHOLE
    if start is not None:
        tick = round(start / source.video.time_base)
        span = Span(start=tick, at=tick)
    return read_frames(source, ColourOptions(), spans=(span,), sink=sink)


def rgb(frame: Frame) -> Tensor:
    """Return (3, H, W) float32 in 0..1, clipped as a screen clips it."""
    planes = tuple(plane[None] for plane in frame.planes)
    return to_rgb(planes, frame.layout, frame.colour)[0].clamp(0, 1)


def codes(picture: Tensor) -> Tensor:
    """Map (..., H, W) in 0..1 -> uint8."""
    return (picture * 255).round().clamp(0, 255).byte()


def pieces(source: Iterator[Frame], size: int) -> Iterator[Sequence[Frame]]:
    """Yield runs of `size` frames; the last may be shorter."""
    run: list[Frame] = []
    for frame in source:
        run.append(frame)
        if len(run) == size:
            yield run
            run = []
    if run:
        yield run


def stacked(run: Sequence[Frame], source: Source) -> Tensor:
    """Return (T, 3, H, W) of frames of the film's size. Raises InputError for others."""
    size = (source.video.height, source.video.width)
    if any((frame.height, frame.width) != size for frame in run):
        raise InputError(f"{source.path}: its pictures change their size, and are not damaged")
    return torch.stack([rgb(frame) for frame in run])
