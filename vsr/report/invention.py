"""What of a result its source does not say: the high band that a network made up.

The classical enlargement, made consistent with the source, is all that the source can tell about
the larger picture. What a result has beyond it, and what vanishes when both are made smaller again,
nobody saw: it is invented. That may look right, and may even be right; no map can tell.

Where a network guesses is another question. A classical enlargement of the mirrored picture is the
mirror of its enlargement; a network decides anew, and where the picture leaves it a choice it
chooses otherwise. That agrees better with where a result is wrong, above all where the source is
compressed or noisy (docs/guide/invented.md has the figures), and costs the network twice more.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.engine.base import Engine
from vsr.events import Progress, Sink, silent
from vsr.media.read.reader import read_frames
from vsr.media.source.kinds.base import Source
from vsr.options import ColourOptions
from vsr.quality.pairs import FramePairs, seconds
from vsr.report.moments import luma_of_frame
from vsr.stages.colour.convert import luma
from vsr.stages.consistency import classical_enlargement, high_band
from vsr.stages.device.tiles import infer

_AROUND = 4  # source pixels across, over which energy is summed
_NOISE = (2 / 255) ** 2  # energy that nobody sees
DOUBTFUL = 8 / 255  # mean difference that is much; one or two pixels in a hundred have as much


@dataclass(frozen=True, kw_only=True, eq=False)
class Invention:
    """What was invented, where, and how much of the detail it is."""

    rms: Tensor  # (H, W) float, of luma, 0..1: how strong it is around each pixel
    share: float  # 0..1, of the energy of all local contrast


def invention(source: Tensor, result: Tensor, scale: tuple[float, float]) -> Invention:
    """Compare luma (1, 1, h, w) of the source with (1, 1, H, W) of the result, both 0..1.

    Energy is that of the high band: what the size of the source cannot show.
    """
    small, size = (source.shape[3], source.shape[2]), (result.shape[3], result.shape[2])
    classical = classical_enlargement(source, size, scale)
    high = high_band(result - classical, small, scale)
    around = max(round(_AROUND * max(scale)) | 1, 3)
    energy = _mean(high.square(), around)
    mean = _mean(classical, around)
    contrast = (_mean(classical.square(), around) - mean.square()).clamp(min=0)
    share = energy.sum() / (energy + contrast + _NOISE).sum()
    return Invention(rms=energy.sqrt()[0, 0], share=float(share))


@torch.inference_mode()
def invented_shares(
    films: tuple[Source, Source], colour: ColourOptions, *, align: bool, sink: Sink
) -> tuple[list[float], list[float]] | None:
    """Return (seconds, share of the detail that is invented) of all frames of source and result.

    `align`: the first frames of both belong together, whatever their times. None where nothing was
    enlarged. Raises InputError.
    """
    sides = [(film.video.width, film.video.height) for film in films]
    if sides[1][0] <= sides[0][0] or sides[1][1] <= sides[0][1]:
        return None
    read = [
        read_frames(film, own, sink=silent)
        for film, own in zip(films, (colour, ColourOptions()), strict=True)
    ]
    times, shares = list[float](), list[float]()
    with closing(read[0]), closing(read[1]):
        for before, after in FramePairs(read[0], read[1], align=align):
            scale = (after.width / before.width, after.height / before.height)
            found = invention(luma_of_frame(before), luma_of_frame(after), scale)
            times.append(float(seconds(before) - films[0].begin))
            shares.append(found.share)
            sink(Progress(frames=len(times)))
    return times, shares


@torch.inference_mode()
def doubt(engine: Engine, source: Tensor) -> Tensor | None:
    """Map (1, 3, h, w) RGB, 0..1 -> (scale * h, scale * w): mean difference of luma, 0..1, around
    each pixel, between what the engine draws of it and of its mirror image.

    None where it overflows.
    """
    given = source.to(engine.device, engine.dtype)
    drawn, mirrored = (infer(engine, one, tile=0, overlap=0) for one in (given, given.flip(3)))
    apart = luma(drawn.float() - mirrored.float().flip(3)).abs()
    if not bool(apart.isfinite().all()):
        return None
    return _mean(apart, max(_AROUND * engine.scale | 1, 3))[0, 0].cpu()


def _mean(x: Tensor, side: int) -> Tensor:
    """Return the mean of each pixel's surroundings, `side` pixels square; edges repeat."""
    half = side // 2
    for padding, kernel in (((half, half, 0, 0), (1, side)), ((0, 0, half, half), (side, 1))):
        x = F.avg_pool2d(F.pad(x, padding, mode="replicate"), kernel, stride=1)
    return x


# Stops of the heat map: nothing, violet, orange, yellow; (R, G, B, A).
_STOPS = ((110, 40, 190, 0), (150, 40, 180, 190), (245, 110, 30, 225), (255, 240, 120, 240))
_COARSER = 4  # pixels of the result in one of the map, each way
_HOTTEST = 16 / 255  # strength of the last


def heat(strength: Tensor, hottest: float = _HOTTEST) -> Tensor:
    """Map `rms`, or a part of it, (H, W) -> (H / 4, W / 4, 4) uint8 RGBA, to be laid over it.

    `hottest`: the strength of the last colour.

    It is smooth, so that a quarter of each side shows all of it.

    Measured against the truth, films made smaller and enlarged again, that agrees better with the
    error than what is normalised by local contrast (rank correlation 0.56 and 0.09 with
    animevideov3, 0.79 and 0.53 with x4plus).
    """
    height, width = (max(side // _COARSER, 1) for side in strength.shape)
    strength = F.adaptive_avg_pool2d(strength[None], (height, width))[0]
    strength = (strength / hottest).clamp(0, 1)
    stops = torch.tensor(_STOPS, dtype=torch.float32)
    place = strength * (len(_STOPS) - 1)
    low = place.floor().clamp(max=len(_STOPS) - 2)
    part = (place - low)[..., None]
    index = low.long()
    return (stops[index] * (1 - part) + stops[index + 1] * part).round().byte()
