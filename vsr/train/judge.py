"""How good a network is on what was held out, before it is anybody's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.errors import FfmpegError, Stopped
from vsr.frame import Colour, Matrix, Range
from vsr.media.format.contact_sheet import write_png
from vsr.media.vmaf import VmafV1
from vsr.nets.network import Network
from vsr.nets.store import OWN_COLOURS
from vsr.stages.colour.convert import from_rgb
from vsr.stages.colour.drift_correction import correct_drift
from vsr.train.checkpoint import write_weights
from vsr.train.data import StoredClip, mixed
from vsr.train.degrade.kernels import sharpened
from vsr.train.degrade.pipeline import degrade
from vsr.train.degrade.settings import Damage
from vsr.train.film import codes

_LIMITED = Colour(matrix=Matrix.BT709, range=Range.LIMITED)
BETTER = 0.02  # dB that count as better
_STRIP = 4  # pairs that a strip of samples shows


@dataclass(frozen=True, kw_only=True)
class JudgedClip:
    """A clip and what it looks like when damaged, (T, 3, H, W) uint8."""

    high: Tensor
    low: Tensor


@dataclass(frozen=True, kw_only=True)
class HeldOutScore:
    """On held-out scenes."""

    psnr: float  # dB
    vmaf: float  # not a number where no ffmpeg has libvmaf

    def __str__(self) -> str:
        judged = "" if math.isnan(self.vmaf) else f", VMAF {self.vmaf:.1f}"
        return f"PSNR {self.psnr:.2f} dB{judged}"


def held_pairs(
    folder: Path, clips: Iterable[StoredClip], damage: Damage, seed: int, *, sharpen: bool = False
) -> list[JudgedClip]:
    """Return the same in every run: each clip with its first damaged copy, or with one that is
    made. `sharpen`: the clips, as what is learnt from is.
    """
    pairs = []
    for number, clip in enumerate(clips):
        high = torch.from_numpy(np.load(folder / clip.name))
        if sharpen:
            high = codes(sharpened(high.float() / 255))
        if clip.lows:
            low = torch.from_numpy(np.load(folder / clip.lows[0]))
        else:
            made = degrade(high[None].float() / 255, [mixed(seed, 3, number)], damage)
            low = codes(made[0])
        pairs.append(JudgedClip(high=high, low=low))
    return pairs


def enlarge(net: nn.Module, low: Tensor, *, keep_colours: bool = True) -> Tensor:
    """Map (T, 3, h, w) uint8 -> (T, 3, H, W) float in 0..1, as `vsr upscale` would, frame by
    frame.
    """
    device = next(net.parameters()).device
    done = []
    with torch.inference_mode():
        for picture in low:
            x = picture[None].to(device).float() / 255
            # As there: borders that repeat, which the network would fill with black.
            edge = 4
            big = net(F.pad(x, (edge,) * 4, mode="replicate")).float()
            cut = edge * (big.shape[3] // (x.shape[3] + 2 * edge))
            big = big[..., cut:-cut, cut:-cut].contiguous()
            done.append((correct_drift(big, x) if keep_colours else big).clamp(0, 1).cpu())
    return torch.cat(done)


def psnr(found: Tensor, high: Tensor) -> float:
    """Return mean over the frames, in dB, of RGB rounded to 8 bits."""
    error = (codes(found).float() - high.float()).square().mean((1, 2, 3)) / 255**2
    return float((-10 * error.clamp(min=1e-10).log10()).mean())


def measured(net: nn.Module, pairs: Sequence[JudgedClip], *, keep_colours: bool = True) -> float:
    """Return mean PSNR of the pairs' first frames, in dB; not a number if there are none."""
    net.eval()
    values = [
        psnr(enlarge(net, pair.low[:1], keep_colours=keep_colours), pair.high[:1]) for pair in pairs
    ]
    net.train()
    return float(np.mean(values)) if values else float("nan")


def vmaf(found: Sequence[Tensor], pairs: Sequence[JudgedClip]) -> float:
    """Return mean VMAF v1 of pictures in 0..1 against their pairs' clean ones.

    Not VMAF v0.6.1, to which edges that are sharpened too much are better than clean ones: it
    would judge a network that was taught to undo halos by how many it left. Raises FfmpegError.
    """
    values: list[float] = []
    for pictures, pair in zip(found, pairs, strict=True):
        height, width = pair.high.shape[2:]
        with VmafV1(width=width, height=height) as meter:
            for mine, high in zip(pictures, pair.high, strict=True):
                reference, output = (
                    [plane[0] for plane in from_rgb(x[None], VmafV1.layout, _LIMITED)]
                    for x in (high.float() / 255, codes(mine).float() / 255)
                )
                meter.add_planes(reference, output)
            values += meter.finish()
    return float(np.mean(values))


def strip(path: Path, columns: Sequence[Sequence[Tensor]]) -> None:
    """Write pictures (3, H, W) uint8 in columns: damaged, before, after, clean. OutputError."""
    size = columns[-1][0].shape[1:]
    rows = [
        torch.cat([
            F.interpolate(picture[None].float(), size=size, mode="nearest")[0]
            for picture in row
        ], 2)
        for row in list(zip(*columns, strict=True))[:_STRIP]
        if all(picture.shape[0] == 3 for picture in row)
    ]  # fmt: skip
    write_png(path, torch.cat(rows, 1).byte().permute(1, 2, 0).numpy())


def score_of(
    network: Network,
    pairs: list[JudgedClip],
    stop: Callable[[], bool],
    *,
    keep_colours: bool = True,
) -> HeldOutScore:
    """Return how a network does on held-out scenes. Raises Stopped where `stop` asks for it."""
    network.eval()
    found = []
    for pair in pairs:
        if stop():
            raise Stopped("stopped; the same command goes on")
        found.append(enlarge(network, pair.low, keep_colours=keep_colours))
    value = sum(psnr(x, pair.high) for x, pair in zip(found, pairs, strict=True)) / len(pairs)
    try:
        return HeldOutScore(psnr=value, vmaf=vmaf(found, pairs))
    except FfmpegError:
        return HeldOutScore(psnr=value, vmaf=math.nan)


def settle_colours(target: Path, network: Network, pairs: list[JudgedClip]) -> bool:
    """Return whether a network is to keep its own colours, and have its file say so.

    Where they are closer to the truth than what brings them back to those of the damaged picture,
    as after a tape that smears them. Raises OutputError.
    """
    own, corrected = (measured(network, pairs, keep_colours=keep) for keep in (False, True))
    if own < corrected + BETTER:
        return False
    with safe_open(target, "pt") as file:
        notes = file.metadata()
    write_weights(target, load_file(target), {**notes, "colours": OWN_COLOURS})
    return True


def before_after(
    path: Path, pairs: list[JudgedClip], networks: Sequence[tuple[Network, bool]]
) -> None:
    """Write a strip of four clips: damaged, by each of `networks`, clean. Raises OutputError.

    `networks`: and whether it keeps its own colours.
    """
    shown = pairs[:4]
    columns = [[pair.low[0] for pair in shown]]
    columns += [
        [codes(enlarge(network, pair.low[:1], keep_colours=not own))[0] for pair in shown]
        for network, own in networks
    ]
    columns.append([pair.high[0] for pair in shown])
    strip(path, columns)
