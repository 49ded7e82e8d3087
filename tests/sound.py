"""Every codec of sound into every container: does it arrive, and is what is said of it true?

    python -m tests.sound [CODEC...]

prints a row for each encoder of the ffmpeg that the tests use, and ends with 1 if a promise is
broken. `tests/promises/streams/test_sound.py` has the quick rows.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import vsr
from tests.support import judge
from vsr.errors import SoundLost

CONTAINERS = (".mkv", ".mp4", ".mov", ".webm", ".ts")
_SOURCES = (".mkv", ".mov", ".nut", ".avi", ".ts", ".m2ts", ".vob", ".asf")  # whichever holds it
_RATES = ("48000", "44100", "22050", "16000", "8000")  # whichever the encoder takes
_CHANNELS = ("2", "1")
_SECONDS = 0.8
# The rest is written in no container beside a picture, or makes no sound.
_NOT_FILMS = {"anull", "comfortnoise"}


def encoders() -> list[str]:
    """All encoders of sound of the tests' ffmpeg."""
    words = judge.ffmpeg("-encoders").decode()
    names = re.findall(r"^ A\S{5} (\w+)", words, re.MULTILINE)
    return [name for name in names if name not in _NOT_FILMS]


def film(folder: Path, encoder: str, *, rate: str = "", channels: str = "") -> Path | None:
    """A film whose sound is of that encoder; None where no container here holds both."""
    for suffix in _SOURCES:
        path = folder / f"{encoder}{suffix}"
        for hertz in [rate] if rate else _RATES:
            for count in [channels] if channels else _CHANNELS:
                if _made(path, encoder, hertz, count):
                    return path
    return None


def _made(path: Path, encoder: str, rate: str, channels: str) -> bool:
    tone = f"sine=f=440:r={rate}:d={_SECONDS},volume=4"
    command = [
        judge.PROGRAM, "-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-f", "lavfi", "-i",
        f"testsrc2=s=64x48:r=25:d={_SECONDS}", "-f", "lavfi", "-i", tone, "-map", "0", "-map",
        "1", "-c:v", "mpeg2video", "-c:a", encoder, "-ac", channels, "-strict", "-2", str(path),
    ]  # fmt: skip
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return False
    return bool(sounds(path)) and len(samples(path)) > int(rate) * int(channels) // 4


def sounds(path: Path) -> list[str]:
    """What ffmpeg says of each stream of sound: `aac (LC), 48000 Hz, stereo, ...`."""
    return re.findall(r"Audio: (.*)", judge.describe(path))


def samples(path: Path, rate: str | None = None) -> NDArray[np.float64]:
    """The first sound, decoded, its channels in turn; at `rate`, or its own."""
    resampled = ["-ar", rate] if rate else []
    command = [judge.PROGRAM, "-v", "quiet", "-i", str(path), "-map", "0:a:0", *resampled,
               "-f", "f64le", "-c:a", "pcm_f64le", "-"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False)
    return np.frombuffer(done.stdout[: len(done.stdout) // 8 * 8], "<f8")


def upscaled(source: Path, output: Path) -> tuple[str, ...]:
    """The notes of a run that keeps the picture's size. Raises SoundLost."""
    preset = "12" if output.suffix == ".webm" else "ultrafast"
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=vsr.SizeOptions(scale=Fraction(1)),
        encode=vsr.EncodeOptions(preset=preset, crf=40, overwrite=True),
    )
    return vsr.upscale(source, output, options).notes


def check(source: Path, output: Path) -> str:
    """What became of the sound of `source` in `output`, in a word; AssertionError if untrue."""
    try:
        notes = upscaled(source, output)
    except SoundLost:
        return "refused"
    said = [note for note in notes if "audio" in note]
    old, new = sounds(source), sounds(output)
    assert len(new) == len(old) == 1, (said, old, new)
    length, wanted = (len(samples(path, "48000")) for path in (output, source))
    count = 1 if "mono" in new[0] or "1 channels" in new[0] else 2
    # Behind a codec's last packet some silence stays, and before its first where the container
    # cannot hide it: two packets of AAC, say.
    own = min(int(re.findall(r"(\d+) Hz", line)[0]) for line in (old[0], new[0]))
    assert -2400 <= (length - wanted) / count <= 2400 + 48000 * 2048 / own, (said, wanted, length)
    got, want = (judge.packets(path, "a:0") for path in (output, source))
    if want:  # ffmpeg's own copy holds nothing of DFPWM
        lasting = [p[-1].pts + p[-1].duration - p[0].pts for p in (got, want)]
        assert abs(lasting[0] - lasting[1]) <= 0.06 + 2048 / own, (said, lasting)
    if not said:
        # MPEG-4 and Matroska hold AAC without the header that MPEG-TS puts before each packet.
        bare = ".ts" in (output.suffix, source.suffix) and "aac" in old[0]
        same = [p.digest for p in got] == [p.digest for p in want]
        assert bare or same, f"{len(got)} packets are not the source's {len(want)}"
        return "copied"
    (word,) = re.findall(r"re-encoded to (\S+)", said[0])
    if "(lossless)" in said[0]:
        assert np.array_equal(samples(output), samples(source)), said
        return f"{word}, exact"
    loud = [np.sqrt(np.mean(samples(path) ** 2)) for path in (output, source)]
    assert abs(loud[0] - loud[1]) < 0.15 * loud[1] + 0.01, (said, loud)
    return str(word)


def main(names: Sequence[str]) -> int:
    """Print a row for each encoder; returns 1 if a promise is broken anywhere."""
    broken = 0
    print(f"{'encoder':20}{'source':8}", *(f"{suffix:22}" for suffix in CONTAINERS))
    for encoder in names or encoders():
        with tempfile.TemporaryDirectory() as folder:
            source = film(Path(folder), encoder)
            if source is None:
                print(f"{encoder:20}in no container beside a picture")
                continue
            row = []
            for suffix in CONTAINERS:
                try:
                    row.append(check(source, Path(folder) / f"out{suffix}"))
                except (AssertionError, ValueError) as error:
                    broken += 1
                    row.append("BROKEN")
                    print(f"{encoder} {suffix}: {' '.join(str(error).split())[:200]}")
            print(f"{encoder:20}{source.suffix:8}", *(f"{word:22}" for word in row), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
