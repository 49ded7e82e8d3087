"""Promise 4: what is missing or damaged in a source is said, with how much of it."""

from __future__ import annotations

import random
import re
from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.support import judge
from vsr.errors import InputError
from vsr.events import Event, WarningNote

_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-pix_fmt", "yuv420p")
_MPEG4 = ("-c:v", "mpeg4", "-g", "12")
_KINDS = {
    "a.mkv": _X264,
    "live.mkv": (*_X264, "-live", "1"),  # whose header does not know the length
    "faststart.mp4": (*_X264, "-movflags", "+faststart"),
    "fragmented.mp4": (*_X264, "-movflags", "+frag_keyframe+empty_moov"),
    # Not at its real-time speed, at which libvpx goes by the clock. Small packets, since VP8
    # decodes any bytes: only where a block begins can it be told that they are not the encoder's.
    "a.webm": ("-c:v", "libvpx", "-cpu-used", "5", "-threads", "1", "-b:v", "40k", "-g", "12"),
    "a.avi": _MPEG4,
    "a.flv": _X264,
    "a.ts": _X264,
    "a.ogv": ("-c:v", "libtheora", "-g", "12"),
    "a.gif": (),
}


def make(path: Path) -> Path:
    """Two seconds of film, without sound."""
    return judge.make(path, "testsrc2=s=96x64:r=25:d=2", *_KINDS[path.name])


def upscaled(source: Path) -> tuple[int, list[str]]:
    """The number of frames of the result, and the warnings."""
    told: list[str] = []

    def sink(event: Event) -> None:
        if isinstance(event, WarningNote):
            told.append(event.text)

    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=vsr.SizeOptions(scale=Fraction(1)),
        encode=vsr.EncodeOptions(preset="ultrafast", overwrite=True),
    )
    return vsr.upscale(source, source.with_name("out.mkv"), options, sink=sink).frames, told


@pytest.mark.parametrize("name", _KINDS)
def test_a_film_that_was_cut_short_is_made_and_said_to_be(tmp_path: Path, name: str) -> None:
    whole = make(tmp_path / name)
    assert upscaled(whole) == (50, [])
    data = whole.read_bytes()
    source = tmp_path / f"cut_{name}"
    source.write_bytes(data[: len(data) * 6 // 10])
    frames, told = upscaled(source)
    assert abs(frames - len(judge.frames(source))) <= 1  # the last one is not all there
    assert 10 < frames < 50
    assert told
    assert all(text.startswith(f"{source.name}: ") for text in told)
    if name in ("a.mkv", "faststart.mp4", "a.webm", "a.avi"):  # whose headers tell
        assert str(len(data) - len(data) * 6 // 10) in re.findall(r"\d+", told[0])
    if name in ("a.mkv", "faststart.mp4", "a.webm"):
        missing = re.search(r"ends (\d+\.\d\d) s before", told[-1])
        assert missing is not None
        assert abs(float(missing[1]) - (2 - frames / 25)) < 0.05


def test_lost_packets_of_a_broadcast_are_counted(tmp_path: Path) -> None:
    data = make(tmp_path / "a.ts").read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    source = tmp_path / "lost.ts"
    source.write_bytes(b"".join(p for n, p in enumerate(packets) if n < 40 or n % 60))
    frames, told = upscaled(source)
    assert abs(frames - len(judge.frames(source))) <= 1
    counted = next(text for text in told if "damaged packets" in text)
    assert int(re.findall(r"(\d+) damaged", counted)[0]) > 0


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.gif"])
def test_what_is_passed_over_within_a_film_is_said(tmp_path: Path, name: str) -> None:
    data = bytearray(make(tmp_path / name).read_bytes())
    middle = len(data) // 2
    dice = random.Random(3)
    torn = 2400 if name == "a.webm" else 600  # of VP8 more than any packet has
    data[middle : middle + torn] = dice.randbytes(torn)
    source = tmp_path / f"torn_{name}"
    source.write_bytes(data)
    frames, told = upscaled(source)
    assert told
    if frames < 50:  # it is not only that pictures are guessed
        (passed,) = (text for text in told if "passed over" in text)
        assert int(re.findall(r"(\d+) bytes", passed)[0]) >= torn / 3


def test_strict_refuses_what_is_cut_short(tmp_path: Path) -> None:
    whole = make(tmp_path / "a.mkv")
    source = tmp_path / "cut.mkv"
    source.write_bytes(whole.read_bytes()[:-3000])
    strict = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), source=vsr.SourceOptions(strict=True)
    )
    with pytest.raises(InputError, match=r"cut\.mkv: is damaged .*3000 bytes.*strict"):
        vsr.upscale(source, tmp_path / "out.mkv", strict)
    assert not (tmp_path / "out.mkv").exists()
    assert vsr.upscale(whole, tmp_path / "whole.mkv", strict).frames == 50
