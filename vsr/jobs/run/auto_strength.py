"""`--temporal-filter auto`: find out before the work how strong a filter a film asks for.

At a few places of the film three frames that follow each other are upscaled, and the filter shows
how much it would take out of the middle one: nothing in a still film without noise, nor where it
has no confidence. What was found holds for the whole film, and for all runs of a job that was
begun with it.
"""

from __future__ import annotations

import dataclasses
import statistics
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import torch
from torch import Tensor

from vsr.engine.base import is_out_of_memory
from vsr.events import Note, silent
from vsr.frame import Frame
from vsr.jobs.run.context import RunContext
from vsr.jobs.store.job_store import JobStore, folder_of
from vsr.media.read.interlace import undo
from vsr.media.read.keyframes import keyframes
from vsr.media.read.reader import read_frames
from vsr.media.source.spans import WHOLE, Span
from vsr.options import FILTER_STRENGTHS, FilterStrength
from vsr.stages.device.stage import DeviceStage
from vsr.stages.temporal.mctf import TemporalFilter

_PLACES = 5
_FRAMES = 3  # at each: one on either side shows what flickers as well as two
_LARGEST = (192, 256)  # (height, width) of the middle of the picture, which is all that is upscaled
_SMALLEST = 64  # pixels of its sides, however slow the network
_USUAL = 620_000  # parameters of realesr-animevideov3; of a network with more less is drawn
# Code values of 8 bit that "light" takes out; measured with benchmarks/flicker.py, see
# docs/temporal_filter.md.
_LIGHT, _STRONG = 0.1, 1.5
_FINGERPRINT_KEY = "stabilise"  # of `temporal.filter`, by its first name


def resolve_strength(run: RunContext) -> RunContext:
    """Return the same work, with a level of the flicker filter where that was to be found out."""
    temporal = run.options.temporal
    if temporal.filter != "auto":
        return run
    level = _strength_of_job(run) or _measure_strength(run)
    options = dataclasses.replace(run.options, temporal=dataclasses.replace(temporal, filter=level))
    return dataclasses.replace(run, options=options)


def _strength_of_job(run: RunContext) -> FilterStrength | None:
    """Return what the job that is gone on with was begun with."""
    if run.plan.output.is_stream or run.options.jobs.restart:
        return None
    output = run.plan.output.path
    store = JobStore(folder_of(output))
    if not (store.has_segments() or store.result_at(output) is not None):
        return None  # it will be begun anew, whatever it was
    begun = store.job() or {}
    level = begun.get("options", {}).get("temporal", {}).get(_FINGERPRINT_KEY)
    return next((known for known in FILTER_STRENGTHS if known == level != "auto"), None)


def _measure_strength(run: RunContext) -> FilterStrength:
    source = run.plan.source
    if not run.engine.receptive_radius or source.video.frames == 1:
        return "off"  # nothing is invented, or nothing is beside it
    if not source.rereadable:
        return _announce(run, "light", "what comes through a pipe cannot be looked at before")
    try:
        changes = list(_changes(run))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return _announce(run, "light", "there was too little memory to look")
    if not changes:
        return _announce(run, "off", "nothing was found to look at")
    share = statistics.median(changes)
    level: FilterStrength = "off" if share < _LIGHT else "light" if share < _STRONG else "strong"
    return _announce(run, level, f"light would change pictures by {share:.2f} code values")


def _announce(run: RunContext, level: FilterStrength, reason: str) -> FilterStrength:
    run.sink(Note(text=f"{run.plan.source.path.name}: temporal filter: {level}, for {reason}"))
    return level


@torch.inference_mode()
def _changes(run: RunContext) -> Iterator[float]:
    """Yield how much a picture in the middle of each place changes, in code values."""
    source = run.plan.source
    # Those that make fewer frames of them are for the result.
    filters = undo(run.plan.scan, source.video.rate)
    stage = DeviceStage(run.engine, run.picture(), run.options, sink=run.sink)
    size = _sample_size(run)
    for span in _sample_spans(run):
        frames = read_frames(source, run.options.colour, filters=filters, spans=[span], sink=silent)
        with closing(frames):
            pairs = [_upscaled(frame, stage, size) for frame in islice(frames, _FRAMES)]
        if len(pairs) < _FRAMES:
            continue
        light = TemporalFilter[Tensor]("light")
        done = [one for rgb, upscaled in pairs for one in light.push(rgb, upscaled, upscaled)]
        done += light.flush()
        upscaled, filtered = done[_FRAMES // 2]
        yield float((filtered - upscaled).abs().mean()) * 255


def _sample_spans(run: RunContext) -> list[Span]:
    """Return where a few frames are to be read, spread over what is wanted of the source."""
    index = keyframes(run.plan.source)
    ends: dict[int, int | None] = {}  # by where it may begin: where what is wanted ends
    for span in run.plan.spans or (WHOLE,):
        first = 0 if span.start is None else bisect_left(index.frames, span.start)
        last = len(index.frames) if span.end is None else bisect_left(index.frames, span.end)
        ends |= dict.fromkeys(index.frames[first : max(last - _FRAMES + 1, first)], span.end)
    keys = [pts for pts in index.pts if pts in ends]
    candidates = keys if len(keys) >= _PLACES else sorted(ends)
    count = min(_PLACES, -(-len(ends) // _FRAMES))
    starts = [candidates[(2 * n + 1) * len(candidates) // (2 * count)] for n in range(count)]
    return [Span(start=start, end=ends[start]) for start in starts]


def _upscaled(frame: Frame, stage: DeviceStage, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the middle of a frame, (1, 3, h, w) of at most `size`, and that upscaled; float."""
    engine = stage.engine
    planes = tuple(plane[None].to(engine.device) for plane in frame.planes)
    rgb = stage.to_rgb(planes, frame.layout, frame.colour)
    height, width = size
    top, left = max(rgb.shape[2] - height, 0) // 2, max(rgb.shape[3] - width, 0) // 2
    rgb = rgb[:, :, top : top + height, left : left + width].contiguous()
    upscaled = stage.infer(rgb)
    if not torch.isfinite(upscaled).all() and engine.fall_back_to_fp32():  # 16 bits are too few
        upscaled = stage.infer(rgb)
    return rgb, stage.correct(upscaled, rgb)


def _sample_size(run: RunContext) -> tuple[int, int]:
    """Return (height, width): as much as takes about as long with every network."""
    network = run.model.network
    assert network is not None
    slow = max(sum(p.numel() for p in network.parameters()) / _USUAL, 1.0)
    height, width = (max(round(side / slow**0.5 / 8) * 8, _SMALLEST) for side in _LARGEST)
    return height, width
