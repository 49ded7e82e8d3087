"""How long a film would take and how large its picture would be, from frames that are made of it.

What starting up, the filters and the encoder take, and how the encoder gets on with what the
network draws, is different for each film: so pieces of it go through a whole run. Where a
frame takes too long for that, a part of the frame does. What is in the middle of a picture has more
bytes than the rest; so the whole frames of a resizer are taken by as much more as the network's
part has more bytes than the resizer's.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vsr.engine.base import Engine
from vsr.engine.cache import EngineCache
from vsr.errors import VsrError
from vsr.events import Note, Sink, silent
from vsr.jobs.plan.estimate import bytes_by_rule
from vsr.jobs.plan.plan import Plan
from vsr.jobs.run.context import Hooks
from vsr.jobs.run.short_run import Crop, Estimate, ShortRun, expected, run_short
from vsr.media.read.keyframes import Keyframes, keyframes
from vsr.nets.catalogue import find
from vsr.nets.weight_files import whereabouts
from vsr.options import Clip, ModelOptions, Moment, UpscaleOptions

_PATCH = 96  # side of the picture that the network is timed on
_PIECES = 3  # of the film
_FRAMES = 72  # that all pieces hold at least, where a part of the frame is enough
_FEWEST = 8  # frames of a piece, however long they take
_SMALLEST = 64  # the frame has at most so many times the pixels of the part
_STEP = 16  # what sides of the part are multiples of
_GRID = 4  # what its places are multiples of, for the chroma's sake


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """Frames of the film, and which part of them is made."""

    frame: int  # the first one's number
    count: int
    crop: Crop | None  # None: all of it


def estimate(
    plan: Plan, options: UpscaleOptions, sink: Sink, *, seconds: float, loading: float = 0.0
) -> Estimate:
    """Make some of the film, for about `seconds`, and carry over what that takes to all of it.

    `loading`: seconds that the libraries took, which a run begins with. 0 `seconds`, or what
    cannot be tried: the size by rule of thumb, and no time.
    """
    frames = plan.frames
    if frames is None:
        return Estimate(seconds=None, bytes=None)
    by_rule = Estimate(seconds=None, bytes=bytes_by_rule(plan, options, frames))
    if not (seconds and plan.source.rereadable and plan.source.lasts) or _lacks_weights(options):
        return by_rule
    engines, began = EngineCache(), time.monotonic()
    engine = engines.engine(options.model, plan.target.scale, options.device, sink)
    loading += time.monotonic() - began
    index = keyframes(plan.source)
    try:
        pieces = _pieces(plan, options, index, seconds_per_pixel(engine), seconds)
        trials = _trials(pieces, plan, options, engines)
    except VsrError as error:
        sink(Note(text=f"{plan.source.path.name}: could not be tried ({error.text})"))
        return by_rule
    workers = len(options.device.device.split(","))  # which share the film
    return expected(trials, plan, index, options, loading=loading, workers=workers)


def _lacks_weights(options: UpscaleOptions) -> bool:
    for step in options.model.steps:
        try:
            model = find(step.name)
        except LookupError:
            continue  # a file of the user's own
        if not model.is_resizer and whereabouts(model, step) is None:
            return True
    return False


def seconds_per_pixel(engine: Engine) -> float:
    """Return the seconds that a source pixel takes, timed on a small picture."""
    picture = torch.rand(1, 3, _PATCH, _PATCH).to(engine.device, engine.dtype)
    took = []
    with torch.inference_mode():
        for _ in range(3):  # the first one warms up
            began = time.perf_counter()
            engine(picture).float().sum().item()  # waits for the device
            took.append(time.perf_counter() - began)
    return min(took) / _PATCH**2


# --- what is made ---


def _pieces(
    plan: Plan, options: UpscaleOptions, index: Keyframes, each: float, seconds: float
) -> list[_Piece]:
    """Return pieces from all over the film that take about `seconds`, `each` for a pixel."""
    frames, video = plan.frames or 1, plan.source.video
    if not plan.is_resumable:  # it is soon done: all of it
        return [_Piece(frame=0, count=frames, crop=None)]
    affordable = seconds / max(each * video.width * video.height, 1e-6)
    share = 1.0
    if affordable < min(_FRAMES, frames) and options.source.crop is None:
        share = max(affordable / min(_FRAMES, frames), 1 / _SMALLEST)
    count = max(int(min(affordable / share, frames) / _PIECES), _FEWEST)
    starts = _starts(plan, index, count)
    result = []
    for number, frame in enumerate(starts):
        crop = None
        if share < 1:
            place = (number + 0.5) / len(starts)  # along a diagonal
            crop = _part(video.width, video.height, share, place)
        result.append(_Piece(frame=frame, count=count, crop=crop))
    return result


def _starts(plan: Plan, index: Keyframes, count: int) -> list[int]:
    """Return the numbers of frames that pieces begin with: keyframes, before which nothing has
    to be decoded, as evenly over the film as they lie.
    """
    pts = index.frames
    spans = [
        (
            0 if span.start is None else bisect_left(pts, span.start),
            len(pts) if span.end is None else bisect_left(pts, span.end),
        )
        for span in plan.spans
    ] or [(0, len(pts))]
    keys = [bisect_left(pts, key) for key in index.pts]
    found: list[int] = []
    wanted = sum(end - start for start, end in spans)
    for number in range(_PIECES):
        at = round((number + 0.5) / _PIECES * wanted - count / 2)
        for start, end in spans:
            if at < end - start:
                break
            at -= end - start
        near = max(start + at, start)
        latest = max(end - count, start)
        places = [key for key in keys if start <= key <= latest]
        close = [key for key in places if abs(key - near) <= wanted / _PIECES / 2]
        best = min(close or [min(near, latest)], key=lambda key: abs(key - near))
        if all(abs(best - other) >= count for other in found):
            found.append(best)
    return found or [spans[0][0]]


def _part(width: int, height: int, share: float, place: float) -> Crop:
    """Return a part with `share` of the pixels, `place` of the way
    from the top left corner to the bottom right one.
    """
    sides = [
        min(max(round(side * share**0.5 / _STEP) * _STEP, _STEP * 4), side)
        for side in (width, height)
    ]
    corner = [
        int((whole - side) * place) // _GRID * _GRID
        for whole, side in zip((width, height), sides, strict=True)
    ]
    return sides[0], sides[1], corner[0], corner[1]


def _trials(
    pieces: Sequence[_Piece], plan: Plan, options: UpscaleOptions, engines: EngineCache
) -> list[ShortRun]:
    """Make the pieces; of parts of the frame, carry their bytes over to whole frames.

    Raises the errors of `upscale`.
    """
    trials = [_tried(piece, plan, options, engines) for piece in pieces]
    if not any(piece.crop for piece in pieces):
        return trials
    size = dataclasses.replace(options.size, scale=plan.target.scale, fit=None, height=None)
    plain = dataclasses.replace(options, model=ModelOptions(name="bicubic"), size=size)
    parts = [_tried(piece, plan, plain, engines) for piece in pieces]
    wholes = [
        _tried(dataclasses.replace(piece, crop=None), plan, plain, engines) for piece in pieces
    ]
    key, inner = _sum_of_keys(trials) / _sum_of_keys(parts), 1.0
    if _sum_of_inner(parts):
        inner = _sum_of_inner(trials) / _sum_of_inner(parts)
    return [
        dataclasses.replace(
            trial,
            key=whole.key * key,
            inner=None if whole.inner is None else whole.inner * inner,
        )
        for trial, whole in zip(trials, wholes, strict=True)
    ]


def _sum_of_keys(trials: Sequence[ShortRun]) -> float:
    return sum(trial.key for trial in trials)


def _sum_of_inner(trials: Sequence[ShortRun]) -> float:
    return sum(trial.inner or 0.0 for trial in trials)


def _tried(piece: _Piece, plan: Plan, options: UpscaleOptions, engines: EngineCache) -> ShortRun:
    """Make a piece in a folder of its own. Raises the errors of `upscale`."""
    clips = []
    if plan.is_resumable:
        start, duration = Moment(frame=piece.frame), Moment(frame=piece.count)
        clips.append(Clip(start=start, duration=duration))
    with tempfile.TemporaryDirectory(prefix="vsr-probe-") as name:
        output = Path(name) / ("trial.mkv" if plan.output.is_stream else plan.output.path.name)
        hooks = Hooks(sink=silent)
        return run_short(
            plan, options, clips, output, engines=engines, hooks=hooks, crop=piece.crop
        )
