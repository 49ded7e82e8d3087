"""What a film suffers from, found by doing the same to clean pictures until they look alike.

Codec and quantiser are read from the film. Blur and noise are searched for: clean clips, brought to
the low resolution, are blurred, made noisy and coded, until the power of their luma at each spatial
frequency, and in their flattest parts, is that of the film. So both should be of one kind: scenes
of the same series, or of others like it. All is in pixels of the low resolution.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsr.errors import InputError, VsrError
from vsr.media.format.decoder import loses_nothing
from vsr.media.read.quantiser import mean_quantiser
from vsr.media.source.kinds.base import Source
from vsr.media.source.probe import probe
from vsr.media.write.reencode import reencoded, written
from vsr.train.degrade.jpeg import jpeg
from vsr.train.degrade.kernels import GAUSSIAN, bells, blur
from vsr.train.degrade.pipeline import resized
from vsr.train.film import opened
from vsr.train.scenes import places, take

_CODECS = {"h264": "x264", "hevc": "x265", "mpeg2video": "mpeg2", "mpeg1video": "mpeg2",
           "mpeg4": "mpeg4", "msmpeg4v3": "mpeg4", "vp9": "vp9", "vp8": "vp9",
           "av1": "vp9", "mjpeg": "jpeg"}  # fmt: skip
# Those that no encoder here writes, and what is most like them: blocks of one picture, or of more.
_NEAREST = {
    "dvvideo": "jpeg",
    "prores": "jpeg",
    "dnxhd": "jpeg",
    "mjpegb": "jpeg",
    "wmv1": "mpeg4",
    "wmv2": "mpeg4",
    "wmv3": "mpeg4",
    "vc1": "mpeg4",
    "theora": "mpeg4",
    "h263": "mpeg4",
    "flv1": "mpeg4",
    "msmpeg4v1": "mpeg4",
    "msmpeg4v2": "mpeg4",
    "rv30": "mpeg4",
    "rv40": "mpeg4",
    "svq3": "mpeg4",
    "vp6": "mpeg4",
    "vp6f": "mpeg4",
}
_RAW = ("rawvideo", "wrapped_avframe")
_QUALITIES = {"jpeg": (20.0, 95.0), "mpeg2": (1.0, 31.0), "mpeg4": (1.0, 31.0),
              "vp9": (10.0, 63.0)}  # fmt: skip
_CRF = (10.0, 45.0)
_SIGMAS = (0.0, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5)
_NOISES = (0.0, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 11.0, 15.0, 20.0)
_BLOCK = 32  # pixels a side that a spectrum is taken of
_BANDS = 12
_FITS = 3.0  # dB; above, what was made is not like the film
_FLATTEST = 0.15  # share of the blocks
Point = tuple[float, float, float]  # blur, noise, quality

_CLIPS, _FRAMES, _WINDOW = 6, 4, 160


@dataclass(frozen=True, kw_only=True)
class DamageEstimate:
    """The damage of a film."""

    codec: str | None  # as `vsr.media.write.reencode` calls it; None: it lost nothing
    quality: float  # its crf, or quantiser
    blur: float  # sigma in pixels of the film
    noise: float  # sigma in code values of 0..255, of each of R, G and B, before coding
    distance: float  # between what was made so and the film, in dB; below 1 they are alike
    chroma: str  # 4:2:0 8 bit, as it is coded
    named: str = ""  # the film's codec where another stands in for it, as none writes it here

    def __str__(self) -> str:
        coded = f"{self.codec} at {self.quality:.0f}" if self.codec else "no lossy codec"
        if self.named:
            coded = f"codec {self.named}, which cannot be imitated; in its place {coded}"
        fits = "" if self.distance <= _FITS else "; THIS DOES NOT FIT, below 1 would be alike"
        return (
            f"blur {self.blur:.2f} pixels, noise {self.noise:.1f} of 255, {coded}, {self.chroma}; "
            f"made alike to {self.distance:.1f} dB{fits}"
        )

    def changes(self, scale: int) -> dict[str, Any]:
        """Return changes for `read_damage`: a range around each value, at the low resolution."""
        off = {"share": 0.0}
        still = {"up": 0.0, "down": 0.0, "keep": 1.0, "modes": {"area": 1.0}}
        down = still | {"down": 1.0, "keep": 0.0, "range": [1 / scale, 1 / scale]}
        sigma = [max(self.blur * 0.8 - 0.05, 0.1), self.blur * 1.2 + 0.1]
        codec: dict[str, Any] = off
        jpeg: dict[str, Any] = off
        if self.codec == "jpeg":
            quality = [max(self.quality - 8, 1), min(self.quality + 8, 100)]
            jpeg = {"share": 1.0, "quality": quality}
        elif self.codec is not None:
            low, high = _QUALITIES.get(self.codec, _CRF)
            steps = [max(self.quality - 1.5, low), min(self.quality + 1.5, high)]
            by = 3 / 5 if self.codec == "vp9" else 1.0
            codec = {
                "share": 1.0, "kinds": {self.codec: 1.0}, "quantiser": steps,
                "crf": [step * by for step in steps],
            }  # fmt: skip
        return {
            "scale": scale,
            "first": {"blur": off, "resize": down, "noise": off, "jpeg": off},
            "second": {
                "blur": {"share": 1.0, "sinc": 0.0, "kinds": {"iso": 1.0}, "sizes": [21],
                         "sigma": sigma},
                "resize": still,
                "noise": {"share": 1.0, "gaussian": 1.0, "grey": 0.0,
                          "sigma": [self.noise * 0.7, self.noise * 1.3]},
                "jpeg": jpeg,
            },
            "last": {"sinc": 0.0, "modes": {"area": 1.0}},
            "walk": {"noise": 0.05 * self.noise, "sigma": 0.0},
            "video": {"codec": codec},
        }  # fmt: skip


def estimate(damaged: Path, clean: Path, scale: int) -> DamageEstimate:
    """Return the damage of `damaged`, of which `clean` shows what it might have been, `scale` as
    large.

    Raises InputError where one of them shows nothing to compare.
    """
    source, good = opened(damaged), opened(clean)
    film = _clips(source, _WINDOW, 2 * _BLOCK)
    found = _clips(good, _WINDOW * scale, 2 * _BLOCK * scale)
    lows = [_small(clip.float() / 255, scale) for clip in found]
    want = traits(film)
    name = source.video.codec
    codec = _CODECS.get(name, _NEAREST.get(name))
    if codec is None and name not in _RAW and not loses_nothing(name):
        codec = "mpeg4"
    qp = mean_quantiser(source) if name in _CODECS and codec != "jpeg" else None

    @cache
    def made(sigma: float, noise: float, quality: float) -> float:
        return distance(traits(_worse(lows, sigma, noise, codec, quality)), want)

    def best(point: Point, axis: int, values: Sequence[float]) -> Point:
        def at(value: float) -> Point:
            sigma, noise, quality = point
            return ((value, noise, quality), (sigma, value, quality), (sigma, noise, value))[axis]

        return min(map(at, values), key=lambda one: made(*one))

    point: Point = (0.4, 1.0, float(np.mean(_QUALITIES.get(codec or "", _CRF))))
    for _ in range(2):
        if codec is not None and qp is not None:
            known = _quality_for(_worse(lows, *point[:2], None, 0), codec, qp)
            point = (*point[:2], known)
        elif codec is not None:
            steps = np.linspace(*_QUALITIES.get(codec, _CRF), 6)
            point = best(point, 2, [float(step) for step in steps])
        point = best(best(point, 0, _SIGMAS), 1, _NOISES)
    point = best(best(point, 0, _between(_SIGMAS, point[0])), 1, _between(_NOISES, point[1]))
    sigma, noise, quality = point
    return DamageEstimate(
        codec=codec, quality=quality, blur=sigma, noise=noise, chroma=source.video.layout.name,
        distance=made(*point), named="" if codec is None or name in _CODECS else name,
    )  # fmt: skip


def _clips(source: Source, window: int, least: int) -> list[Tensor]:
    """Return (T, 3, h, w) uint8 from all over a film, of `least` pixels a side. Raises
    InputError.
    """
    starts = places(source, _CLIPS)
    length = _FRAMES if starts != [None] else 1
    taken = [take(source, start, None, length=length, window=window) for start in starts]
    clips = [found.clip for found in taken if found.clip is not None]
    clips = [clip for clip in clips if min(clip.shape[2:]) >= least]
    if not clips:
        raise InputError(
            f"{source.path}: nothing to estimate damage from; it takes scenes with something to "
            f"see in them, of {least} pixels a side"
        )
    return clips


# --- what is compared ---


def traits(clips: Sequence[Tensor]) -> Tensor:
    """Return (2, bands) power of luma in dB at each spatial frequency: all over, and where it is
    flattest.

    `clips`: (T, 3, h, w), uint8 or float in 0..1.
    """
    blocks = torch.cat([_blocks(clip) for clip in clips])
    power = _banded(blocks)
    detail = power[:, 2:].sum(1)
    flat = power[detail.argsort()[: max(int(len(detail) * _FLATTEST), 1)]]
    # Means of decibels: one block with a hard edge would decide about a mean of power.
    return torch.stack([(10 * (x + 0.01).log10()).mean(0) for x in (power, flat)])


def distance(one: Tensor, other: Tensor) -> float:
    """Return the dB by which two films' traits differ, but for how much contrast their scenes
    have.
    """
    rest = one - other
    rest[0] -= rest[0, :3].mean()
    weight = torch.tensor([[1.0], [0.7]])
    return float((rest.square() * weight)[:, 2:].mean().sqrt())


def _blocks(clip: Tensor) -> Tensor:
    """Return (N, 32, 32) luma in code values."""
    x = clip.float() * (1 if clip.dtype == torch.uint8 else 255)
    luma = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    return luma.unfold(1, _BLOCK, _BLOCK).unfold(2, _BLOCK, _BLOCK).reshape(-1, _BLOCK, _BLOCK)


def _banded(blocks: Tensor) -> Tensor:
    """Map (N, 32, 32) -> (N, bands): mean power in rings of the spectrum."""
    window = torch.hann_window(_BLOCK, periodic=False)
    window = window[:, None] * window
    blocks = (blocks - blocks.mean((1, 2), keepdim=True)) * window
    power = torch.fft.fft2(blocks).abs().square() / window.square().sum()
    at = torch.fft.fftfreq(_BLOCK)
    ring = ((at[:, None] ** 2 + at**2).sqrt() * 2 * _BANDS).long().clamp(max=_BANDS - 1).flatten()
    sums = torch.zeros(len(blocks), _BANDS).index_add_(1, ring, power.flatten(1))
    return sums / torch.bincount(ring, minlength=_BANDS)


# --- the search ---


def _worse(
    lows: Sequence[Tensor], sigma: float, noise: float, codec: str | None, quality: float
) -> list[Tensor]:
    """Return the same damage as `Estimate.changes` asks for, with single values."""
    done = []
    for number, low in enumerate(lows):
        x = low
        if sigma:
            x = blur(x, _kernel(sigma).expand(len(x), -1, -1))
        chance = torch.Generator().manual_seed(number)
        x = (x.clamp(0, 1) + noise / 255 * torch.randn(x.shape, generator=chance)).clamp(0, 1)
        if codec == "jpeg":
            x = jpeg(x, torch.full((len(x),), quality))
        elif codec is not None:
            pictures = (x * 255).round().byte().permute(0, 2, 3, 1).numpy()
            coded = reencoded(pictures, codec, quality=quality)
            x = torch.from_numpy(coded).permute(0, 3, 1, 2).float() / 255
        done.append(x)
    return done


def _small(clips: Tensor, scale: int) -> Tensor:
    """Return clips smaller by `scale`, by the filter that `DamageEstimate.changes` asks for."""
    return resized(clips, (clips.shape[2] // scale, clips.shape[3] // scale), "area")


def _kernel(sigma: float) -> Tensor:
    one = torch.ones(1, dtype=torch.float64)
    return bells(
        size=torch.tensor([21]), sigma=sigma * one.expand(1, 2), angle=0 * one, beta=one,
        shape=torch.tensor([GAUSSIAN]),
    ).float()  # fmt: skip


def _quality_for(clips: Sequence[Tensor], codec: str, qp: float) -> float:
    """Return the quality at which that codec quantises these clips as the film is: by halving."""
    low, high = _QUALITIES.get(codec, _CRF)
    with tempfile.TemporaryDirectory(prefix="vsr-like-") as folder:
        for _ in range(5):
            middle = (low + high) / 2
            found = []
            for clip in clips[:4]:
                path = Path(folder) / "clip.nut"
                pictures = (clip * 255).round().byte().permute(0, 2, 3, 1).numpy()
                path.write_bytes(written(pictures, codec, quality=middle))
                if (value := mean_quantiser(probe(path))) is not None:
                    found.append(value)
            if not found:
                raise VsrError(f"{codec}: its decoder does not tell how it was quantised")
            low, high = (middle, high) if float(np.mean(found)) < qp else (low, middle)
    return (low + high) / 2


def _between(values: Sequence[float], value: float) -> list[float]:
    """Return five values from the neighbour on one side to that on the other."""
    at = values.index(value)
    low, high = values[max(at - 1, 0)], values[min(at + 1, len(values) - 1)]
    return [(low + value) / 2, value, (value + high) / 2]


def described(changes: Mapping[str, Any]) -> str:
    """Return the changes as TOML, for a file to keep."""
    lines: list[str] = []

    def table(data: Mapping[str, Any], name: str) -> None:
        flat = {k: v for k, v in data.items() if not isinstance(v, Mapping) or k in _INLINE}
        if name:
            lines.append(f"\n[{name}]")
        lines.extend(f"{key} = {_toml(value)}" for key, value in flat.items())
        for key, value in data.items():
            if key not in flat:
                table(value, f"{name}.{key}" if name else key)

    table(changes, "")
    return "\n".join(lines).strip() + "\n"


_INLINE = frozenset({"kinds", "modes", "profiles"})


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value)
