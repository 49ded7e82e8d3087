"""What video suffers beside blur and noise: edges, chroma, fields, tape, and real encoders."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsr.frame import Matrix, Siting
from vsr.media.write.reencode import reencoded_frames
from vsr.stages.colour.chroma import downsample, upsample
from vsr.stages.colour.convert import luma_weights
from vsr.train.degrade.draws import SampledCodec, SampledTape, SampledVideo
from vsr.train.degrade.kernels import blur_lines, gaussian_line

_SUBSAMPLING = {"c420": (1, 1), "c422": (1, 0), "c411": (2, 0)}
_CRAWL = math.pi / 2  # of the subcarrier's phase, for each pixel; it turns by pi for each line


def damaged(
    runs: Iterable[Tensor], drawn: SampledVideo, *, seed: int, start: int, rate: int
) -> Iterator[Tensor]:
    """Map the runs (T, 3, H, W) in 0..1 of a clip or film -> its frames, clipped, in runs of any
    length.

    How it is cut into runs changes nothing. `start`: the number of the first frame.
    """
    clear = (run if drawn.halo is None else halo(run, *drawn.halo) for run in runs)
    fields = clear if drawn.interlace is None else _interlaced(clear, drawn.interlace)
    worn = _worn(fields, drawn, seed, start)
    return worn if drawn.codec is None else coded(worn, drawn.codec, rate=rate)


def _interlaced(runs: Iterable[Tensor], strength: float) -> Iterator[Tensor]:
    """Hold each run back until the next one is there, whose first frame its last one mixes with."""
    before: Tensor | None = None
    for run in runs:
        if before is not None:
            yield combed(before, strength, ahead=run[:1])
        before = run
    if before is not None:
        yield combed(before, strength)


def _worn(runs: Iterable[Tensor], drawn: SampledVideo, seed: int, start: int) -> Iterator[Tensor]:
    """Apply what looks at no other frame."""
    for run in runs:
        worn = run if drawn.tape is None else tape(run, drawn.tape, seed=seed, start=start)
        start += len(run)
        yield (worn if drawn.chroma is None else thinned(worn, *drawn.chroma)).clamp(0, 1)


def to_ycc(rgb: Tensor) -> Tensor:
    """Map (N, 3, H, W) RGB -> Y', Cb, Cr of BT.601; chroma about 0, in -0.5..0.5."""
    kr, kb = luma_weights(Matrix.SMPTE170M)
    red, green, blue = rgb.unbind(1)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    return torch.stack([luma, (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)], 1)


def to_rgb(ycc: Tensor) -> Tensor:
    """Return the inverse of `to_ycc`."""
    kr, kb = luma_weights(Matrix.SMPTE170M)
    luma, cb, cr = ycc.unbind(1)
    red, blue = luma + (2 - 2 * kr) * cr, luma + (2 - 2 * kb) * cb
    return torch.stack([red, (luma - kr * red - kb * blue) / (1 - kr - kb), blue], 1)


def halo(clip: Tensor, strength: float, sigma: float) -> Tensor:
    """Let edges overshoot, as after too much sharpening."""
    line = gaussian_line(sigma)
    soft = blur_lines(blur_lines(clip, line, dim=3), line, dim=2)
    return clip + strength * (clip - soft)


def thinned(clip: Tensor, kind: str, misplaced: bool) -> Tensor:
    """Subsample chroma and bring it back; `misplaced`: half a luma sample or more beside."""
    ycc = to_ycc(clip)
    height, width = ycc.shape[2:]
    sub = _SUBSAMPLING[kind]
    read = Siting.TOPLEFT if misplaced else Siting.LEFT
    made = Siting.CENTER if misplaced else Siting.LEFT
    planes = [
        upsample(
            downsample(plane, sub=sub, siting=made), width=width, height=height, sub=sub,
            siting=read,
        )
        for plane in ycc[:, 1:].unbind(1)
    ]  # fmt: skip
    return to_rgb(torch.stack([ycc[:, 0], *planes], 1))


def combed(clip: Tensor, strength: float, ahead: Tensor | None = None) -> Tensor:
    """Mix every second line with the same of the next frame; that of the last is `ahead`
    (1, 3, H, W), or there is none.
    """
    following = torch.cat([clip[1:], clip[-1:] if ahead is None else ahead])
    result = clip.clone()
    result[:, :, 1::2] = clip[:, :, 1::2].lerp(following[:, :, 1::2], strength)
    return result


def tape(clip: Tensor, worn: SampledTape, *, seed: int, start: int) -> Tensor:
    """Return what VHS makes of a clip, line by line."""
    ycc = to_ycc(clip)
    luma = blur_lines(ycc[:, :1], gaussian_line(worn.luma), dim=3)
    chroma = blur_lines(ycc[:, 1:], gaussian_line(worn.bleed), dim=3)
    chroma = _shifted(chroma, torch.full(chroma.shape[:1] + chroma.shape[2:3], worn.delay))
    luma = luma + worn.crawl * _dots(chroma, start)
    return _shifted(to_rgb(torch.cat([luma, chroma], 1)), _lines_off(clip, worn, seed, start))


def _dots(chroma: Tensor, start: int) -> Tensor:
    """Return (T, 1, H, W): the colour carrier that is left in luma; its dots crawl upwards."""
    count, _, height, width = chroma.shape
    x, y, t = torch.arange(width), torch.arange(height), torch.arange(start, start + count)
    phase = _CRAWL * x + math.pi * (y[:, None] + t[:, None, None])
    phase = phase.to(chroma)[:, None]
    return chroma[:, :1] * phase.sin() + chroma[:, 1:] * phase.cos()


def _lines_off(clip: Tensor, worn: SampledTape, seed: int, start: int) -> Tensor:
    """Return (T, H): pixels that each line is late; those that the head switch tears most at the
    end.
    """
    rows = []
    for frame in range(start, start + len(clip)):
        chance = torch.Generator().manual_seed((seed * 1_000_003 + frame) % 2**63)
        off = worn.jitter * torch.randn(clip.shape[2], generator=chance)
        torn = min(worn.switching, clip.shape[2])
        if torn:
            off[-torn:] += torch.linspace(1, 4 * torn, torn) * (
                0.5 + torch.rand(1, generator=chance)
            )
        rows.append(off)
    return torch.stack(rows)


def _shifted(clip: Tensor, late: Tensor) -> Tensor:
    """Return (T, C, H, W) with each line moved to the right by (T, H) pixels, linearly; edges
    repeat.
    """
    count, channels, height, width = clip.shape
    at = torch.arange(width) - late[..., None]
    at = at.clamp(0, width - 1).to(clip.device)
    left = at.floor().long()
    share = (at - left)[:, None].to(clip)
    left = left[:, None].expand(count, channels, height, width)
    right = (left + 1).clamp(max=width - 1)
    return clip.gather(3, left).lerp(clip.gather(3, right), share)


def coded(
    runs: Iterable[Tensor], drawn: SampledCodec, *, rate: int
) -> Generator[Tensor, None, None]:
    """Put a clip or film through one real encoder, on the CPU; yields runs of one frame."""
    device = torch.device("cpu")

    def pictures() -> Iterator[NDArray[np.uint8]]:
        nonlocal device
        for run in runs:
            device = run.device
            yield from (run * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()

    for found in reencoded_frames(
        pictures(), drawn.codec, quality=drawn.quality, profile=drawn.profile, rate=rate
    ):
        yield torch.from_numpy(found).to(device).permute(2, 0, 1)[None].float() / 255
