"""Clips with a known truth: real pictures at full resolution, moved in known ways, made worse.

The truth of a clip is (T, H, W, 3) uint8 RGB. Where its motion was made here, `grids` says where
each pixel of a frame was in the frame before; where a part of it stands still, `still` says which.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Pictures = NDArray[np.uint8]  # (T, H, W, 3) RGB

WIDTH, HEIGHT = 512, 320  # of the truth; a crop, so that its details are the camera's
FRAMES = 14


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A truth and what is known of it."""

    name: str
    truth: Pictures
    grids: list[Tensor] = field(default_factory=list)  # T - 1 of (H, W, 2), for grid_sample
    still: NDArray[np.bool_] | None = None  # (T - 1, H, W): did not change since the frame before
    uncovered: NDArray[np.bool_] | None = None  # (T, H, W): seen nowhere in a frame close by
    breaks: tuple[int, ...] = ()  # frames that nothing before them has to do with


@dataclass(frozen=True, kw_only=True)
class Damage:
    """How a source came to look bad. Noise is in code values, at the low resolution."""

    name: str
    crf: int | None = None  # of H.264, medium
    noise: float = 0.0  # standard deviation; white
    grain: float = 0.0  # the same, as large as two pixels


DAMAGES = {
    d.name: d
    for d in (
        Damage(name="clean"),
        Damage(name="crf23", crf=23),
        Damage(name="crf30", crf=30),
        Damage(name="crf36", crf=36),
        Damage(name="noise", crf=17, noise=4.0),
        Damage(name="grain", crf=20, grain=7.0),
    )
}


