"""What training can be told, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vsr.errors import UsageError
from vsr.train.degrade.settings import Damage

Stage = Literal["net", "gan"]
Perceptual = Literal["off", "vgg19", "hed", "lite0"]
GanKind = Literal["vanilla", "lsgan"]
Start = Literal["model", "srvgg", "rrdb"]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What is learnt from: clips out of films and pictures."""

    clean: tuple[Path, ...]  # films, pictures, folders of them, or .txt lists
    paired: Path | None = None  # the same pictures, damaged already: a film, or a folder
    clips: int = 64  # taken from each film
    frames: int = 1  # of each sample
    length: int | None = None  # frames of a clip, which samples are taken from
    window: int = 512  # pixels of a clip's side that are kept, at most
    patch: int = 256  # pixels of a sample's side, at the high resolution
    area: int = 400  # of the side that is damaged before a patch is cut out
    variants: int = 0  # damaged copies of each clip, made beforehand; 0: each sample anew
    held_out: float = 0.1  # share of scenes
    sharpen: bool = False  # the target, as the reference does
    workers: int = 2

    def __post_init__(self) -> None:
        if self.patch < 16 or self.patch > self.area:
            raise UsageError(
                f"--patch {self.patch}: from 16 pixels to --area, which is {self.area}"
            )
        if self.area > self.window:
            raise UsageError(f"--area {self.area}: no more than --window, which is {self.window}")
        for name, low, high in (("frames", 1, 64), ("clips", 2, 100_000), ("variants", 0, 64),
                                ("workers", 0, 256)):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"--{name} {getattr(self, name)}: from {low} to {high}")
        if self.length is not None and not self.frames <= self.length <= 256:
            raise UsageError(f"--length {self.length}: from --frames, {self.frames}, to 256")


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """Weights of the losses; 0 leaves one out."""

    l1: float = 1.0
    charbonnier: float = 0.0
    perceptual: Perceptual = "off"
    perceptual_weight: float = 1.0
    features: Path | None = None  # weight file of it
    gan: GanKind = "vanilla"
    gan_weight: float = 0.1  # in the gan stage
    consistency: float = 0.0
    temporal: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ScheduleOptions:
    """How long, how fast."""

    steps: int = 1000
    batch: int = 8
    rate: float = 2e-4  # of Adam
    warm_up: int = 100  # steps until the rate is reached
    decay: bool = False  # to nothing at the end, along a cosine
    ema: float = 0.999
    clip: float = 1.0  # most of the gradient's norm; 0: any
    save_every: int = 200
    check_every: int = 200  # on what is held out

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "save_every", "check_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: at least 1")
        if not 0 < self.rate < 1:
            raise UsageError(f"--rate {self.rate:g}: lies between 0 and 1")
        if not 0 <= self.ema < 1:
            raise UsageError(f"--ema {self.ema:g}: from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """All that decides about the weights that come out."""

    data: DataOptions
    damage: Damage
    start: str = "srvgg"  # srvgg or rrdb from scratch, else a model or weight file to go on from
    stage: Stage = "net"
    discriminator: Path | None = None  # weights to begin with
    disc_feat: int = 64
    num_feat: int = 64  # of a network from scratch
    num_block: int = 16
    loss: LossOptions = field(default_factory=LossOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    seed: int = 0
    device: str = "auto"
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    licence: str = ""
