"""Grain in the picture (`--grain keep`) beside grain that AV1 carries as numbers: size and looks.

    python benchmarks/film_grain.py [CLIP] [--frames 16] [--noise 20]

CLIP gets noise (ffmpeg's, smoothed), and is upscaled once without grain and once with `--grain
keep`, both kept without loss. The second is coded by SVT-AV1 as it is, at several qualities, and
with the encoder's own film grain: it estimates the noise, takes it out (film-grain-denoise=1), and
has the decoder make it anew. Of each, the size of a frame, and:

    grain   deviation of luma's high band from the picture without grain, in code values, as the
            decoder shows it; what was kept without loss has what was wanted
    below   rms of what varies slower than that from the picture without grain: what coding spoilt
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import av
import click
import numpy as np
import torch
from script import run_script
from torch import Tensor
from torch.nn import functional as F

import vsr
from vsr.bench.machine import describe
from vsr.media.ffmpeg import find_ffmpeg

SAMPLE = Path(__file__).parent.parent / "samples" / "bunny.mp4"
_BAND = 5  # pixels a side, over which a mean is taken from the grain
QUALITIES = (20, 26, 32, 38, 44)
STRENGTHS = (8, 16, 30, 50)


def luma(path: Path) -> Tensor:
    """(T, 1, H, W), as the decoder shows it: with grain where the stream says so."""
    with av.open(str(path)) as container:
        frames = [np.asarray(f.to_ndarray(format="gray")) for f in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).float()[:, None]


def bytes_a_frame(path: Path) -> float:
    """Of the packets, without the container."""
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    return sum(sizes) / len(sizes)


def compared(shown: Tensor, calm: Tensor) -> tuple[float, float]:
    """Return (grain, below)."""
    difference = shown - calm
    half = _BAND // 2
    slow = F.avg_pool2d(F.pad(difference, (half,) * 4, mode="replicate"), _BAND, 1)
    return float((difference - slow).std()), float(slow.square().mean().sqrt())


@click.command()
@click.argument("clip", default=SAMPLE, type=click.Path(path_type=Path, exists=True))
@click.option("--frames", default=16, show_default=True)
@click.option("--noise", default=20, show_default=True)
@click.option("--kept", type=click.Path(path_type=Path), help="Keep the upscaled films there.")
def main(*, clip: Path, frames: int, noise: int, kept: Path | None) -> None:
    """Measure one clip."""
    print(describe(torch.device("cpu"), torch.float32))
    with tempfile.TemporaryDirectory() as name:
        folder = kept or Path(name)
        calm, grainy = _upscaled(clip, frames, noise, folder)
        without = luma(calm)
        _row("kept without loss", grainy, without)
        for crf in QUALITIES:
            _row(f"in the picture, crf {crf}", _coded(grainy, Path(name), crf), without)
        for crf in (26, 38):
            for strength in STRENGTHS:
                coded = _coded(grainy, Path(name), crf, strength)
                _row(f"film-grain={strength}, crf {crf}", coded, without)
        _row("no grain, crf 26", _coded(calm, Path(name), 26), without)


def _upscaled(clip: Path, frames: int, noise: int, folder: Path) -> tuple[Path, Path]:
    """Return the film without grain, and with it."""
    source = folder / "src.mkv"
    made = tuple(folder / name for name in ("g0.mkv", "g1.mkv"))
    if not source.exists():
        filters = f"noise=alls={noise}:allf=t:all_seed=1,gblur=sigma=0.6:planes=1"
        subprocess.run(
            [find_ffmpeg(), "-v", "error", "-ss", "1", "-i", str(clip), "-frames:v", str(frames),
             "-an", "-vf", filters, "-c:v", "ffv1", str(source)],
            check=True,
        )  # fmt: skip
    for path, grain in zip(made, (0.0, 1.0), strict=True):
        if not path.exists():
            vsr.upscale(source, path, codec="ffv1", scale=2, grain=grain, consistent="off")
    return made[0], made[1]


def _coded(film: Path, folder: Path, crf: int, strength: int = 0) -> Path:
    out = folder / "coded.mkv"
    grain = [f"svtav1-params=film-grain={strength}:film-grain-denoise=1"] if strength else []
    vsr.upscale(
        film, out, model="bicubic", scale=1, codec="av1", crf=crf, encoder_option=grain,
        overwrite=True, restart=True,
    )  # fmt: skip
    return out


def _row(name: str, film: Path, calm: Tensor) -> None:
    grain, below = compared(luma(film), calm)
    size = bytes_a_frame(film) / 1000
    print(f"{name:28} {size:8.1f} kB a frame  grain {grain:5.2f}  below {below:5.2f}", flush=True)


if __name__ == "__main__":
    run_script(main)
