"""Of several videos, the film is what lasts; a programme that goes on under new PIDs is one."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

import vsr
from tests.support import judge

FRAME = Fraction(1, 25)
X264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "12")


def run(source: Path, output: Path, *, stream: int | None = None) -> vsr.Result:
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1)),
        encode=vsr.EncodeOptions(crf=0, encoder_options=(("qp", "0"),)),
        source=vsr.SourceOptions(stream=stream),
    )  # fmt: skip
    return vsr.upscale(source, output, tree)


@pytest.mark.parametrize("kind", [".mp4", ".mov", ".mkv", ".ts"])
def test_a_preview_is_not_the_film(tmp_path: Path, kind: str) -> None:
    """It comes first, is larger and is the default, and is over after two frames."""
    source, output = tmp_path / f"s{kind}", tmp_path / "o.mkv"
    judge.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=128x96:r=25:d=0.08",
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-map", "0", "-map", "1",
        *X264, "-disposition:v:0", "default", "-disposition:v:1", "0", str(source),
    )  # fmt: skip
    run(source, output)
    want, got = judge.frames(source, "v:1"), judge.frames(output, "v:0")
    assert [f.digest for f in got] == [f.digest for f in want]
    assert len(judge.packets(output, "v:1")) == 2  # it is copied
    run(source, tmp_path / "asked.mkv", stream=0)
    assert judge.size_of(tmp_path / "asked.mkv") == (128, 96)


@pytest.mark.parametrize("second", ["0.64", "3", "0"])
def test_a_programme_goes_on_under_new_pids(tmp_path: Path, second: str) -> None:
    """As from a receiver, whose clock overlaps, goes on, or starts anew."""
    parts = [tmp_path / f"{n}.ts" for n in range(2)]
    for n, (part, offset) in enumerate(zip(parts, ("0", second), strict=True)):
        judge.ffmpeg(
            "-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d=0.6,hue=h={90 * n}",
            "-f", "lavfi", "-i", f"sine=f={n + 1}40:r=48000:d=0.6", *X264, "-c:a", "mp2",
            "-output_ts_offset", offset, "-mpegts_start_pid", f"0x{n + 1}00", str(part),
        )  # fmt: skip
    source, output = tmp_path / "s.ts", tmp_path / "o.mkv"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    run(source, output)
    assert judge.describe(output).count("Stream #") == 2
    got, sound = judge.frames(output), judge.packets(output, "a:0")
    assert [f.digest for f in got] == [f.digest for part in parts for f in judge.frames(part)]
    heard = [judge.packets(part, "a:0") for part in parts]
    assert [p.digest for p in sound] == [p.digest for part in heard for p in part]
    longest = Fraction(5, 2) if second == "3" else FRAME + Fraction(1, 10)
    assert all(FRAME * 9 / 10 <= b.pts - a.pts <= longest for a, b in pairwise(got))
    beside = [
        (a.pts - b.pts) for a, b in ((sound[0], got[0]), (sound[len(heard[0])], got[len(got) // 2]))
    ]
    assert abs(beside[1] - beside[0]) <= Fraction(1, 100)


def pieces(folder: Path, *kinds: str) -> list[Path]:
    """Recordings of more bytes than a demuxer looks at; `b`: under other PIDs, `2`: two sounds."""
    paths = []
    for n, kind in enumerate(kinds):
        paths.append(folder / f"{n}.ts")
        sounds = 2 if "2" in kind else 1
        judge.ffmpeg(
            "-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d=2,hue=h={70 * n}",
            *[word for pitch in range(sounds)
              for word in ("-f", "lavfi", "-i", f"sine=f={n + pitch + 1}40:r=48000:d=2")],
            *[word for s in range(1 + sounds) for word in ("-map", str(s))],
            *X264, "-c:a", "mp2", "-output_ts_offset", str(2 * n), "-muxrate", "24M",
            "-mpegts_start_pid", "0x200" if "b" in kind else "0x100", str(paths[-1]),
        )  # fmt: skip
    return paths


@pytest.mark.parametrize("kinds", [("a", "b"), ("a", "b", "a"), ("a", "b2", "a")])
def test_pids_may_change_far_into_a_file(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    """A demuxer looks at the first megabytes and the last, and knows of no others."""
    parts = pieces(tmp_path, *kinds)
    source, output = tmp_path / "s.ts", tmp_path / "o.mkv"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    result = run(source, output)
    assert any("goes on as other streams" in note for note in result.notes)
    assert judge.describe(output).count("Stream #") == 2
    got, sound = judge.frames(output), judge.packets(output, "a:0")
    assert [f.digest for f in got] == [f.digest for part in parts for f in judge.frames(part)]
    heard = [packet.digest for part in parts for packet in judge.packets(part, "a:0")]
    lost = [int(note.split(": ")[1].split()[0]) for note in result.notes if "heard already" in note]
    assert len(heard) - len(sound) == sum(lost)
    assert {packet.digest for packet in sound} <= set(heard)
    assert sum(lost) <= len(parts) - 1


def test_a_sound_that_begins_on_the_way_is_named(tmp_path: Path) -> None:
    """Which was the end of a run, as an internal error."""
    parts = pieces(tmp_path, "a", "a2", "a")
    source, output = tmp_path / "s.ts", tmp_path / "o.mkv"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    result = run(source, output)
    assert any("1 of its streams begins on the way: left out" in note for note in result.notes)
    assert len(judge.frames(output)) == 150
    assert len(judge.packets(output, "a:0")) == sum(
        len(judge.packets(part, "a:0")) for part in parts
    )
