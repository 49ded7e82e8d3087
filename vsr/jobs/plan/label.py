"""What a name that is made up says of the result: its size, and the part of the film."""

from __future__ import annotations

import math

from vsr.nets.catalogue import find
from vsr.nets.store import load
from vsr.options import ModelOptions, UpscaleOptions
from vsr.stages.device.size import TargetSize


def label(target: TargetSize, options: UpscaleOptions) -> str:
    """Return `4x`, or `1080p` if a height was asked for; `4x_90-100` of a part."""
    sized = options.size.height is not None or options.size.fit is not None
    label = f"{target.height}p" if sized else f"{float(target.scale):g}x"
    return "_".join((label, *(str(clip) for clip in options.source.clips)))


def folder_label(options: UpscaleOptions) -> str:
    """Return the label of a folder of pictures, each of which has a size of its own."""
    size = options.size
    if size.height is not None or size.fit is not None:
        return f"{size.height}p" if size.fit is None else "{}x{}".format(*size.fit)
    return f"{float(size.scale or default_scale(options)):g}x"


def default_scale(options: UpscaleOptions) -> int:
    """Return the scale of what is named, without loading it where the catalogue knows."""
    return math.prod(_scale_of(step) for step in options.model.steps)


def _scale_of(model: ModelOptions) -> int:
    try:
        return find(model.name).scale
    except LookupError:
        return load(model).scale
