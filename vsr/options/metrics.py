"""How a film is compared with a reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from vsr.errors import UsageError
from vsr.options.media import ColourOptions
from vsr.options.table import option
from vsr.options.values import METRICS, Kernel, Metric, VmafModel, number


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True, kw_only=True)
class MetricsOptions:
    """How a film is compared with a reference."""

    metrics: tuple[Metric, ...] | None = option(
        None,
        "--metric",
        parse=_names,
        metavar="NAME,...",
        help=f"Measure these of {', '.join(METRICS)}.  [default: psnr,ssim,vmaf]",
    )
    resize: Kernel | None = option(
        None, "--resize", help="Resize OUT to the size of REF, with this kernel."
    )
    crop: bool = option(
        False,
        "--crop",
        help="Cut OUT to the size of REF: what was added at the right and bottom to make sides "
        "even.",
    )
    align: bool = option(
        False, "--align", help="Pair the first frames with each other, whatever their times."
    )
    vmaf_model: VmafModel = option(
        "vmaf_v0.6.1",
        "--vmaf-model",
        help="Model of vmaf: neg does not reward sharpening; 4k is for REFs of 2160 lines.",
    )
    colour: ColourOptions = field(default_factory=ColourOptions)  # of both
    fps: Fraction | None = option(
        None,
        "--fps",
        parse=number,
        metavar="NUMBER",
        help="Frames a second of pictures.  [default: that of the film beside them, or 25]",
    )

    def __post_init__(self) -> None:
        if self.crop and self.resize is not None:
            raise UsageError("<metrics.crop> and <metrics.resize>: give only one of them")
        if self.metrics is not None and not self.metrics:
            raise UsageError(f"<metrics.metrics>: name at least one of {', '.join(METRICS)}")
        for name in self.metrics or ():
            if name not in METRICS:
                raise UsageError(f"<metrics.metrics> {name}: must be one of {', '.join(METRICS)}")
        if self.fps is not None and not Fraction(1, 86400) <= self.fps <= 1000:
            raise UsageError(f"<metrics.fps> {self.fps}: must lie between one a day and 1000")
