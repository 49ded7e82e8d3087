"""Promise 1 where a source's clock starts anew: recordings joined end to end."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

import vsr
from tests.support import judge

FRAME = Fraction(1, 25)
EXACT = ("-flags:v", "+bitexact", "-flags:a", "+bitexact", "-fflags", "+bitexact")
X264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "3", "-g", "10")

# By suffix: how each half is made, and what of it `cat` leaves out.
KINDS = {
    ".flv": ((*X264, "-c:a", "aac", "-output_ts_offset", "{offset}"), 13),
    ".webm": (("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"), 0),
    ".mkv": ((*X264, "-c:a", "flac"), 0),
    ".mp4": ((*X264, "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov+default_base_moof"), 0),
    ".ts": ((*X264, "-c:a", "mp2", "-output_ts_offset", "{offset}"), 0),
}  # fmt: skip


def halves(folder: Path, suffix: str, count: int = 2) -> list[Path]:
    """Recordings of 0.8 s, each of which begins before the one before it."""
    arguments, _ = KINDS[suffix]
    paths = []
    for n in range(count):
        paths.append(folder / f"{n}{suffix}")
        given = [a.format(offset=20 - 8 * n) for a in arguments]
        judge.ffmpeg(
            "-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d=0.8,hue=h={90 * n}",
            "-f", "lavfi", "-i", f"sine=f={n + 1}40:r=44100:d=0.8" if suffix != ".webm" else
            f"sine=f={n + 1}40:r=48000:d=0.8", *given, *EXACT, str(paths[-1]),
        )  # fmt: skip
    return paths


def cat(paths: list[Path], skip: int, target: Path) -> Path:
    first, *others = paths
    target.write_bytes(first.read_bytes() + b"".join(p.read_bytes()[skip:] for p in others))
    return target


def run(source: Path, output: Path) -> vsr.Result:
    """Without loss, so that a frame is known again by its digest."""
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1)),
        encode=vsr.EncodeOptions(crf=0, encoder_options=(("qp", "0"),)),
    )  # fmt: skip
    return vsr.upscale(source, output, tree)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_time_goes_on_where_a_clock_starts_anew(tmp_path: Path, kind: str, suffix: str) -> None:
    """The very frames and packets of both, one behind the other, the sound beside its picture."""
    several = kind in (".ts", ".mkv", ".webm")  # ffmpeg itself reads two of Matroska
    parts = halves(tmp_path, kind, 3 if several else 2)
    source = cat(parts, KINDS[kind][1], tmp_path / f"s{kind}")
    output = tmp_path / f"o{suffix}"
    result = run(source, output)
    places = "2 places" if several else "1 place"
    assert any(f"its clock jumps in {places}" in note for note in result.notes), result.notes
    seen = [judge.frames(part) for part in parts]
    got = judge.frames(output)
    assert [f.digest for f in got] == [f.digest for part in seen for f in part]
    for a, b in pairwise(got):  # where they meet, the longer stream of the first is waited for
        assert FRAME - Fraction(1, 500) <= b.pts - a.pts <= FRAME + Fraction(1, 10)
    heard = [judge.packets(part, "a:0") for part in parts]
    sound = judge.packets(output, "a:0")
    if suffix == ".mkv" or kind != ".mkv":  # FLAC is re-encoded for MP4
        assert [p.digest for p in sound] == [p.digest for part in heard for p in part]
        at = place = 0
        for pictures, packets in zip(seen, heard, strict=True):
            want = packets[1].pts - pictures[0].pts  # the first one's may be before zero
            assert abs(sound[at + 1].pts - got[place].pts - want) <= Fraction(1, 400)
            at, place = at + len(packets), place + len(pictures)


def test_a_chained_ogg_does_not_last_for_a_day(tmp_path: Path) -> None:
    """The clock of its picture starts anew, that of its sound goes on."""
    parts = [tmp_path / f"{n}.ogv" for n in range(2)]
    for part in parts:
        judge.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.8", "-f", "lavfi", "-i",
                     "sine=r=48000:d=0.8", "-c:v", "libtheora", "-c:a", "libvorbis", *EXACT,
                     str(part))  # fmt: skip
    output = tmp_path / "o.mkv"
    result = run(cat(parts, 0, tmp_path / "s.ogv"), output)
    assert any("its clock jumps in 1 place" in note for note in result.notes)
    assert not any("damaged" in note for note in result.notes)
    got = judge.packets(output, "v:0")
    assert len(got) == sum(len(judge.frames(part)) for part in parts)
    assert all(b.pts > a.pts for a, b in pairwise(got))
    assert abs(got[-1].pts + got[-1].duration - Fraction(8, 5)) <= FRAME
    assert abs(judge.packets(output, "a:0")[-1].pts - Fraction(8, 5)) <= FRAME


@pytest.mark.parametrize("kind", ["slow.mkv", "slide.ts", "hold.mkv"])
def test_what_stands_still_is_no_jump(tmp_path: Path, kind: str) -> None:
    """B-frames that are minutes apart, a slide for 15 s beside its sound, a recording's pause."""
    source, output = tmp_path / kind, tmp_path / "o.mkv"
    rate, times = {
        "slow.mkv": ("1/60", "N*60"), "slide.ts": ("25", "N*0.04+15*gte(N,5)"),
        "hold.mkv": ("25", "N*0.04+60*gte(N,5)"),
    }[kind]  # fmt: skip
    sound = ("-f", "lavfi", "-i", "sine=d=16") if kind == "slide.ts" else ()
    judge.ffmpeg(
        "-f", "lavfi", "-i", f"testsrc2=s=64x48:r={rate}", *sound,
        "-vf", f"settb=1/1000,setpts='({times})/TB'", "-frames:v", "12", *X264,
        "-fps_mode", "passthrough", "-enc_time_base:v", "1/1000", "-c:a", "mp2", str(source),
    )  # fmt: skip
    result = run(source, output)
    assert not any("jumps" in note for note in result.notes)
    want, got = judge.frames(source), judge.frames(output)
    shift = got[0].pts - want[0].pts
    assert all(abs(b.pts - a.pts - shift) <= FRAME / 20 for a, b in zip(want, got, strict=True))
