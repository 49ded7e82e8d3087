"""What is learnt from: clips, kept as plain arrays in a folder, and samples cut out of them."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsr.errors import InputError, OutputError, cause
from vsr.events import Note, Sink
from vsr.options import to_dict
from vsr.train.degrade.kernels import sharpened
from vsr.train.degrade.pipeline import degrade
from vsr.train.degrade.settings import Damage
from vsr.train.film import codes
from vsr.train.options import DataOptions
from vsr.train.sources import FoundClip, found_clips

_PARSING = Lock()
_AHEAD = 4  # batches that are made ahead
_REACH = 50  # pixels to each side that sharpening looks at: two blurs of 25
_NUMBERED = 2  # how clips are taken, and scenes numbered; stores made in another way are made anew


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
    made_of = _made_of(options, damage, seed)
    kept = _kept(folder, index, made_of, sink)
    if kept is not None:
        return kept
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        index.unlink(missing_ok=True)  # it is of clips that are replaced from here on
    clips = []
    for number, found in enumerate(found_clips(options, damage, sink)):
        clips.append(_stored(folder, number, found, options=options, damage=damage, seed=seed))
    if not clips:
        raise InputError(
            f"{', '.join(map(str, options.clean))}: nothing to learn from; a clip takes "
            f"{options.length or options.frames} frames without a cut, and something to see in them"
        )
    part = index.with_suffix(".part")
    made = {"made_of": made_of, "clips": [c.__dict__ for c in clips]}
    with _writing(folder):
        part.write_text(json.dumps(made), encoding="utf-8")
        os.replace(part, index)
    return clips


def _kept(folder: Path, index: Path, made_of: str, sink: Sink) -> list[StoredClip] | None:
    """Return the clips that were taken before; None where they are others, or not whole."""
    if not index.exists():
        return None
    try:
        stored = json.loads(index.read_text(encoding="utf-8"))
        if stored["made_of"] != made_of:
            return None
        clips = [
            StoredClip(name=clip["name"], scene=clip["scene"], lows=tuple(clip["lows"]))
            for clip in stored["clips"]
        ]
        for clip in clips:
            for name in (clip.name, *clip.lows):
                _mapped(folder / name)  # fails where the file is cut short
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        sink(Note(text=f"{folder}: clips are missing or damaged ({error}), and are taken anew"))
        return None
    return clips


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say what cannot be written. Raises OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({cause(error)})") from error


def _stored(
    folder: Path,
    number: int,
    found: FoundClip,
    *,
    options: DataOptions,
    damage: Damage,
    seed: int,
) -> StoredClip:
    """Return a clip and its damaged copies, as files."""
    scale, partner = damage.scale, found.partner
    height, width = (side // scale * scale for side in found.clip.shape[2:])
    clip = found.clip[..., :height, :width]
    name = f"{number:05}.npy"
    lows = []
    made = _copies(clip, number, options, damage, seed)
    copies = list(made) if partner is None else [partner]
    with _writing(folder):
        np.save(folder / name, clip.numpy())
        for n, low in enumerate(copies):
            lows.append(f"{number:05}.{n}.npy")
            np.save(folder / lows[-1], low[..., : height // scale, : width // scale].numpy())
    return StoredClip(name=name, scene=found.scene, lows=tuple(lows))


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
    told = [_NUMBERED, chosen, made, seed if options.variants else 0]
    text = json.dumps(told, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def mixed(*numbers: int) -> int:
    """Return a seed out of several numbers; each that differs gives another."""
    state = np.random.SeedSequence(numbers).generate_state(2)
    return int(state[0]) << 31 | int(state[1]) >> 1


# --- samples ---


def split(clips: Sequence[StoredClip], share: float) -> tuple[list[StoredClip], list[StoredClip]]:
    """Return (to learn from, held out): whole scenes, evenly over all, of about so many clips.

    At least one scene is held out and never more than half of the clips. One scene alone is not
    split.
    """
    sizes = Counter(clip.scene for clip in clips)
    if share <= 0 or len(sizes) < 2:
        return list(clips), []
    held: set[int] = set()
    seen = taken = 0
    for scene, size in sorted(sizes.items()):
        seen += size
        # Where that comes nearer to the share of what was seen so far.
        if share * seen - taken >= size / 2 and 2 * (taken + size) <= len(clips):
            held.add(scene)
            taken += size
    if not held:  # the smallest of several has never most of them
        few = [scene for scene in sorted(sizes) if 2 * sizes[scene] <= len(clips)]
        held = {min(few, key=lambda scene: abs(sizes[scene] - share * len(clips)))}
    return (
        [clip for clip in clips if clip.scene not in held],
        [clip for clip in clips if clip.scene in held],
    )


def halves(held: Sequence[StoredClip]) -> tuple[list[StoredClip], list[StoredClip]]:
    """Return (to choose the best weights by, to judge them by): every other scene each.

    What was chosen by some clips looks better on them than it is. One scene alone serves for both.
    """
    scenes = sorted({clip.scene for clip in held})
    if len(scenes) < 2:
        return list(held), list(held)
    first = set(scenes[::2])
    return (
        [clip for clip in held if clip.scene in first],
        [clip for clip in held if clip.scene not in first],
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
        whole = _mapped(self._folder / clip.name)
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
            # Copies were made of the clip as a whole, sharpened: so it has to be here.
            high = _sharp_cut(whole[frames], top, left, side) if clip.lows else sharpened(high)
        if clip.lows:
            name = clip.lows[int(chance.integers(len(clip.lows)))]
            stored = _mapped(self._folder / name)
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


def _mapped(file: Path) -> NDArray[np.uint8]:
    # NumPy parses its files' headers as Python, which two threads cannot do at once: now and then
    # Python 3.11 ends one in a SystemError, "AST constructor recursion depth mismatch".
    with _PARSING:
        mapped: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    return mapped


def _cut(stored: NDArray[np.uint8], top: int, left: int, side: int) -> Tensor:
    part = np.array(stored[..., top : top + side, left : left + side])
    return torch.from_numpy(part).float() / 255


def _sharp_cut(stored: NDArray[np.uint8], top: int, left: int, side: int) -> Tensor:
    """Cut out of what is sharpened as a whole; only what reaches the part is read."""
    y, x = max(top - _REACH, 0), max(left - _REACH, 0)
    bottom, right = top + side + _REACH, left + side + _REACH
    around = np.array(stored[..., y:bottom, x:right])
    sharp = sharpened(torch.from_numpy(around).float() / 255)
    return sharp[..., top - y : top - y + side, left - x : left - x + side]


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
