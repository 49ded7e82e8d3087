"""How long a film would take and how large it would become, before it is begun."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass

import torch

from vsr.engine.base import Engine
from vsr.engine.build import build_engine
from vsr.jobs.plan.plan import Plan
from vsr.nets.catalogue import find
from vsr.nets.store import load
from vsr.nets.weight_files import whereabouts
from vsr.options import UpscaleOptions

_PATCH = 96  # side of the picture that the network is timed on

# Bits per output pixel at the default quality, and what one step of --crf changes:
# animation, which most users bring; grainy film needs several times as much.
_BITS_PER_PIXEL = {
    "h264": 0.06,
    "h265": 0.04,
    "av1": 0.03,
    "vp9": 0.05,
    "h264_nvenc": 0.08,
    "hevc_nvenc": 0.05,
    "av1_nvenc": 0.04,
    "ffv1": 4.0,
    "prores": 4.5,
    "gif": 5.0,
    "apng": 10.0,
    "webp": 1.0,
    "png": 10.0,
    "jpeg": 3.0,
    "raw": 12.0,
}
_CRF_HALVING = 6.0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Orders of magnitude, for planning."""

    seconds: float | None  # None: the weights are not here, or the frames are not known
    bytes: int | None


def estimate(plan: Plan, options: UpscaleOptions) -> Estimate:
    """Time the network on a small picture; the rest of the pipeline hides behind it."""
    frames = plan.frames
    if frames is None:
        return Estimate(seconds=None, bytes=None)
    return Estimate(seconds=_seconds(plan, options, frames), bytes=_bytes(plan, options, frames))


def _seconds(plan: Plan, options: UpscaleOptions, frames: int) -> float | None:
    for step in options.model.steps:
        try:
            model = find(step.name)
        except LookupError:
            continue  # a file of the user's own
        if model.is_resizer or whereabouts(model, step) is None:
            return None
    engine = build_engine(load(options.model), plan.target.scale, options.device)
    video = plan.source.video
    return seconds_per_pixel(engine) * video.width * video.height * frames


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


def room(plan: Plan, options: UpscaleOptions) -> int | None:
    """Return bytes that a job takes on the disk at most, while it is joined: parts, picture,
    result.
    """
    return 3 * _bytes(plan, options, plan.frames) if plan.frames is not None else None


def told_of_room(plan: Plan, options: UpscaleOptions, *, least: int = 0) -> str:
    """Say how much is free where a job is at work, and how much it needs, or `least` bytes."""
    free = shutil.disk_usage(plan.output.path.absolute().parent).free
    needed = (room(plan, options) or 0) + least
    about = f", about {max(needed >> 20, 1)} MB are needed" if needed else ""
    return f"{free >> 20} MB are free{about}"


def _bytes(plan: Plan, options: UpscaleOptions, frames: int) -> int:
    bits = _BITS_PER_PIXEL[plan.codec]
    default = plan.encoder.encoder.crf
    if options.encode.crf is not None and default is not None:
        bits *= 2 ** ((default - options.encode.crf) / _CRF_HALVING)
    pixels = plan.target.width * plan.target.height
    return int(bits * pixels * frames / 8)
