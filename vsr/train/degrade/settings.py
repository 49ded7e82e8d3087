"""The settings of the damage, as frozen dataclasses that are read from a TOML file."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr.errors import InputError, UsageError
from vsr.options import from_dict

Range = tuple[float, float]


DAMAGE_FILE = Path(__file__).parent / "damage.toml"


class _Checked:
    """Refuses ranges that run backwards, and probabilities that are none."""

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, entry.name)
            if isinstance(value, tuple) and len(value) == 2 and value[0] > value[1]:
                raise UsageError(f"{entry.name} {list(value)}: the first is above the second")
            if entry.name in _PROBABILITIES and not 0 <= value <= 1:
                raise UsageError(f"{entry.name} {value:g}: a probability lies between 0 and 1")


_PROBABILITIES = frozenset({"share", "sinc", "gaussian", "grey", "jpeg_last", "misplaced"})


class Shares:
    """Kinds and their probabilities, which make 1."""

    def __post_init__(self) -> None:
        values = self.values()
        if min(values) < 0 or abs(sum(values) - 1) > 1e-6:
            raise UsageError(
                f"{', '.join(self.names())}: shares of these make 1, not {sum(values):g}"
            )

    def names(self) -> tuple[str, ...]:
        """Return the names of the kinds."""
        return tuple(entry.name for entry in dataclasses.fields(self))  # type: ignore[arg-type]

    def values(self) -> tuple[float, ...]:
        """Return the probabilities, in the order of the names."""
        return tuple(getattr(self, name) for name in self.names())


@dataclass(frozen=True, kw_only=True)
class Kinds(Shares):
    """Of blur kernels."""

    iso: float
    aniso: float
    generalized_iso: float
    generalized_aniso: float
    plateau_iso: float
    plateau_aniso: float


@dataclass(frozen=True, kw_only=True)
class Modes(Shares):
    """Of PyTorch's interpolation, none of them antialiased."""

    area: float
    bilinear: float
    bicubic: float


@dataclass(frozen=True, kw_only=True)
class Blur(_Checked):
    """How often, how large and of what kind blur is."""

    share: float
    sizes: tuple[int, ...]
    sinc: float
    kinds: Kinds
    sigma: Range
    beta: Range
    plateau: Range
    angle: Range

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_sizes(self.sizes)


@dataclass(frozen=True, kw_only=True)
class Resize(_Checked):
    """How often a picture grows, shrinks or stays, how far, and by which filter."""

    up: float
    down: float
    keep: float
    range: Range
    modes: Modes

    def __post_init__(self) -> None:
        super().__post_init__()
        if abs(self.up + self.down + self.keep - 1) > 1e-6:
            raise UsageError("up, down, keep: shares of these make 1")
        if self.range[0] <= 0:
            raise UsageError(f"range {list(self.range)}: factors are above 0")


@dataclass(frozen=True, kw_only=True)
class Noise(_Checked):
    """How often there is noise, of which kind, how strong, and how often it is grey."""

    share: float
    gaussian: float
    sigma: Range
    poisson: Range
    grey: float


@dataclass(frozen=True, kw_only=True)
class Jpeg(_Checked):
    """How often JPEG comes in, and at which quality."""

    share: float
    quality: Range


@dataclass(frozen=True, kw_only=True)
class StageDamage:
    """One of the two stages."""

    blur: Blur
    resize: Resize
    noise: Noise
    jpeg: Jpeg


@dataclass(frozen=True, kw_only=True)
class Last(_Checked):
    """How the second stage ends."""

    sinc: float
    sizes: tuple[int, ...]
    jpeg_last: float
    modes: Modes

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_sizes(self.sizes)


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How far parameters walk from frame to frame."""

    sigma: float
    beta: float
    noise: float
    quality: float


@dataclass(frozen=True, kw_only=True)
class Halo(_Checked):
    """How often edges overshoot, and how far."""

    share: float
    strength: Range
    sigma: Range


@dataclass(frozen=True, kw_only=True)
class ChromaKinds(Shares):
    """The shares of chroma subsamplings."""

    c420: float
    c422: float
    c411: float


@dataclass(frozen=True, kw_only=True)
class Chroma(_Checked):
    """How often chroma is thinned out, how, and how often it is misplaced."""

    share: float
    kinds: ChromaKinds
    misplaced: float


@dataclass(frozen=True, kw_only=True)
class Interlace(_Checked):
    """How often combing is left, and how much."""

    share: float
    strength: Range


@dataclass(frozen=True, kw_only=True)
class Tape(_Checked):
    """How often a clip was on VHS, and what that has done."""

    share: float
    luma: Range
    bleed: Range
    delay: Range
    jitter: Range
    switching: tuple[int, int]
    crawl: Range


@dataclass(frozen=True, kw_only=True)
class CodecKinds(Shares):
    """The shares of encoders."""

    x264: float
    x265: float
    mpeg2: float
    mpeg4: float
    vp9: float


@dataclass(frozen=True, kw_only=True)
class Profiles(Shares):
    """The shares of H.264's profiles."""

    baseline: float
    main: float
    high: float


@dataclass(frozen=True, kw_only=True)
class CodecDamage(_Checked):
    """How often a clip is encoded, by what, and how hard that presses."""

    share: float
    kinds: CodecKinds
    crf: Range
    quantiser: Range
    profiles: Profiles
    rate: int


@dataclass(frozen=True, kw_only=True)
class VideoDamage:
    """What video suffers besides the two stages."""

    halo: Halo
    chroma: Chroma
    interlace: Interlace
    tape: Tape
    codec: CodecDamage


@dataclass(frozen=True, kw_only=True)
class Damage:
    """Every distribution that damage is drawn from."""

    scale: int
    per_sample: bool
    pool: int
    first: StageDamage
    second: StageDamage
    last: Last
    walk: Walk
    video: VideoDamage

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= 8:
            raise UsageError(f"scale {self.scale}: must lie between 1 and 8")


def _check_sizes(sizes: tuple[int, ...]) -> None:
    if not sizes or any(size % 2 == 0 or not 3 <= size <= 21 for size in sizes):
        raise UsageError(f"sizes {list(sizes)}: kernels have odd sides from 3 to 21")


def read_damage(path: Path | None = None, changes: Mapping[str, Any] | None = None) -> Damage:
    """Return the damage of a TOML file, over the reference's; then `changes`, over both.

    Raises InputError for a file that is no TOML, UsageError for what does not belong in it.
    """
    data = tomllib.loads(DAMAGE_FILE.read_text(encoding="utf-8"))
    try:
        if path is not None:
            data = merged(data, tomllib.loads(path.read_text(encoding="utf-8")))
        return from_dict(Damage, merged(data, changes or {}))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read as TOML ({error})") from error
    except UsageError as error:
        raise UsageError(f"{path or 'damage'}: {error}") from error


# A list of kinds is one thing: who names some of it means these alone.
_WHOLE = frozenset({"kinds", "modes", "profiles"})


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with what `over` says in its place; kinds that `over` leaves out do not
    remain.
    """
    result = dict(base)
    for name, value in over.items():
        below = result.get(name)
        if not isinstance(value, Mapping) or not isinstance(below, Mapping):
            result[name] = value
        elif name in _WHOLE:
            result[name] = dict.fromkeys(below, 0.0) | dict(value)
        else:
            result[name] = merged(below, value)
    return result
