"""How large a film would become by rule of thumb, and what that takes on the disk."""

from __future__ import annotations

import shutil

from vsr.jobs.plan.plan import Plan
from vsr.options import UpscaleOptions

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


def room(plan: Plan, options: UpscaleOptions) -> int | None:
    """Return bytes that a job takes on the disk at most, while it is joined: parts, picture,
    result.
    """
    return 3 * bytes_by_rule(plan, options, plan.frames) if plan.frames is not None else None


def told_of_room(plan: Plan, options: UpscaleOptions, *, least: int = 0) -> str:
    """Say how much is free where a job is at work, and how much it needs, or `least` bytes."""
    free = shutil.disk_usage(plan.output.path.absolute().parent).free
    needed = (room(plan, options) or 0) + least
    about = f", about {max(needed >> 20, 1)} MB are needed" if needed else ""
    return f"{free >> 20} MB are free{about}"


def bytes_by_rule(plan: Plan, options: UpscaleOptions, frames: int) -> int:
    """Return about how large the picture would be."""
    bits = _BITS_PER_PIXEL[plan.codec]
    default = plan.encoder.encoder.crf
    if options.encode.crf is not None and default is not None:
        bits *= 2 ** ((default - options.encode.crf) / _CRF_HALVING)
    pixels = plan.target.width * plan.target.height
    return int(bits * pixels * frames / 8)
