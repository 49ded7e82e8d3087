"""A picture through a network, whole or in tiles, with edges that leave no border."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.engine.base import BatchesMixedSizes, Engine

# Source pixels that repeat the edge around the whole picture. The networks pad with
# zeros, which shows as a rim of up to 48/255 on saturated flat colours (measured, 6B);
# behind 4 repeated pixels 2.7/255 of it are left, for 2 % more work at 720p.
EDGE = 4

Area = tuple[int, int, int, int]  # of a picture: top, bottom, left, right


def infer(engine: Engine, rgb: Tensor, *, tile: int, overlap: int) -> Tensor:
    """Map (N, 3, H, W) -> (N, 3, scale * H, scale * W), in the engine's dtype.

    `tile`: side in source pixels, 0 for the whole picture at once. Tiles see
    `overlap` pixels around them; from the network's receptive radius on, the
    result is that of the whole picture.
    """
    if engine.receptive_radius == 0:
        return engine(rgb)
    height, width = rgb.shape[2:]
    step, scale = engine.multiple, engine.scale
    if tile == 0:
        padded, edge = _padded(rgb, step)
        out = engine(padded)
        return out[..., edge * scale :, edge * scale :][..., : height * scale, : width * scale]
    out = torch.empty(
        rgb.shape[0], 3, height * scale, width * scale, dtype=rgb.dtype, device=rgb.device
    )
    areas = [
        (top, bottom, left, right)
        for top, bottom in _spans(height, tile, step)
        for left, right in _spans(width, tile, step)
    ]
    if engine.sees_whole:
        return _blended(engine, rgb, areas, overlap, out.zero_())
    for area, piece in zip(areas, infer_areas(engine, rgb, areas, overlap), strict=True):
        top, bottom, left, right = (side * scale for side in area)
        out[:, :, top:bottom, left:right] = piece
    return out


def _blended(
    engine: Engine, rgb: Tensor, areas: Sequence[Area], overlap: int, out: Tensor
) -> Tensor:
    """Add to `out` each area with a rim around it, in which it goes over into its neighbours.

    Half of the overlap is that rim; the network sees all of it. The sides of an area are longer
    than two rims, or the shares would not come to one.
    """
    scale, step = engine.scale, engine.multiple
    height, width = rgb.shape[2:]
    least = min(side for t, b, left, r in areas for side in (b - t, r - left))
    rim = min(overlap, least) // (2 * step) * step
    grown = [
        (max(t - rim, 0), min(b + rim, height), max(left - rim, 0), min(r + rim, width))
        for t, b, left, r in areas
    ]
    pieces = infer_areas(engine, rgb, grown, overlap - rim)
    for (t, b, left, r), piece in zip(grown, pieces, strict=True):
        down = _shares(t, b, height, 2 * rim * scale, scale).to(piece)
        across = _shares(left, r, width, 2 * rim * scale, scale).to(piece)
        target = out[..., t * scale : b * scale, left * scale : r * scale]
        target += piece * down[:, None] * across
    return out


def _shares(start: int, stop: int, size: int, ramp: int, scale: int) -> Tensor:
    """Return the share of an area in each of its result's pixels along one side."""
    shares = torch.ones((stop - start) * scale)
    if ramp:
        rising = (torch.arange(ramp) + 0.5) / ramp
        if start > 0:
            shares[:ramp] *= rising
        if stop < size:
            shares[-ramp:] *= rising.flip(0)
    return shares


def infer_areas(
    engine: Engine, rgb: Tensor, areas: Sequence[Area], overlap: int, *, together: bool = False
) -> Iterator[Tensor]:
    """Yield what `infer` makes of each area of the picture; the network sees `overlap` around it.

    `together`: as many at once as the engine can, in the memory of the whole picture.
    """
    step, scale = engine.multiple, engine.scale
    padded, edge = _padded(rgb, step)
    spans = [
        (
            _grown(top + edge, bottom + edge, overlap, padded.shape[2], step),
            _grown(left + edge, right + edge, overlap, padded.shape[3], step),
        )
        for top, bottom, left, right in areas
    ]
    given = [padded[:, :, y0:y1, x0:x1] for (y0, y1), (x0, x1) in spans]
    if together and isinstance(engine, BatchesMixedSizes) and len(padded) == 1:
        upscaled = _infer_together(engine, given, padded.shape[2] * padded.shape[3])
    else:
        upscaled = (engine(one) for one in given)
    for area, ((y0, _), (x0, _)), piece in zip(areas, spans, upscaled, strict=True):
        top, bottom, left, right = area
        y, x = (top + edge - y0) * scale, (left + edge - x0) * scale
        yield piece[:, :, y : y + (bottom - top) * scale, x : x + (right - left) * scale]


def _infer_together(
    engine: BatchesMixedSizes, given: list[Tensor], max_pixels: int
) -> Iterator[Tensor]:
    """Upscale in as few calls as `max_pixels` allow; none of the pictures has more."""
    max_pixels = min(max_pixels, engine.max_pixels)
    group: list[Tensor] = []
    pixels = 0
    for one in given:
        own = one.shape[2] * one.shape[3]
        if group and pixels + own > max_pixels:
            yield from engine.infer_many(group, max_pixels)
            group, pixels = [], 0
        group.append(one)
        pixels += own
    if group:
        yield from engine.infer_many(group, max_pixels)


def _padded(rgb: Tensor, step: int) -> tuple[Tensor, int]:
    """Repeat the edge, to the network's multiple on all sides; and return how wide."""
    edge = -(-EDGE // step) * step
    right, bottom = edge + (-rgb.shape[3] % step), edge + (-rgb.shape[2] % step)
    return F.pad(rgb, (edge, right, edge, bottom), mode="replicate"), edge


def _spans(size: int, tile: int, step: int) -> Iterator[tuple[int, int]]:
    """Cut `size` into equal parts of at most `tile` (rounded to `step`)."""
    count = -(-size // max(tile, step))
    cuts = [round(size * i / count / step) * step for i in range(count)] + [size]
    return ((a, b) for a, b in pairwise(cuts) if b > a)


def _grown(start: int, stop: int, overlap: int, size: int, step: int) -> tuple[int, int]:
    """Return the span with its overlap, inside 0..size, on multiples of `step`."""
    return max(start - overlap, 0) // step * step, min(-(-(stop + overlap) // step) * step, size)
