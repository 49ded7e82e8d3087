"""OpenEXR and Radiance: floats of linear light become what networks know, and that is said."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import vsr
from tests.support import judge
from vsr.events import Event, WarningNote

# Linear R, G, B of six bars, four pixels wide.
BARS = np.array([
    [0, 0, 0], [1, 1, 1], [0.18, 0.18, 0.18], [0.5, 0.02, 0.001], [0.0031, 0.9, 0.25], [1, 0, 0.04],
])  # fmt: skip
WIDTH, HEIGHT = 24, 8


def picture(path: Path, bars: NDArray[np.float64], *how: str) -> Path:
    """A picture of the bars; a fourth column is alpha."""
    rows = np.repeat(np.repeat(bars, 4, 0)[None], HEIGHT, 0).astype("<f4")
    planes = np.moveaxis(rows, 2, 0)[[1, 2, 0, *range(3, bars.shape[1])]]  # G, B, R, A
    form = "gbrapf32le" if bars.shape[1] == 4 else "gbrpf32le"
    judge.ffmpeg("-f", "rawvideo", "-pix_fmt", form, "-s", f"{WIDTH}x{HEIGHT}", "-i", "-", *how,
                 str(path), stdin=planes.tobytes())  # fmt: skip
    return path


def srgb(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """IEC 61966-2-1, in float64."""
    return np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055
    )


def upscaled(source: Path, output: Path | None = None) -> tuple[NDArray[np.float64], list[Event]]:
    """The middle of each bar of the result, 0 to 1, and what was said."""
    heard: list[Event] = []
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1))
    )
    made = vsr.upscale(source, output, tree, sink=heard.append).output
    assert "rgb48be" in judge.video_line(made) or "rgba64be" in judge.video_line(made)
    raw = judge.ffmpeg("-i", str(made), "-f", "rawvideo", "-pix_fmt", "rgba64le", "-")
    seen = np.frombuffer(raw, "<u2").reshape(HEIGHT, WIDTH, 4)
    return seen[HEIGHT // 2, 2::4] / 65535, heard


@pytest.mark.parametrize("name", ["a.exr", "half.exr", "a.hdr"])
def test_linear_light_is_read_as_srgb(tmp_path: Path, name: str) -> None:
    how = {"half.exr": ("-format", "half")}.get(name, ())
    seen, heard = upscaled(picture(tmp_path / name, BARS, *how))
    # A half has 11 bits; Radiance one exponent of 8 bits for all three, which darkens the rest.
    off = {"a.exr": 1e-4, "half.exr": 1e-3, "a.hdr": 0.08}[name]
    assert np.abs(seen[:, :3] - srgb(BARS)).max() <= off
    assert any("linear light" in str(event) for event in heard)
    assert not any(isinstance(event, WarningNote) for event in heard)


def test_what_is_brighter_than_white_is_told(tmp_path: Path) -> None:
    bars = BARS.copy()
    bars[1] = 8, 4, 0.5
    bars[2] = -0.25, 0, 0
    seen, heard = upscaled(picture(tmp_path / "a.exr", bars))
    assert np.abs(seen[:, :3] - srgb(bars.clip(0, 1))).max() <= 1e-4
    (warning,) = [event.text for event in heard if isinstance(event, WarningNote)]
    assert "33.33% of its pixels" in warning
    assert "up to 8 times white" in warning


def test_colours_are_taken_out_of_their_alpha(tmp_path: Path) -> None:
    """OpenEXR's are multiplied by it, PNG's are not."""
    alpha = np.array([1, 0.5, 0.25, 1, 0.75, 0.5])[:, None]
    source = picture(tmp_path / "a.exr", np.hstack([BARS, alpha]), "-compression", "none")
    assert np.float32(0.18 * 0.25).tobytes() in source.read_bytes()  # ffmpeg has multiplied them
    seen, _ = upscaled(source)
    assert np.abs(seen[:, 3:] - alpha).max() <= 1e-4
    assert np.abs(seen[:, :3] - srgb(BARS)).max() <= 1e-4


def test_a_numbered_sequence_becomes_a_film(tmp_path: Path) -> None:
    for n in range(3):
        picture(tmp_path / f"{n:03d}.exr", BARS)
    output = tmp_path / "o.mkv"
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1)),
        source=vsr.SourceOptions(fps=Fraction(25)), encode=vsr.EncodeOptions(codec="ffv1"),
    )  # fmt: skip
    result = vsr.upscale(tmp_path / "%03d.exr", output, tree)
    assert len(judge.frames(output)) == 3
    raw = judge.ffmpeg("-i", str(output), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt",
                       "rgb48le", "-")  # fmt: skip
    seen = np.frombuffer(raw, "<u2").reshape(HEIGHT, WIDTH, 3)[HEIGHT // 2, 2::4] / 65535
    assert np.abs(seen - srgb(BARS)).max() <= 1e-3
    assert any("linear light" in note for note in result.notes)
