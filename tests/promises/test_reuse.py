"""Promises: reuse keeps every frame and every timestamp, and the same film is the same film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.conftest import tiny_weights
from tests.support import judge
from vsr.errors import Stopped
from vsr.options import Reuse
from vsr.runners.local import several


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return tiny_weights(tmp_path, num_conv=4)


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """4 s at 24 fps of which each picture is shown six times, as drawn animation is."""
    return judge.make(
        tmp_path / "held.mkv", "testsrc2=s=192x112:r=4:d=4", "-vf", "fps=24", "-c:v", "ffv1",
        "-g", "12", "-pix_fmt", "yuv420p",
    )  # fmt: skip


def upscaled(
    source: Path, output: Path, weights: Path, reuse: Reuse, *, stops: int = 0, workers: int = 1
) -> vsr.Result:
    left = [stops]

    def stop() -> bool:
        left[0] -= 1
        return left[0] == 0

    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=str(weights)),
        device=vsr.DeviceOptions(engine="torch", reuse=reuse, workers=workers),
        encode=vsr.EncodeOptions(codec="ffv1", overwrite=True),
        jobs=vsr.JobOptions(segment=0.5),
    )
    runner = {"runner": several} if workers > 1 else {}
    return vsr.upscale(source, output, options, stop=stop, **runner)  # type: ignore[arg-type]


def test_held_frames_are_not_drawn_again_and_none_is_lost(
    held: Path, weights: Path, tmp_path: Path
) -> None:
    plain, reused = tmp_path / "plain.mkv", tmp_path / "reused.mkv"
    upscaled(held, plain, weights, "off")
    result = upscaled(held, reused, weights, "exact")
    assert judge.frames(plain) == judge.frames(reused)
    assert [p.pts for p in judge.packets(reused, "v:0")] == [
        p.pts for p in judge.packets(held, "v:0")
    ]
    (said,) = (note for note in result.notes if note.startswith("reuse: "))
    saved = Fraction(said.split()[1].removesuffix("%")) / 100
    assert saved >= Fraction(1, 2)  # 24 frames a second are 4 pictures, and parts begin anew


def test_stopped_or_shared_it_makes_the_same_frames(
    bunny: Path, weights: Path, tmp_path: Path
) -> None:
    undisturbed, stopped, shared = (tmp_path / f"{name}.mkv" for name in "abc")
    upscaled(bunny, undisturbed, weights, "fast")
    with pytest.raises(Stopped):
        upscaled(bunny, stopped, weights, "fast", stops=3)
    upscaled(bunny, stopped, weights, "fast")
    upscaled(bunny, shared, weights, "fast", workers=2)
    expected = judge.frames(undisturbed)
    assert judge.frames(stopped) == expected
    assert judge.frames(shared) == expected
