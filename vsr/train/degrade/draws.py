"""What is random about damage: every parameter, drawn from the settings with one seed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsr.train.degrade.kernels import GAUSSIAN, GENERALISED, PLATEAU, bells, sincs
from vsr.train.degrade.settings import (
    Blur,
    CodecDamage,
    Damage,
    Last,
    Noise,
    Range,
    Resize,
    Shares,
    StageDamage,
    Tape,
    VideoDamage,
    Walk,
)

Numbers = NDArray[np.float64]
Chance = np.random.Generator

_SINC = "sinc"
_SHAPES = {"iso": GAUSSIAN, "generalized": GENERALISED, "plateau": PLATEAU}


@dataclass(frozen=True, kw_only=True)
class SampledBlur:
    """Of N clips with T frames."""

    on: bool
    kind: tuple[str, ...]  # N: iso, ..., or sinc
    size: NDArray[np.int64]  # (N,)
    sigma: Numbers  # (N, T, 2)
    angle: Numbers  # (N,)
    beta: Numbers  # (N, T)
    cutoff: Numbers  # (N,)

    def kernels(self) -> Tensor:
        """Return (N * T, 21, 21) float64."""
        frames = self.sigma.shape[1]
        size = torch.from_numpy(self.size).repeat_interleave(frames)
        each = [name for name in self.kind for _ in range(frames)]
        shape = [next((s for n, s in _SHAPES.items() if k.startswith(n)), GAUSSIAN) for k in each]
        bell = bells(
            size=size,
            sigma=torch.from_numpy(self.sigma).flatten(0, 1),
            angle=torch.from_numpy(self.angle).repeat_interleave(frames),
            beta=torch.from_numpy(self.beta).flatten(),
            shape=torch.tensor(shape),
        )
        ring = sincs(size=size, cutoff=torch.from_numpy(self.cutoff).repeat_interleave(frames))
        rings = torch.tensor([name == _SINC for name in each])
        return torch.where(rings[:, None, None], ring, bell)


@dataclass(frozen=True, kw_only=True)
class SampledStage:
    """One of the two stages: blur, resize, noise and JPEG."""

    blur: SampledBlur
    factor: float
    mode: str
    noise: str  # gaussian, poisson or none
    strength: Numbers  # (N, T): sigma, or the scale of Poisson's
    grey: NDArray[np.bool_]  # (N,)
    jpeg: bool
    quality: Numbers  # (N, T)


@dataclass(frozen=True, kw_only=True)
class SampledLast:
    """The end of the second stage: resize to the result, a sinc, JPEG before or behind it."""

    sinc: NDArray[np.bool_]  # (N,)
    size: NDArray[np.int64]  # (N,)
    cutoff: Numbers  # (N,)
    jpeg_last: bool
    mode: str


@dataclass(frozen=True, kw_only=True)
class SampledTape:
    """The damage of VHS."""

    luma: float
    bleed: float
    delay: float
    jitter: float
    switching: int
    crawl: float


@dataclass(frozen=True, kw_only=True)
class SampledCodec:
    """An encoder, and how hard it presses."""

    codec: str
    quality: float
    profile: str | None


@dataclass(frozen=True, kw_only=True)
class SampledVideo:
    """What befalls one clip; None: it is spared."""

    halo: tuple[float, float] | None  # strength, sigma
    chroma: tuple[str, bool] | None  # kind, misplaced
    interlace: float | None
    tape: SampledTape | None
    codec: SampledCodec | None


@dataclass(frozen=True, kw_only=True)
class SampledDamage:
    """All of it for one batch; `seed` is also that of the noise."""

    seed: int
    start: int  # number of the first frame
    first: SampledStage
    second: SampledStage
    last: SampledLast
    video: tuple[SampledVideo, ...]  # N

    def part(self, start: int, end: int) -> SampledDamage:
        """Return the same for some of the frames. Beyond the last of them values walk back the way
        that they came, and forth again.
        """
        last = self.first.strength.shape[1] - 1
        turn = np.arange(start, end) % max(2 * last, 1)
        at = np.minimum(turn, 2 * last - turn)

        def cut(stage: SampledStage) -> SampledStage:
            blur = dataclasses.replace(
                stage.blur,
                sigma=stage.blur.sigma[:, at],
                beta=stage.blur.beta[:, at],
            )
            return dataclasses.replace(
                stage,
                blur=blur,
                strength=stage.strength[:, at],
                quality=stage.quality[:, at],
            )

        first, second = cut(self.first), cut(self.second)
        return dataclasses.replace(self, start=self.start + start, first=first, second=second)


def draw(seed: int, damage: Damage, *, clips: int, frames: int) -> SampledDamage:
    """Return the damage of `clips` clips of `frames` frames.

    One draw for all of them: kind, factor and mode of resize, the kind of noise, whether there is
    a second blur, and what comes last. All else is drawn for each clip, and walks over its frames.
    """
    chance = np.random.default_rng(seed)
    return SampledDamage(
        seed=seed,
        start=0,
        first=_stage(chance, damage.first, damage.walk, clips, frames),
        second=_stage(chance, damage.second, damage.walk, clips, frames),
        last=draw_last(chance, damage.last, clips),
        video=tuple(draw_video(chance, damage.video) for _ in range(clips)),
    )


def _stage(chance: Chance, stage: StageDamage, walk: Walk, clips: int, frames: int) -> SampledStage:
    blur = draw_blur(chance, stage.blur, walk, clips, frames)
    factor, mode = draw_resize(chance, stage.resize)
    noise, strength, grey = draw_noise(chance, stage.noise, walk, clips, frames)
    jpeg = bool(chance.random() < stage.jpeg.share)
    quality = _walked(chance, stage.jpeg.quality, walk.quality, clips, frames)
    return SampledStage(
        blur=blur, factor=factor, mode=mode, noise=noise, strength=strength, grey=grey, jpeg=jpeg,
        quality=quality,
    )  # fmt: skip


def draw_blur(chance: Chance, blur: Blur, walk: Walk, clips: int, frames: int) -> SampledBlur:
    """Return kernels for `clips` clips."""
    on = bool(chance.random() < blur.share)
    names = kinds_of(chance, blur.kinds, clips)
    rings = chance.random(clips) < blur.sinc
    names = [_SINC if ring else name for ring, name in zip(rings, names, strict=True)]
    size = chance.choice(blur.sizes, clips)
    across = _walked(chance, blur.sigma, walk.sigma, clips, frames)
    along = _walked(chance, blur.sigma, walk.sigma, clips, frames)
    angle = chance.uniform(*blur.angle, clips)
    general = _two_halves(chance, blur.beta, walk.beta, clips, frames)
    plateau = _two_halves(chance, blur.plateau, walk.beta, clips, frames)
    is_round = np.array([not name.endswith("aniso") for name in names])
    is_plateau = np.array([name.startswith("plateau") for name in names])
    lowest = np.where(size < 13, math.pi / 3, math.pi / 5)
    return SampledBlur(
        on=on,
        kind=tuple(names),
        size=size,
        sigma=np.stack([across, np.where(is_round[:, None], across, along)], 2),
        angle=np.where(is_round, 0.0, angle),
        beta=np.where(is_plateau[:, None], plateau, general),
        cutoff=chance.uniform(lowest, math.pi),
    )


def draw_resize(chance: Chance, resize: Resize) -> tuple[float, str]:
    """Return (factor, mode)."""
    kind = chance.choice(3, p=_even((resize.up, resize.down, resize.keep)))
    low, high = resize.range
    ends = ((1.0, max(high, 1.0)), (min(low, 1.0), min(high, 1.0)), (1.0, 1.0))[kind]
    return float(chance.uniform(*ends)), kinds_of(chance, resize.modes, 1)[0]


def draw_noise(
    chance: Chance, noise: Noise, walk: Walk, clips: int, frames: int
) -> tuple[str, Numbers, NDArray[np.bool_]]:
    """Return (kind, strength (N, T), grey (N,))."""
    on, gaussian = chance.random(2) < (noise.share, noise.gaussian)
    sigma = _walked(chance, noise.sigma, walk.noise, clips, frames)
    scale = _walked(chance, noise.poisson, walk.noise, clips, frames)
    grey = chance.random(clips) < noise.grey
    kind = "none" if not on else "gaussian" if gaussian else "poisson"
    return kind, sigma if gaussian else scale, grey


def draw_last(chance: Chance, last: Last, clips: int) -> SampledLast:
    """Return what comes at the end of the two stages."""
    return SampledLast(
        sinc=chance.random(clips) < last.sinc,
        size=chance.choice(last.sizes, clips),
        cutoff=chance.uniform(math.pi / 3, math.pi, clips),
        jpeg_last=bool(chance.random() < last.jpeg_last),
        mode=kinds_of(chance, last.modes, 1)[0],
    )


def draw_video(chance: Chance, video: VideoDamage) -> SampledVideo:
    """Return what befalls one clip."""
    shares = (
        video.halo.share, video.chroma.share, video.interlace.share, video.tape.share,
        video.codec.share,
    )  # fmt: skip
    halo, chroma, interlace, tape, codec = (
        bool(luck < share) for luck, share in zip(chance.random(5), shares, strict=True)
    )
    strength, sigma = chance.uniform(*video.halo.strength), chance.uniform(*video.halo.sigma)
    kind = kinds_of(chance, video.chroma.kinds, 1)[0]
    misplaced = bool(chance.random() < video.chroma.misplaced)
    mixed = float(chance.uniform(*video.interlace.strength))
    worn, coded = _tape(chance, video.tape), draw_codec(chance, video.codec)
    return SampledVideo(
        halo=(float(strength), float(sigma)) if halo else None,
        chroma=(kind, misplaced) if chroma else None,
        interlace=mixed if interlace else None,
        tape=worn if tape else None,
        codec=coded if codec else None,
    )


def _tape(chance: Chance, tape: Tape) -> SampledTape:
    ranges = (tape.luma, tape.bleed, tape.delay, tape.jitter, tape.crawl)
    luma, bleed, delay, jitter, crawl = (float(chance.uniform(*ends)) for ends in ranges)
    switching = int(chance.integers(tape.switching[0], tape.switching[1] + 1))
    return SampledTape(
        luma=luma, bleed=bleed, delay=delay, jitter=jitter, switching=switching, crawl=crawl
    )


def draw_codec(chance: Chance, codec: CodecDamage) -> SampledCodec:
    """Return which encoder, and how bad."""
    name = kinds_of(chance, codec.kinds, 1)[0]
    crf, step = chance.uniform(*codec.crf), chance.uniform(*codec.quantiser)
    profile = kinds_of(chance, codec.profiles, 1)[0]
    quality = {"mpeg2": step, "mpeg4": step, "vp9": min(crf * 5 / 3, 63)}.get(name, crf)
    return SampledCodec(
        codec=name, quality=float(quality), profile=profile if name == "x264" else None
    )


def kinds_of(chance: Chance, shares: Shares, count: int) -> list[str]:
    """Sample `count` names, by their shares."""
    return [str(name) for name in chance.choice(shares.names(), count, p=_even(shares.values()))]


def _even(shares: Sequence[float]) -> Numbers:
    """Return shares whose sum is 1 to the last bit, as numpy wants it."""
    exact = np.array(shares, np.float64)
    exact /= exact.sum()
    return exact


def _two_halves(chance: Chance, ends: Range, step: float, clips: int, frames: int) -> Numbers:
    """Return (N, T): half of the clips below 1, half above."""
    low, high = ends
    below = _walked(chance, (min(low, 1.0), 1.0), step, clips, frames)
    above = _walked(chance, (1.0, max(high, 1.0)), step, clips, frames)
    return np.where(chance.random(clips)[:, None] < 0.5, below, above)


def _walked(chance: Chance, ends: Range, step: float, clips: int, frames: int) -> Numbers:
    """Return (N, T): even at first, then a step of at most `step` for each frame, kept within."""
    value = chance.uniform(*ends, clips)
    rows = [value]
    for _ in range(frames - 1):
        value = np.clip(value + chance.uniform(-step, step, clips), *ends)
        rows.append(value)
    return np.stack(rows, 1)