def read(path: Path, start: float, count: int) -> Pictures:
    """`count` pictures from `start` seconds on."""
    found: list[Pictures] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        container.seek(int(start / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            if frame.time is not None and frame.time >= start - 1e-3:
                found.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
            if len(found) == count:
                break
    return np.stack(found)


def crop(pictures: Pictures, left: int, top: int, width: int, height: int) -> Pictures:
    """That part of each picture."""
    return np.ascontiguousarray(pictures[:, top : top + height, left : left + width])


def tensor_of(pictures: Pictures) -> Tensor:
    """(T, H, W, 3) -> (T, 3, H, W) float, still in code values."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float()


# --- clips ---


def real(path: Path, start: float, corner: tuple[int, int], name: str) -> Clip:
    """As it was filmed; still is what changed by at most two code values, and what is around."""
    whole = read(path, start, FRAMES)
    height, width = min(HEIGHT, whole.shape[1] // 8 * 8), min(WIDTH, whole.shape[2] // 8 * 8)
    truth = crop(whole, *corner, width, height)
    moves = np.abs(np.diff(truth.astype(np.int16), axis=0)).max(-1) > 2
    still = _still(moves)
    return Clip(name=name, truth=truth, still=still if still.mean() > 0.02 else None)


def _still(moves: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(T - 1, H, W) steps: nothing moves for 4 frames, nor within 16 pixels.

    Further off, what a network draws does change with what moves, but hardly.
    """
    wide = F.max_pool2d(torch.from_numpy(moves).float(), 33, stride=1, padding=16).numpy() > 0
    return ~np.stack([wide[max(n - 4, 0) : n + 5].any(0) for n in range(len(wide))])


def moved(picture: Pictures, name: str, path: Sequence[tuple[float, float, float]]) -> Clip:
    """A window over a still (1, h, w, 3): (x, y, magnification) of its centre, for each frame.

    The steps between whole pixels are bicubic.
    """
    height, width = picture.shape[1:3]
    still = torch.from_numpy(picture[0]).permute(2, 0, 1)[None].float()
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    x, y = x - (WIDTH - 1) / 2, y - (HEIGHT - 1) / 2
    frames = []
    for cx, cy, zoom in path:
        at = torch.stack([(x / zoom + cx + 0.5) * 2 / width, (y / zoom + cy + 0.5) * 2 / height], 2)
        found = F.grid_sample(
            still, at[None] - 1, mode="bicubic", padding_mode="border", align_corners=False
        )
        frames.append(found[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy())
    grids = []
    for (cx, cy, zoom), (px, py, before) in zip(path[1:], path[:-1], strict=True):
        where_x = (x / zoom + cx - px) * before + (WIDTH - 1) / 2
        where_y = (y / zoom + cy - py) * before + (HEIGHT - 1) / 2
        grids.append(torch.stack([(where_x + 0.5) * 2 / WIDTH - 1,
                                  (where_y + 0.5) * 2 / HEIGHT - 1], 2))  # fmt: skip
    return Clip(name=name, truth=np.stack(frames), grids=grids)


def frozen(picture: Pictures, name: str, corner: tuple[int, int]) -> Clip:
    """One picture, shown for as long as the clip lasts."""
    truth = np.repeat(crop(picture, *corner, WIDTH, HEIGHT), FRAMES, 0)
    return Clip(name=name, truth=truth, still=np.ones((FRAMES - 1, HEIGHT, WIDTH), bool))


def crossing(back: Pictures, front: Pictures, name: str, step: tuple[int, int]) -> Clip:
    """A round piece of one still moves by `step` a frame over another, which does not."""
    ground = crop(back, 300, 200, WIDTH, HEIGHT)[0]
    piece = crop(front, 500, 250, 160, 160)[0]
    y, x = np.mgrid[:160, :160]
    disc = (x - 79.5) ** 2 + (y - 79.5) ** 2 < 78**2
    truth = np.repeat(ground[None], FRAMES, 0)
    covered = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    for n in range(FRAMES):
        left, top = 60 + step[0] * n, 100 + step[1] * n
        truth[n, top : top + 160, left : left + 160][disc] = piece[disc]
        covered[n, top : top + 160, left : left + 160] = disc
    still = _still(covered[1:] | covered[:-1])
    near = np.stack([covered[max(n - 4, 0) : n + 5].any(0) for n in range(FRAMES)])
    return Clip(name=name, truth=truth, still=still, uncovered=near & ~covered)


def cut(one: Clip, other: Clip, name: str) -> Clip:
    """Half of each."""
    half = FRAMES // 2
    assert one.still is not None
    still = one.still.copy()
    still[half - 1] = False
    truth = np.concatenate([one.truth[:half], other.truth[:half]])
    return Clip(name=name, truth=truth, still=still, breaks=(half,))


def flash(clip: Clip, name: str) -> Clip:
    """One frame of it is far lighter."""
    truth = clip.truth.copy()
    half = FRAMES // 2
    truth[half] = (255 - (255 - truth[half].astype(np.float32)) * 0.4).round().astype(np.uint8)
    assert clip.still is not None
    still = clip.still.copy()
    still[half - 1 : half + 1] = False
    return Clip(name=name, truth=truth, still=still, breaks=(half, half + 1))


def fade(clip: Clip, name: str) -> Clip:
    """To black, evenly, from a quarter of the clip on."""
    gain = np.clip(1 - (np.arange(FRAMES) - FRAMES / 4) / (FRAMES * 0.75), 0, 1)
    truth = (clip.truth * gain[:, None, None, None]).round().astype(np.uint8)
    return Clip(name=name, truth=truth)


# --- damage ---


def worse(truth: Pictures, scale: int, damage: Damage, seed: int = 7) -> Pictures:
    """What a network gets: made smaller by `scale` with antialiasing, noisy, coded."""
    x = tensor_of(truth)
    size = (truth.shape[1] // scale, truth.shape[2] // scale)
    small = F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)
    chance = torch.Generator().manual_seed(seed)
    if damage.noise:
        small += damage.noise * torch.randn(small.shape, generator=chance)
    if damage.grain:
        raw = F.pad(torch.randn(small[:, :1].shape, generator=chance), (1, 1, 1, 1), mode="reflect")
        kernel = torch.tensor([0.5, 1.0, 0.5])
        kernel = kernel.outer(kernel) / kernel.outer(kernel).square().sum().sqrt()
        small += damage.grain * F.conv2d(raw, kernel[None, None])
    pictures = small.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    return pictures if damage.crf is None else np.stack(list(_coded(pictures, damage.crf)))


def _coded(pictures: Pictures, crf: int) -> Iterator[Pictures]:
    memory = io.BytesIO()
    with av.open(memory, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": str(crf)})
        stream.height, stream.width = (2 * math.ceil(side / 2) for side in pictures.shape[1:3])
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    memory.seek(0)
    with av.open(memory, "r") as coded:
        for frame in coded.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
