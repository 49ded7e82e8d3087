"""vsr: Real-ESRGAN video upscaling that loses nothing.

    import vsr
    result = vsr.upscale("episode.mkv", model="x4plus-anime", height=1080)
    print(result.output)

    with vsr.Upscaler("x4plus") as upscale:
        large = upscale(array)  # or a PIL image

Everything that the command line can do is a call here, with the same options: by name, or as
a tree (`vsr.UpscaleOptions`) that goes through JSON.
Nothing prints and nothing exits: progress and notes go to the `sink` that is
handed in, and errors are those of `vsr.errors`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vsr.version import __version__

if TYPE_CHECKING:
    from vsr import errors, events
    from vsr.arrays import Upscaler
    from vsr.jobs.batch.run_batch import Batch, Outcome
    from vsr.jobs.plan.plan import Plan, plan
    from vsr.jobs.run.upscale import Result, upscale
    from vsr.media.source.kinds.base import Source
    from vsr.media.source.probe import probe
    from vsr.nets.catalogue import Model, catalogue
    from vsr.options import (
        Clip,
        ColourOptions,
        DeviceOptions,
        EncodeOptions,
        JobOptions,
        MetricsOptions,
        ModelOptions,
        Moment,
        SizeOptions,
        SourceOptions,
        TemporalOptions,
        UpscaleOptions,
    )
    from vsr.quality.metrics import metrics
    from vsr.quality.report import Report

__all__ = [
    "Batch",
    "Clip",
    "ColourOptions",
    "DeviceOptions",
    "EncodeOptions",
    "JobOptions",
    "MetricsOptions",
    "Model",
    "ModelOptions",
    "Moment",
    "Outcome",
    "Plan",
    "Report",
    "Result",
    "SizeOptions",
    "Source",
    "SourceOptions",
    "TemporalOptions",
    "UpscaleOptions",
    "Upscaler",
    "__version__",
    "catalogue",
    "errors",
    "events",
    "metrics",
    "plan",
    "probe",
    "upscale",
]

# Imported when they are asked for: PyTorch takes a second and more, `vsr --help` has not. And
# `python -m vsr` gets here before it can say in its own words that a signal has ended it.
_MODULES = {"errors", "events"}
_HOMES = {
    "Batch": "vsr.jobs.batch.run_batch",
    "Clip": "vsr.options",
    "ColourOptions": "vsr.options",
    "DeviceOptions": "vsr.options",
    "EncodeOptions": "vsr.options",
    "JobOptions": "vsr.options",
    "MetricsOptions": "vsr.options",
    "Model": "vsr.nets.catalogue",
    "ModelOptions": "vsr.options",
    "Moment": "vsr.options",
    "Outcome": "vsr.jobs.batch.run_batch",
    "Plan": "vsr.jobs.plan.plan",
    "Report": "vsr.quality.report",
    "Result": "vsr.jobs.run.upscale",
    "SizeOptions": "vsr.options",
    "Source": "vsr.media.source.kinds.base",
    "SourceOptions": "vsr.options",
    "TemporalOptions": "vsr.options",
    "UpscaleOptions": "vsr.options",
    "Upscaler": "vsr.arrays",
    "catalogue": "vsr.nets.catalogue",
    "metrics": "vsr.quality.metrics",
    "plan": "vsr.jobs.plan.plan",
    "probe": "vsr.media.source.probe",
    "upscale": "vsr.jobs.run.upscale",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"vsr.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
