"""vsr: Real-ESRGAN video upscaling that loses nothing.

    import vsr
    result = vsr.upscale("episode.mkv", options=vsr.UpscaleOptions(
        size=vsr.SizeOptions(height=1080)))
    print(result.output)

Everything that the command line can do is a call here, with the same options.
Nothing prints and nothing exits: progress and notes go to the `sink` that is
handed in, and errors are those of `vsr.errors`.
"""

from vsr.jobs.batch import Batch, Outcome
from vsr.jobs.film import Result, upscale
from vsr.jobs.plan import Plan, plan
from vsr.media.probe import SourceInfo, probe
from vsr.nets.catalogue import Model, catalogue
from vsr.options import (
    Clip,
    ColourOptions,
    DeviceOptions,
    EncodeOptions,
    JobOptions,
    ModelOptions,
    Moment,
    SizeOptions,
    SourceOptions,
    UpscaleOptions,
)
from vsr.version import __version__

__all__ = [
    "Batch",
    "Clip",
    "ColourOptions",
    "DeviceOptions",
    "EncodeOptions",
    "JobOptions",
    "Model",
    "ModelOptions",
    "Moment",
    "Outcome",
    "Plan",
    "Result",
    "SizeOptions",
    "SourceInfo",
    "SourceOptions",
    "UpscaleOptions",
    "__version__",
    "catalogue",
    "plan",
    "probe",
    "upscale",
]
