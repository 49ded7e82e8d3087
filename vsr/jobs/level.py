"""`--stabilise auto`: how strong a flicker filter a film asks for, found out before it is begun.

At a few places of the film three frames that follow each other are drawn, and the filter shows how
much it would take out of the middle one: nothing in a still film without noise, nor in what it
does not believe. What was found holds for the whole film, and for all runs of a job that was
begun with it.
"""

from __future__ import annotations

import dataclasses
import statistics
from bisect import bisect_left
from collections.abc import Iterator

import torch
from torch import Tensor

from vsr.engine.base import Engine
from vsr.events import Note, silent
from vsr.frame import Frame
from vsr.jobs.store import Store, folder_of
from vsr.jobs.work import Work
from vsr.media.containers import STDOUT
from vsr.media.index import keyframes
from vsr.media.reader import read_frames
from vsr.media.spans import Span
from vsr.options import STABILISE, Stabilise
from vsr.stages.anchor import anchor
from vsr.stages.colour import to_rgb
from vsr.stages.temporal import Stabiliser
from vsr.stages.tiles import infer

_PLACES = 5
_FRAMES = 3  # at each: what one of them needs
_MOST = (192, 256)  # (height, width) of the middle of the picture, which is all that is drawn
_LEAST = 64  # pixels of its sides, however slow the network
_USUAL = 620_000  # parameters of realesr-animevideov3; of a network with more less is drawn
# Code values of 8 bit that "light" takes out; measured with benchmarks/flicker.py, see
# docs/stabilise.md.
_LIGHT, _STRONG = 0.1, 1.5


def settled(work: Work) -> Work:
    """The same work, with a level of the flicker filter where that was to be found out."""
    temporal = work.options.temporal
    if temporal.stabilise != "auto":
        return work
    level = _begun(work) or _found(work)
    options = dataclasses.replace(
        work.options, temporal=dataclasses.replace(temporal, stabilise=level)
    )
    return dataclasses.replace(work, options=options)


def _begun(work: Work) -> Stabilise | None:
    """What the job that is gone on with was begun with."""
    if work.job.output == STDOUT or work.options.jobs.restart:
        return None
    told = Store(folder_of(work.job.output)).job() or {}
    level = told.get("options", {}).get("temporal", {}).get("stabilise")
    return next((known for known in STABILISE if known == level != "auto"), None)


def _found(work: Work) -> Stabilise:
    name, source = work.job.source.path.name, work.job.source
    if not work.engine.radius:
        return "off"  # nothing is invented
    if source.pipe is not None:
        text = "stabilise: light, for what comes through a pipe cannot be looked at before"
        work.sink(Note(text=f"{name}: {text}"))
        return "light"
    taken = list(_taken_out(work))
    if not taken:
        return "off"  # too short for anything to be beside it
    share = statistics.median(taken)
    level: Stabilise = "off" if share < _LIGHT else "light" if share < _STRONG else "strong"
    text = f"stabilise: {level}, for light would change pictures by {share:.2f} code values"
    work.sink(Note(text=f"{name}: {text}"))
    return level


@torch.inference_mode()
def _taken_out(work: Work) -> Iterator[float]:
    """How much a picture in the middle of each place changes, in code values."""
    (source, filters), colour = work.progressive(), work.options.colour
    for place in _places(work):
        frames = read_frames(source, colour, filters=filters, spans=[place], sink=silent)
        pictures = [_drawn(frame, work) for frame in frames]
        if len(pictures) < _FRAMES:
            continue
        stabiliser = Stabiliser[Tensor]("light")
        done = [pair for rgb, drawn in pictures for pair in stabiliser.push(rgb, drawn, drawn)]
        done += stabiliser.flush()
        drawn, steady = done[_FRAMES // 2]
        yield float((steady - drawn).abs().mean()) * 255


def _places(work: Work) -> list[Span]:
    """A few frames each, spread over what is wanted of the source."""
    index, spans = keyframes(work.job.source), work.job.spans

    def wanted(pts: int) -> bool:
        return not spans or any(
            (span.start is None or span.start <= pts) and (span.end is None or pts < span.end)
            for span in spans
        )

    frames = [pts for pts in index.frames if wanted(pts)]
    begins = frames[: -_FRAMES + 1]
    keys = [pts for pts in index.pts if wanted(pts) and begins and pts <= begins[-1]]
    among = keys if len(keys) >= _PLACES else begins
    count = min(_PLACES, -(-len(begins) // _FRAMES))
    starts = [among[(2 * n + 1) * len(among) // (2 * count)] for n in range(count)]
    ends = [frames[bisect_left(frames, start) + _FRAMES - 1] + 1 for start in starts]
    return [Span(start=start, end=end) for start, end in zip(starts, ends, strict=True)]


def _drawn(frame: Frame, work: Work) -> tuple[Tensor, Tensor]:
    """The middle of a frame, (1, 3, h, w), and what is drawn from it; both float."""
    engine: Engine = work.engine
    planes = tuple(plane[None].to(engine.device) for plane in frame.planes)
    rgb = to_rgb(planes, frame.layout, frame.colour)
    height, width = _looked_at(work)
    top, left = max(rgb.shape[2] - height, 0) // 2, max(rgb.shape[3] - width, 0) // 2
    rgb = rgb[:, :, top : top + height, left : left + width].contiguous()
    drawn = infer(engine, rgb.to(engine.dtype), tile=0, overlap=0).float()
    return rgb, anchor(drawn, rgb) if work.options.model.keep_colours else drawn


def _looked_at(work: Work) -> tuple[int, int]:
    """(height, width): as much as takes about as long with every network."""
    network = work.model.network
    assert network is not None
    slow = max(sum(p.numel() for p in network.parameters()) / _USUAL, 1.0)
    height, width = (max(round(side / slow**0.5 / 8) * 8, _LEAST) for side in _MOST)
    return height, width
