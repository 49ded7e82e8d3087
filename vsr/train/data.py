"""What is learnt from: clips, kept as plain arrays in a folder, and samples cut out of them."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsr.errors import InputError, OutputError, VsrError
from vsr.events import Note, Sink
from vsr.media.source.image_list import FILMS, PICTURES
from vsr.media.source.kinds.base import Source
from vsr.options import to_dict
from vsr.train.degrade.kernels import sharpened
from vsr.train.degrade.pipeline import degrade
from vsr.train.degrade.settings import Damage
from vsr.train.film import codes, opened
from vsr.train.options import DataOptions
from vsr.train.scenes import places, read_at, take

_AHEAD = 4  # batches that are made ahead


@dataclass(frozen=True, kw_only=True)
class StoredClip:
    """One file of the store."""

    name: str
    scene: int
    lows: tuple[str, ...] = ()  # damaged copies of it


@dataclass(frozen=True, kw_only=True)
class TrainingBatch:
    """Pairs to learn from, RGB in 0..1; `low` is None where the loop itself makes it."""

    high: Tensor  # (N, T, 3, H, W)
    real: Tensor  # the same, unsharpened: what a discriminator is to take for real
    low: Tensor | None  # (N, T, 3, H / scale, W / scale)


# --- gathering, once ---


def gather(
    folder: Path, options: DataOptions, damage: Damage, seed: int, sink: Sink
) -> list[StoredClip]:
    """Take clips out of all that `options` name into `folder`, unless that was done already.

    Raises InputError, UsageError, OutputError.
    """
    index = folder / "clips.json"
    try:
        if index.is_file():
            stored = json.loads(index.read_text(encoding="utf-8"))
            if stored["made_of"] == _made_of(options, damage, seed):
                return [
                    StoredClip(name=clip["name"], scene=clip["scene"], lows=tuple(clip["lows"]))
                    for clip in stored["clips"]
                ]
        folder.mkdir(parents=True, exist_ok=True)
        clips = [
            _stored(folder, n, *found, options=options, damage=damage, seed=seed)
            for n, found in enumerate(_all_clips(options, damage, sink))
        ]
        if not clips:
            raise InputError(
                f"{', '.join(map(str, options.clean))}: nothing to learn from; a clip takes "
                f"{options.frames} frames without a cut, and something to see in them"
            )
        part = index.with_suffix(".part")
        made = {"made_of": _made_of(options, damage, seed), "clips": [c.__dict__ for c in clips]}
        part.write_text(json.dumps(made), encoding="utf-8")
        os.replace(part, index)
    except OSError as error:
        if isinstance(error, VsrError):
            raise
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return clips


def _stored(
    folder: Path,
    number: int,
    scene: int,
    clip: Tensor,
    partner: Tensor | None,
    *,
    options: DataOptions,
    damage: Damage,
    seed: int,
) -> StoredClip:
    """Return a clip and its damaged copies, as files."""
    scale = damage.scale
    height, width = (side // scale * scale for side in clip.shape[2:])
    clip = clip[..., :height, :width]
    name = f"{number:05}.npy"
    np.save(folder / name, clip.numpy())
    lows = []
    copies = [partner] if partner is not None else _copies(clip, number, options, damage, seed)
    for n, low in enumerate(copies):
        lows.append(f"{number:05}.{n}.npy")
        np.save(folder / lows[-1], low[..., : height // scale, : width // scale].numpy())
    return StoredClip(name=name, scene=scene, lows=tuple(lows))


def _copies(
    clip: Tensor, number: int, options: DataOptions, damage: Damage, seed: int
) -> Iterator[Tensor]:
    high = clip[None].float() / 255
    high = sharpened(high[0])[None] if options.sharpen else high
    for n in range(options.variants):
        low = degrade(
            high, [mixed(seed, 1, number, n)], dataclasses.replace(damage, per_sample=True)
        )
        yield codes(low[0])


def _made_of(options: DataOptions, damage: Damage, seed: int) -> str:
    """Return all that decides about the clips."""
    names = (
        "clean",
        "paired",
        "clips",
        "frames",
        "length",
        "window",
        "area",
        "variants",
        "sharpen",
    )
    chosen = {name: value for name, value in to_dict(options).items() if name in names}
    made = to_dict(damage) if options.variants else {"scale": damage.scale}
    text = json.dumps([chosen, made, seed if options.variants else 0], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def mixed(*numbers: int) -> int:
    """Return a seed out of several numbers; each that differs gives another."""
    state = np.random.SeedSequence(numbers).generate_state(2)
    return int(state[0]) << 31 | int(state[1]) >> 1


def _all_clips(
    options: DataOptions, damage: Damage, sink: Sink
) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    """Yield (scene, clip, its partner) of every source that can be read."""
    paths = list(listed(options.clean))
    refused: list[str] = []
    first = last = 0
    for path in paths:
        try:
            source = opened(path)
            low = _partner(path, options.paired)
            for scene, clip, partner in _of_source(source, low, options, damage.scale):
                last = first + scene
                yield last, clip, partner
            first = last + 1
        except InputError as error:
            refused.append(str(error))
            sink(Note(text=f"passed over: {error}"))
    if len(refused) == len(paths):
        raise InputError(refused[0] if refused else "nothing to learn from is named")


def _of_source(
    source: Source, low: Source | None, options: DataOptions, scale: int
) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    width, height = source.video.width, source.video.height
    if min(width, height) < options.area:
        raise InputError(
            f"{source.path}: is {width}x{height}; samples take {options.area} pixels a side "
            "(<data.area> and <data.patch> make them smaller)"
        )
    if low is not None and (low.video.width * scale, low.video.height * scale) != (width, height):
        raise InputError(
            f"{low.path}: is {low.video.width}x{low.video.height}, not 1/{scale} of "
            f"{source.path}, which is {width}x{height}"
        )
    starts = places(source, options.clips)
    ends = [*starts[1:], None]
    length = (options.length or options.frames) if starts != [None] else 1
    window = options.window if low is None else 1 << 15
    with ThreadPoolExecutor(max(options.workers, 1), thread_name_prefix="vsr-take") as pool:
        jobs = [
            pool.submit(take, source, start, end, length=length, window=window)
            for start, end in zip(starts, ends, strict=True)
        ]
        try:
            scene = 0
            for job in jobs:
                taken = job.result()
                if taken.clip is not None:
                    partner = read_at(low, taken.times) if low is not None else None
                    yield scene, taken.clip, partner
                scene += taken.ends
        finally:
            for job in jobs:
                job.cancel()


def _partner(path: Path, paired: Path | None) -> Source | None:
    if paired is None:
        return None
    found = paired / path.name if paired.is_dir() else paired
    if not found.exists() and paired.is_dir():
        found = next(iter(sorted(paired.glob(f"{path.stem}.*"))), found)
    return opened(found)


def listed(paths: Iterable[Path]) -> Iterator[Path]:
    """Return films and pictures that paths stand for: themselves, folders of them, lists in
    .txt.
    """
    for path in paths:
        if path.is_dir():
            kinds = FILMS | PICTURES
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in kinds)
        elif path.suffix.lower() == ".txt" and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            yield from (path.parent / line.strip() for line in lines if line.strip())
        else:
            yield path


# --- samples ---


def split(clips: Sequence[StoredClip], share: float) -> tuple[list[StoredClip], list[StoredClip]]:
    """Return (to learn from, held out): whole scenes, evenly over all. One scene alone is not
    split.
    """
    scenes = sorted({clip.scene for clip in clips})
    if share <= 0 or len(scenes) < 2:
        return list(clips), []
    step = min(max(round(1 / share), 2), len(scenes))
    held = set(scenes[step // 2 :: step])
    return (
        [clip for clip in clips if clip.scene not in held],
        [clip for clip in clips if clip.scene in held],
    )


class Samples:
    """Pairs by number: each is a function of the seed and its number alone."""

    def __init__(
        self,
        folder: Path,
        clips: Sequence[StoredClip],
        options: DataOptions,
        damage: Damage,
        seed: int,
    ) -> None:
        self._folder, self._clips, self._options = folder, clips, options
        self._damage, self._seed = damage, seed
        self.inner = options.patch // damage.scale * damage.scale  # pixels of a patch's side
        self.damages = damage.per_sample or bool(clips and clips[0].lows)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return (target, the same unsharpened, its damaged partner), (T, 3, H, W) in 0..1.

        The partner is None, and the others are of the larger area, where whole batches are
        damaged together.
        """
        chance = np.random.default_rng([self._seed, number])
        clip = self._clips[int(chance.integers(len(self._clips)))]
        whole = np.load(self._folder / clip.name, mmap_mode="r")
        first = int(chance.integers(len(whole) - min(self._options.frames, len(whole)) + 1))
        frames = slice(first, first + self._options.frames)
        scale = self._damage.scale
        side = self.inner if clip.lows else self._options.area // scale * scale
        top, left = (
            int(chance.integers((size - side) // scale + 1)) * scale for size in whole.shape[2:]
        )
        # What was damaged already has a side, as chroma that comes late on tape: not mirrored.
        turn = (lambda clip: clip) if clip.lows else self._turn(chance)
        high = turn(_cut(whole[frames], top, left, side))
        real = high
        if self._options.sharpen:
            high = sharpened(high)
        if clip.lows:
            name = clip.lows[int(chance.integers(len(clip.lows)))]
            stored = np.load(self._folder / name, mmap_mode="r")
            return high, real, _cut(stored[frames], top // scale, left // scale, side // scale)
        if not self.damages:
            return high, real, None
        seed = mixed(self._seed, 2, number)
        low = degrade(high[None], [seed], self._damage)[0]
        return self.patch(chance, high, real, low)

    def patch(
        self, chance: np.random.Generator, high: Tensor, real: Tensor, low: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cut the patch to learn from out of what was damaged with its surroundings."""
        scale, small = self._damage.scale, self.inner // self._damage.scale
        y, x = (int(chance.integers(size - small + 1)) for size in low.shape[-2:])
        big = (
            ...,
            slice(y * scale, y * scale + self.inner),
            slice(x * scale, x * scale + self.inner),
        )
        return high[big], real[big], low[..., y : y + small, x : x + small]

    def _turn(self, chance: np.random.Generator) -> Callable[[Tensor], Tensor]:
        mirrored, backwards = chance.random(2) < 0.5

        def turn(clip: Tensor) -> Tensor:
            dims = [dim for dim, on in ((3, mirrored), (0, backwards)) if on]
            return clip.flip(dims) if dims else clip

        return turn


def _cut(stored: NDArray[np.uint8], top: int, left: int, side: int) -> Tensor:
    part = np.array(stored[..., top : top + side, left : left + side])
    return torch.from_numpy(part).float() / 255


def batches(
    samples: Samples, *, start: int, size: int, rank: int = 0, world: int = 1, workers: int = 2
) -> Generator[TrainingBatch, None, None]:
    """Yield batches from the `start`-th on without end, made ahead by `workers` threads.

    Of `world` processes that work on one batch of `world` times `size`, the share of `rank`. How
    many work on it changes nothing.
    """

    def numbers(step: int) -> range:
        first = (step * world + rank) * size
        return range(first, first + size)

    def put_together(found: Sequence[tuple[Tensor, Tensor, Tensor | None]]) -> TrainingBatch:
        lows = [low for _, _, low in found if low is not None]
        return TrainingBatch(
            high=torch.stack([high for high, _, _ in found]),
            real=torch.stack([real for _, real, _ in found]),
            low=torch.stack(lows) if lows else None,
        )

    if workers == 0:
        for step in itertools.count(start):
            yield put_together([samples[number] for number in numbers(step)])
    with ThreadPoolExecutor(workers, thread_name_prefix="vsr-samples") as pool:
        ahead: deque[list[Future[tuple[Tensor, Tensor, Tensor | None]]]] = deque()
        try:
            for step in itertools.count(start):
                ahead.append([pool.submit(samples.__getitem__, n) for n in numbers(step)])
                if len(ahead) > _AHEAD:
                    yield put_together([job.result() for job in ahead.popleft()])
        finally:
            pool.shutdown(cancel_futures=True)
