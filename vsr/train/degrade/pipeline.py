"""The damage itself: clips, seeds and settings in, damaged clips out; nothing else decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.errors import UsageError
from vsr.train.degrade import noise as noises
from vsr.train.degrade.draws import SampledDamage, SampledStage, SampledVideo, draw
from vsr.train.degrade.jpeg import jpeg
from vsr.train.degrade.kernels import SIDE, blur, sincs
from vsr.train.degrade.settings import Damage
from vsr.train.degrade.video import damaged


def degrade(clips: Tensor, seeds: Sequence[int], damage: Damage) -> Tensor:
    """Map (N, T, 3, H, W) RGB in 0..1 -> (N, T, 3, H / scale, W / scale), in steps of 1 / 255.

    `seeds`: one for each clip, which decides everything about it if `damage.per_sample`; else the
    first decides about all, as one draw of the reference does. Runs where the clips are; the
    same on every CPU. Raises UsageError for pictures that are too small for such damage.
    """
    check_size(clips.shape[3], clips.shape[4], damage)
    count, frames = clips.shape[:2]
    if not damage.per_sample:
        return apply(clips, draw(seeds[0], damage, clips=count, frames=frames), damage)
    each = [
        apply(clip[None], draw(seed, damage, clips=1, frames=frames), damage)
        for clip, seed in zip(clips, seeds, strict=True)
    ]
    return torch.cat(each)


def check_size(height: int, width: int, damage: Damage) -> None:
    """Refuse pictures smaller than the reflected borders of a blur. Raises UsageError."""
    smallest = min(damage.first.resize.range[0], 1 / damage.scale)
    need = int((SIDE // 2 + 1) / smallest) + 1
    if min(height, width) < need:
        raise UsageError(
            f"a picture of {width}x{height} is too small for this damage: {need} pixels a side"
        )


def apply(clips: Tensor, drawn: SampledDamage, damage: Damage) -> Tensor:
    """Degrade clips for which all is sampled already."""
    staged = _two_stages(clips, drawn, damage)
    return torch.stack([
        torch.cat(list(_filmed((clip,), drawn.video[n], drawn.seed + n, drawn.start, damage)))
        for n, clip in enumerate(staged)
    ])  # fmt: skip


def apply_film(runs: Iterable[Tensor], drawn: SampledDamage, damage: Damage) -> Iterator[Tensor]:
    """Degrade one film that comes in runs (T, 3, H, W); yields its frames in runs of any length.

    The same as `apply` does to all of it at once, however it is cut. `drawn`: of one clip.
    """

    def staged() -> Iterator[Tensor]:
        at = 0
        for run in runs:
            end = at + len(run)
            yield _two_stages(run[None], drawn.part(at, end), damage)[0]
            at = end

    return _filmed(staged(), drawn.video[0], drawn.seed, drawn.start, damage)


def _two_stages(clips: Tensor, drawn: SampledDamage, damage: Damage) -> Tensor:
    """Map (N, T, 3, H, W) -> (N, T, 3, H / scale, W / scale): what looks at no other frame."""
    count, frames = clips.shape[:2]
    full = (clips.shape[3], clips.shape[4])
    small = (full[0] // damage.scale, full[1] // damage.scale)
    x = clips.flatten(0, 1)
    x = _stage(x, drawn.first, full, drawn, number=1)
    x = _stage(x, drawn.second, small, drawn, number=2, jpegs=False)
    return _last(x, drawn, small).reshape(count, frames, 3, *small)


def _filmed(
    runs: Iterable[Tensor], what: SampledVideo, seed: int, start: int, damage: Damage
) -> Iterator[Tensor]:
    """Add what video suffers to runs (T, 3, h, w), and round to steps of 1 / 255."""
    for run in damaged(runs, what, seed=seed, start=start, rate=damage.video.codec.rate):
        yield (run * 255).round().clamp(0, 255) / 255


def _stage(
    x: Tensor,
    stage: SampledStage,
    base: tuple[int, int],
    drawn: SampledDamage,
    *,
    number: int,
    jpegs: bool = True,
) -> Tensor:
    """Blur, resize to `factor` of the size `base`, noise and, if it is its turn, JPEG."""
    if stage.blur.on:
        x = blur(x, stage.blur.kernels().float())
    size = (max(int(base[0] * stage.factor), 1), max(int(base[1] * stage.factor), 1))
    x = resized(x, size, stage.mode).clamp(0, 1)
    x = _noisy(x, stage, drawn, number)
    return jpeg(x, _flat(stage.quality)) if jpegs and stage.jpeg else x


def resized(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize to (height, width) without antialiasing: what falls between the taps makes alias."""
    if x.shape[2:] == size:
        return x
    if mode == "area":
        return F.interpolate(x, size=size, mode="area")
    return F.interpolate(x, size=size, mode=mode, align_corners=False)


def _noisy(x: Tensor, stage: SampledStage, drawn: SampledDamage, number: int) -> Tensor:
    """Give each frame a seed of its own, so that a film in pieces gets the noise of the
    whole.
    """
    if stage.noise == "none":
        return x
    add = noises.gaussian if stage.noise == "gaussian" else noises.poisson
    grey = torch.from_numpy(stage.grey)
    frames = stage.strength.shape[1]
    x = x.reshape(-1, frames, *x.shape[1:])
    done = []
    for t in range(frames):
        state = np.random.SeedSequence([drawn.seed, number, drawn.start + t]).generate_state(2)
        chance = torch.Generator(x.device).manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)
        done.append(add(x[:, t], torch.from_numpy(stage.strength[:, t]).float(), grey, chance))
    return torch.stack(done, 1).flatten(0, 1)


def _last(x: Tensor, drawn: SampledDamage, size: tuple[int, int]) -> Tensor:
    """Resize to the result and apply a sinc, with the second JPEG before or behind."""
    last, second = drawn.last, drawn.second
    quality = _flat(second.quality)
    if second.jpeg and not last.jpeg_last:
        x = jpeg(x, quality)
    x = resized(x, size, last.mode)
    if last.sinc.any():
        frames = second.quality.shape[1]
        rings = sincs(size=torch.from_numpy(last.size), cutoff=torch.from_numpy(last.cutoff))
        rings[~torch.from_numpy(last.sinc)] = _pulse()
        x = blur(x, rings.float().repeat_interleave(frames, 0))
    x = x.clamp(0, 1)
    return jpeg(x, quality) if second.jpeg and last.jpeg_last else x


def _pulse() -> Tensor:
    pulse = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    pulse[SIDE // 2, SIDE // 2] = 1
    return pulse


def _flat(values: object) -> Tensor:
    assert isinstance(values, np.ndarray)
    return torch.from_numpy(values).float().flatten()
