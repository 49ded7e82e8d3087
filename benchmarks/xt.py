"""Makes the picture of docs/temporal_filter.md: one line of a film, over time, before and after.

    python benchmarks/xt.py

A shot of Big Buck Bunny that stands still (`python samples/fetch_film.py`), with the grain of a
film laid over it and coded again, is drawn four times as large. Of each frame one row is kept, and
the rows are put below each other: what stands still makes straight lines downwards, flicker
breaks them. From left to right: as drawn, light, strong.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import footage
import numpy as np
import torch
from flicker import FILM, drawn, filtered
from PIL import Image
from script import run_script

from vsr.stages.temporal.mctf import LEVELS

OUTPUT = Path(__file__).parent.parent / "docs" / "temporal_filter.png"
ROW = 210  # of the drawn picture
COLUMNS = slice(150, 390)
TALL = 12  # rows of the picture for each frame


def main() -> None:
    """Draw, filter and write the picture."""
    picture = footage.read(FILM, 84, 1)
    clip = footage.frozen(picture, "still", (560, 200))
    small = footage.worse(clip.truth, 4, footage.DAMAGES["grain"])
    source = footage.tensor_of(small) / 255
    cache = Path(tempfile.gettempdir(), "vsr-flicker")
    with torch.inference_mode():
        large = drawn(source.contiguous(), 4, "realesr-animevideov3", cache)
        clips = [large, *(filtered(source, large, level) for level in LEVELS)]
    slices = [clip[:, :, ROW, COLUMNS].permute(0, 2, 1) for clip in clips]  # (T, columns, 3)
    gap = torch.ones(len(source), 6, 3)
    row = torch.cat([slices[0], gap, slices[1], gap, slices[2]], 1)
    codes = (row.clamp(0, 1) * 255).round().byte().numpy()
    Image.fromarray(np.repeat(codes, TALL, 0)).save(OUTPUT, optimize=True)


if __name__ == "__main__":
    run_script(main)
