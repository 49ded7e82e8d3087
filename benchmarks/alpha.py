"""Whether a network or a resizer draws alpha better, judged by the sharp original.

    python benchmarks/alpha.py [--model realesr-animevideov3 --model ...]

Masks are drawn large, reduced by the scale (area) and rounded to 8 bit, as a small picture has
them; enlarged again by bicubic and by the network, which sees alpha as a grey picture, and compared
with what was drawn: PSNR in dB. `vsr`: as `vsr.stages.device.alpha` mixes the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import partial

import click
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from script import run_script
from torch import Tensor
from torch.nn import functional as F

from vsr.engine.base import Engine
from vsr.engine.cache import EngineCache
from vsr.options import DeviceOptions, ModelOptions
from vsr.stages.colour.drift_correction import correct_drift
from vsr.stages.device.alpha import upscaled_alpha
from vsr.stages.device.tiles import infer
from vsr.stages.resize import resize

_SIDE = 384


def masks() -> Iterator[tuple[str, Image.Image]]:
    """Masks of `_SIDE` pixels, drawn at four times that and reduced: their edges are true."""
    side = 4 * _SIDE

    def blank() -> tuple[Image.Image, ImageDraw.ImageDraw]:
        image = Image.new("L", (side, side))
        return image, ImageDraw.Draw(image)

    image, draw = blank()
    for n, size in enumerate((300, 180, 110, 70)):
        draw.text(
            (60, 60 + 330 * n), "Titles, 1984 & fgQ", fill=255, font=ImageFont.load_default(size)
        )
    yield "text", image
    image, draw = blank()
    for n in range(12):
        draw.ellipse((110 * n, 90 * n, 110 * n + 60 + 30 * n, 90 * n + 60 + 30 * n), fill=255)
    yield "discs", image
    image, draw = blank()
    for n in range(24):
        angle = math.pi * n / 24
        reach = (side * 0.48 * math.cos(angle), side * 0.48 * math.sin(angle))
        middle = side / 2
        draw.line((middle - reach[0], middle - reach[1], middle + reach[0], middle + reach[1]),
                  fill=255, width=6 + 2 * (n % 6))  # fmt: skip
    yield "lines", image
    image, draw = blank()
    dice = np.random.default_rng(0)
    for _ in range(400):  # hair
        x, y, turn = dice.uniform(0, side), dice.uniform(0, side), dice.uniform(0, 2 * math.pi)
        points = []
        for _ in range(30):
            points.append((x, y))
            x, y, turn = (
                x + 20 * math.cos(turn),
                y + 20 * math.sin(turn),
                turn + dice.normal(0, 0.15),
            )
        draw.line(points, fill=255, width=4)
    yield "hair", image
    image, draw = blank()
    draw.rounded_rectangle((300, 300, 1200, 1200), 200, fill=200)
    yield "soft", image.filter(ImageFilter.GaussianBlur(60))
    ramp = np.tile(np.linspace(0, 255, side), (side, 1)).astype(np.uint8)
    yield "ramp", Image.fromarray(ramp)


def psnr(a: Tensor, b: Tensor) -> float:
    error = float((a.clamp(0, 1) - b).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


@click.command()
@click.option("--model", "models", multiple=True, default=["realesr-animevideov3"])
@click.option("--scale", default=4)
def main(models: tuple[str, ...], scale: int) -> None:
    engines = EngineCache()
    for name in models:
        chosen = ModelOptions(name=name)
        engines.model(chosen)
        engine = engines.engine(chosen, Fraction(scale), DeviceOptions(device="cpu"))
        print(f"{name}, x{scale}")
        for what, image in masks():
            reduced = image.resize((_SIDE, _SIDE), Image.Resampling.BOX)
            true = torch.from_numpy(np.asarray(reduced) / 255).float()[None, None]
            low = (F.avg_pool2d(true, scale) * 255).round() / 255
            with torch.inference_mode():
                ways = {
                    "bicubic": _sized(low),
                    "network": _sized(_drawn(engine, low.expand(-1, 3, -1, -1)).mean(1, True)),
                    "vsr": upscaled_alpha(low, partial(_drawn, engine), _sized),
                }
            told = "  ".join(f"{way} {psnr(drawn, true):6.2f}" for way, drawn in ways.items())
            print(f"  {what:6} {told}")


def _drawn(engine: Engine, grey: Tensor) -> Tensor:
    return correct_drift(infer(engine, grey.to(engine.dtype), tile=0, overlap=0).float(), grey)


def _sized(x: Tensor) -> Tensor:
    scale = _SIDE / x.shape[3]
    return resize(x, width=_SIDE, height=_SIDE, scale=(scale, scale), kernel="bicubic")


if __name__ == "__main__":
    run_script(main)
