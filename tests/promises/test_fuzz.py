"""Promise 7 on damaged files: a clear error or a result, no traceback, no hang, nothing left."""

from __future__ import annotations

import random
import resource
import time
from pathlib import Path

import pytest

import vsr
from tests.conftest import SAMPLES
from tests.support import judge
from vsr.errors import InputError, VsrError
from vsr.media.format import decoder

PICTURE = ("-t", "0.6", "-i", str(SAMPLES / "bunny.mp4"), "-vf", "scale=96:54")
STILL = ("-t", "0.6", "-i", str(SAMPLES / "bunny.mp4"), "-vf", "scale=48:26,fps=10")
SOURCES = {
    "a.mp4": (*PICTURE, "-c:v", "libx264", "-c:a", "copy"),
    "a.mkv": (*PICTURE, "-c:v", "libx264", "-c:a", "libopus"),
    "a.ts": (*PICTURE, "-c:v", "libx264", "-c:a", "mp2"),
    "a.webm": (*PICTURE, "-c:v", "libvpx-vp9", "-c:a", "libopus"),
    "a.avi": (*PICTURE, "-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "a.flv": (*PICTURE, "-c:v", "libx264", "-c:a", "aac"),
    "a.gif": STILL,
    "a.apng": (*STILL, "-f", "apng"),
    "a.webp": STILL,
}
FILES, PARTS = 500, 10
MEMORY = 600_000  # kB, for all of them in one process, of which torch alone takes 250,000
PIXELS = 2**20  # the most that is decoded here, whatever a header claims; the files have 5184


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sources")
    for name, arguments in SOURCES.items():
        judge.ffmpeg(*arguments, str(folder / name))
    return [folder / name for name in SOURCES]


def mutate(data: bytearray, dice: random.Random) -> None:
    kind = dice.choice(["bits", "bits", "cut", "zero", "twice", "head"])
    at = dice.randrange(len(data))
    if kind == "bits":
        for _ in range(dice.choice([1, 5, 50])):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "zero":
        data[at : at + 2000] = bytes(len(data[at : at + 2000]))
    elif kind == "twice":
        data[at:at] = data[at : at + dice.randrange(5000)]
    else:
        for _ in range(8):
            data[dice.randrange(min(600, len(data)))] = dice.randrange(256)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_mutated_files(
    sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(decoder, "_MOST_PIXELS", PIXELS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of other tests, perhaps
    good = 0
    for seed in range(part, FILES, PARTS):
        dice = random.Random(seed)
        source = sources[seed % len(sources)]
        data = bytearray(source.read_bytes())
        mutate(data, dice)
        damaged, output = (
            tmp_path / f"in{source.suffix}",
            tmp_path / f"o{dice.choice(['.mkv', '.mp4'])}",
        )
        damaged.write_bytes(data)
        options = vsr.UpscaleOptions(
            model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(height=32),
            encode=vsr.EncodeOptions(preset="ultrafast"),
        )  # fmt: skip
        began = time.monotonic()
        result, refused = None, None
        try:
            result = vsr.upscale(damaged, output, options)
        except VsrError as error:
            refused = error
        if result is None:
            assert isinstance(refused, InputError), (seed, refused)
            assert "\n" not in str(refused)
        else:
            good += 1
            assert len(judge.packets(output, "v:0")) == result.frames
            output.unlink()
        assert time.monotonic() - began < 60, seed
        assert list(tmp_path.iterdir()) == [damaged], seed
        damaged.unlink()
    assert good > 10  # most damage leaves something to see
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < max(MEMORY, before + 100_000)
