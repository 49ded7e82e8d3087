"""Films into standard output, and from pipe to pipe."""

from __future__ import annotations

import itertools
import os
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import vsr
from tests import sound
from tests.support import judge
from tests.support.pipes import SAME, all_of, clipped, options, stdin, stdout
from vsr.errors import OutputError
from vsr.media.source.pipe import Pipe


def test_standard_output_is_the_film_with_its_sound(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = stdout(monkeypatch)
    vsr.upscale(film, "-", options())
    output = tmp_path / "got.nut"
    output.write_bytes(kept.getvalue())
    assert "rawvideo" in judge.video_line(output)
    want, got = judge.frames(film), judge.frames(output)
    assert [f.digest for f in got] == [f.digest for f in want]
    # NUT has no time before zero: Opus' lead-in moves everything by the same.
    shift = got[0].pts - want[0].pts
    assert 0 <= shift < Fraction(1, 10)
    assert all(
        abs(b.pts - a.pts - shift) <= Fraction(1, 500) for a, b in zip(want, got, strict=True)
    )
    for stream in ("a:0", "a:1"):
        for a, b in zip(judge.packets(film, stream), judge.packets(output, stream), strict=True):
            assert a.digest == b.digest
            assert abs(b.pts - a.pts - shift) <= Fraction(1, 500)


def test_y4m_has_a_constant_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = stdout(monkeypatch)
    source = judge.make(
        tmp_path / "vfr.mkv", "testsrc2=s=64x48:r=10:d=1",
        "-vf", "setpts='if(gt(N,4),N+5,N)*0.1/TB'", "-fps_mode", "passthrough",
        "-c:v", "libx264", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    vsr.upscale(source, "-", options(pipe_format="y4m"))
    output = tmp_path / "got.y4m"
    output.write_bytes(kept.getvalue())
    assert kept.getvalue().startswith(b"YUV4MPEG2 W64 H48 F")
    got = judge.frames(output)
    assert abs(got[-1].pts + got[-1].duration - Fraction(3, 2)) < Fraction(1, 5)
    assert len({f.digest for f in got}) == 10


def test_encoded_pictures_and_parts_go_through_too(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = stdout(monkeypatch)
    vsr.upscale(film, "-", clipped("0.4-1", codec="ffv1"))
    output = tmp_path / "got.nut"
    output.write_bytes(kept.getvalue())
    want = judge.frames(film)[10:25]
    assert [f.digest for f in judge.frames(output)] == [f.digest for f in want]
    assert 28 <= len(judge.packets(output, "a:0")) <= 30


def test_sound_that_nut_cannot_hold_is_decoded_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = stdout(monkeypatch)
    source = judge.make(
        tmp_path / "a.wmv", "testsrc2=s=64x48:r=25:d=1", "-map", "0", "-map", "1", "-c:v", "wmv2",
        "-c:a", "wmav2", inputs=["-f", "lavfi", "-i", "sine=d=1"],
    )  # fmt: skip
    result = vsr.upscale(source, "-", options())
    assert any("wmav2 audio does not fit nut: decoded to pcm_f32le" in n for n in result.notes)
    output = tmp_path / "got.nut"
    output.write_bytes(kept.getvalue())
    assert len(judge.frames(output)) == 25
    got, want = (sound.samples(path) for path in (output, source))
    assert abs(len(got) - len(want)) <= 2048
    least = min(len(got), len(want))
    assert np.abs(got[:least] - want[:least]).max() < 1e-6


def test_two_parts_of_what_cannot_seek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = stdout(monkeypatch)
    source = judge.make(
        tmp_path / "a.flv", "testsrc2=s=64x48:r=25:d=3", "-map", "0", "-map", "1", "-c:v", "flv1",
        "-c:a", "mp3", inputs=["-f", "lavfi", "-i", "anoisesrc=d=3:a=0.1:r=44100"],
    )  # fmt: skip
    parts = tuple(vsr.Clip.parse(text) for text in ("1.03-2", "0.2-0.61"))
    chosen = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=SAME, source=vsr.SourceOptions(clips=parts)
    )
    result = vsr.upscale(source, "-", chosen)
    output = tmp_path / "got.nut"
    output.write_bytes(kept.getvalue())
    assert len(judge.frames(output)) == result.frames
    heard = judge.packets(output, "a:0")
    steps = [b.pts - a.pts for a, b in itertools.pairwise(heard)]
    assert 0 < min(steps) <= max(steps) <= 2 * Fraction(1152, 44100) + Fraction(2, 1000)
    assert abs(heard[-1].pts - judge.frames(output)[-1].pts) < Fraction(1, 10)


@pytest.mark.parametrize("codec", [None, "wmav2"])
def test_from_pipe_to_pipe_without_sound_little_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str | None
) -> None:
    stdout(monkeypatch)
    most, pipes = [0], list[Pipe]()
    begin = Pipe.__init__

    def watched(self: Pipe, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        pipes.append(self)

    def write(descriptor: int) -> None:
        for at in range(0, len(data), 50_000):
            all_of(data[at : at + 50_000])(descriptor)
            most[0] = max([most[0], *(len(pipe._held) for pipe in pipes)])

    sound = ["-map", "1", "-c:a", codec] if codec else []
    source = judge.make(
        tmp_path / "a.mkv", "testsrc2=s=320x240:r=25:d=10", "-map", "0", *sound, "-c:v",
        "rawvideo", "-pix_fmt", "yuv420p", inputs=["-f", "lavfi", "-i", "sine=d=10"],
    )  # fmt: skip
    data = source.read_bytes()
    monkeypatch.setattr(Pipe, "__init__", watched)
    with stdin(monkeypatch, write):
        vsr.upscale("-", "-", options())
    assert len(data) > 25 << 20
    assert most[0] < 15 << 20


def test_from_pipe_to_pipe(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = stdout(monkeypatch)
    raw = judge.ffmpeg("-i", str(film), "-map", "0:v", "-map", "0:a", "-c:v", "rawvideo",
                       "-c:a", "copy", "-f", "nut", "-")  # fmt: skip
    with stdin(monkeypatch, all_of(raw)):
        vsr.upscale("-", "-", options())
    output = tmp_path / "got.nut"
    output.write_bytes(kept.getvalue())
    assert [f.digest for f in judge.frames(output)] == [f.digest for f in judge.frames(film)]
    assert [p.digest for p in judge.packets(output, "a:0")] == [
        p.digest for p in judge.packets(film, "a:0")
    ]


@pytest.mark.parametrize(("matrix", "size"), [("bt709", "320x180"), ("smpte170m", "1280x720")])
def test_colours_in_a_pipe_are_what_a_player_takes_untagged_ones_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matrix: str, size: str
) -> None:
    kept = stdout(monkeypatch)
    tag = {"bt709": 1, "smpte170m": 6}[matrix]
    source = judge.make(
        tmp_path / "a.mkv", f"color=c=0xB04020:s={size}:r=5:d=0.4,format=gbrp",
        "-vf", f"scale=out_color_matrix={matrix}:out_range=tv,format=yuv444p,"
        f"setparams=colorspace={tag}", "-c:v", "ffv1", "-colorspace", matrix,
    )  # fmt: skip
    vsr.upscale(source, "-", options())
    output = tmp_path / "got.nut"
    output.write_bytes(kept.getvalue())
    guess = "bt709" if size == "1280x720" else "smpte170m"  # the rule of mpv
    data = judge.ffmpeg("-i", str(output), "-frames:v", "1", "-vf",
                        f"scale=in_color_matrix={guess}:in_range=tv,format=rgb24",
                        "-f", "rawvideo", "-")  # fmt: skip
    middle = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(int).mean(0)
    assert np.abs(middle - (0xB0, 0x40, 0x20)).max() <= 2


def test_a_reader_that_goes_away_is_told_in_a_line(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", buffering=0) as file:
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=file))
        with pytest.raises(OutputError, match="standard output: writing failed"):
            vsr.upscale(film, "-", options())


@pytest.mark.parametrize(("clip", "expected"), [("0f+4f", 4), ("10f+4f", 4), ("1-", 25)])
def test_a_part_goes_into_a_raw_stream_too(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: str, expected: int
) -> None:
    """Whose frames are counted, where those of a film have their times."""
    out = stdout(monkeypatch)
    assert vsr.upscale(film, "-", clipped(clip, pipe_format="y4m")).frames == expected
    (tmp_path / "o.y4m").write_bytes(out.getvalue())
    part = vsr.upscale(film, tmp_path / "o.mkv", clipped(clip, codec="ffv1")).output
    piped, kept = (judge.frames(path) for path in (tmp_path / "o.y4m", part))
    assert [frame.digest for frame in piped] == [frame.digest for frame in kept]
