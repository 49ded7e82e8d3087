"""Promise 1 where containers are odd: edit lists, cuts, gaps, clocks that do not start at zero."""

from __future__ import annotations

import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import vsr
from tests.support import judge
from vsr.errors import OutputError

H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "20", "-bf", "2")
MILLISECOND = Fraction(1, 1000)
OPEN_GOP = {
    "h264": (*H264, "-x264-params", "open-gop=1"),
    "hevc": ("-c:v", "libx265", "-pix_fmt", "yuv420p", "-x265-params",
             "log-level=none:open-gop=1:keyint=20:min-keyint=20:bframes=3"),
    "mpeg2": ("-c:v", "mpeg2video", "-pix_fmt", "yuv420p", "-g", "15", "-bf", "2"),
}  # fmt: skip


def picture(seconds: float = 2, rate: str = "25", size: str = "64x48") -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}")


def sound(seconds: float = 2) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"sine=d={seconds}")


def run(source: Path, output: Path, *, scale: int = 1, deinterlace: Any = "auto") -> vsr.Result:
    """Without loss, so that a frame is known again by its digest."""
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(scale)),
        encode=vsr.EncodeOptions(preset="ultrafast", crf=0, encoder_options=(("qp", "0"),)),
        source=vsr.SourceOptions(deinterlace=deinterlace),
    )  # fmt: skip
    return vsr.upscale(source, output, tree)


def assert_same_times(source: Path, output: Path, *, frames: int, tick: Fraction) -> None:
    """The same pictures, each at its time, and the sound as it lay beside them."""
    want, got = judge.frames(source), judge.frames(output)
    assert [f.digest for f in got] == [f.digest for f in want]
    assert len(got) == frames
    shift = got[0].pts - want[0].pts
    assert all(abs(b.pts - a.pts - shift) <= tick for a, b in zip(want, got, strict=True))
    heard = [judge.decoded_sound(path) for path in (source, output)]
    if output.suffix != ".ts":  # which cannot hide what an edit list has cut from the sound
        assert abs(heard[1][0] - got[0].pts - (heard[0][0] - want[0].pts)) <= Fraction(1, 20)
    assert abs(heard[1][1] - got[0].pts - (heard[0][1] - want[0].pts)) <= Fraction(1, 200)


# --- where a film begins ---


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """B-frames, and AAC with its priming before zero."""
    path = tmp_path_factory.mktemp("time") / "film.mp4"
    judge.ffmpeg(*picture(), *sound(), *H264, "-c:a", "aac", str(path))
    return path


COPIES = {
    "an edit list cuts the beginning": ("s.mp4", ("-ss", "1.3"), (), 17),
    "an edit list in MOV": ("s.mov", ("-ss", "1.3"), (), 17),
    "a cut in Matroska": ("s.mkv", ("-ss", "1.3"), (), 30),
    "negative composition offsets": ("s.mp4", (), ("-movflags", "+negative_cts_offsets"), 50),
    "fragments, no edit list": ("s.mp4", (), ("-movflags", "+frag_keyframe+empty_moov"), 50),
    "five seconds late in MP4": ("s.mp4", ("-itsoffset", "5"), (), 50),
    "five seconds late in Matroska": ("s.mkv", ("-itsoffset", "5"), (), 50),
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_where_a_film_begins(tmp_path: Path, film: Path, kind: str, suffix: str) -> None:
    name, before, after, frames = COPIES[kind]
    source, output = tmp_path / name, tmp_path / f"o{suffix}"
    judge.ffmpeg(*before, "-i", str(film), "-c", "copy", *after, str(source))
    run(source, output)
    assert_same_times(source, output, frames=frames, tick=MILLISECOND)
    if suffix != ".ts":  # which moves every stream by the same
        assert abs(judge.frames(output)[0].pts - judge.frames(source)[0].pts) <= MILLISECOND


@pytest.mark.parametrize("late", ["v", "a"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_an_empty_edit(tmp_path: Path, film: Path, late: str, suffix: str) -> None:
    source, output = tmp_path / "s.mp4", tmp_path / f"o{suffix}"
    judge.ffmpeg(
        "-itsoffset",
        "0.7",
        "-i",
        str(film),
        "-i",
        str(film),
        "-map",
        f"0:{late}",
        "-map",
        f"1:{'a' if late == 'v' else 'v'}",
        "-c",
        "copy",
        str(source),
    )
    run(source, output)  # fmt: skip
    assert_same_times(source, output, frames=50, tick=MILLISECOND)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_matroska_before_zero(tmp_path: Path, film: Path, suffix: str) -> None:
    """ffmpeg gives such pictures no timestamps; they are counted back from the first that has."""
    source, output = tmp_path / "s.mkv", tmp_path / f"o{suffix}"
    judge.ffmpeg("-itsoffset", "-0.5", "-i", str(film), "-c", "copy", "-copyts",
                 "-avoid_negative_ts", "disabled", str(source))  # fmt: skip
    result = run(source, output)
    assert not any("backwards" in note for note in result.notes)
    got = judge.packets(output, "v:0")
    assert len(got) == 50
    assert all(b.pts - a.pts == Fraction(1, 25) for a, b in pairwise(got))
    assert 0 <= got[0].pts < Fraction(1, 20)
    sound = judge.packets(output, "a:0")
    assert len(sound) == len(judge.packets(film, "a:0"))
    want = judge.packets(film, "a:0")[0].pts - judge.packets(film, "v:0")[0].pts
    assert abs(sound[0].pts - got[0].pts - want) <= Fraction(1, 100)


# --- a cut with no keyframe at its start ---


@pytest.mark.parametrize("codec", OPEN_GOP)
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("bytes.ts", ".mp4"),
        ("packets.ts", ".mkv"),
        ("packets.mkv", ".mp4"),
        ("packets.flv", ".mkv"),
    ],
)
def test_a_cut_with_no_keyframe(tmp_path: Path, codec: str, kind: str, suffix: str) -> None:
    """From the first picture that ffmpeg shows, the very same ones, the sound in place."""
    if kind == "packets.flv" and codec != "h264":
        return
    source, output = tmp_path / f"s.{kind.split('.')[1]}", tmp_path / f"o{suffix}"
    drop = () if kind == "bytes.ts" else ("-bsf:v", "noise=drop=lt(n\\,7)")
    judge.ffmpeg(*picture(), *sound(), *OPEN_GOP[codec], "-c:a", "libmp3lame", "-ar", "44100",
                 *drop, str(source))  # fmt: skip
    if kind == "bytes.ts":
        data = source.read_bytes()
        source.write_bytes(data[len(data) // 5 :])  # in the middle of a packet, most likely
    run(source, output)
    shown = len(judge.frames(source))
    assert 20 < shown < 45
    assert_same_times(source, output, frames=shown, tick=MILLISECOND)


# --- two sizes in one stream ---


@pytest.mark.parametrize("kind", ["s.ts", "s.mp4", "s.mkv", "vp9.mkv"])
@pytest.mark.parametrize("sizes", [("64x48", "96x64"), ("96x64", "64x48")])
def test_two_sizes_in_one_stream(tmp_path: Path, kind: str, sizes: tuple[str, str]) -> None:
    """The first one's is kept, every frame comes, and the user is told."""
    parts, vp9 = [], kind == "vp9.mkv"
    for n, size in enumerate(sizes):
        parts.append(tmp_path / f"{n}.{'webm' if vp9 else 'ts'}")
        codec = ("-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p") if vp9 else H264
        judge.ffmpeg(*picture(0.6, size=size), *codec, "-output_ts_offset",
                     str(0 if vp9 else 10 + 0.6 * n), str(parts[-1]))  # fmt: skip
    source, output = tmp_path / kind, tmp_path / "o.mkv"
    if vp9:
        script = tmp_path / "list.ffconcat"
        script.write_text("".join(f"file {part.name}\n" for part in parts))
        judge.ffmpeg("-f", "concat", "-i", str(script), "-c", "copy", str(source))
    else:
        joined = tmp_path / "joined.ts"
        joined.write_bytes(b"".join(part.read_bytes() for part in parts))
        judge.ffmpeg("-i", str(joined), "-c", "copy", str(source))
    result = run(source, output, scale=2)
    width, height = (2 * int(side) for side in sizes[0].split("x"))
    told = f"the picture changes to {sizes[1]}; it is made to fill {width}x{height}, too"
    assert told in result.notes
    assert judge.size_of(output) == (width, height)
    got = judge.packets(output, "v:0")
    assert len(got) == 30
    assert all(abs(b.pts - a.pts - Fraction(1, 25)) <= 2 * MILLISECOND for a, b in pairwise(got))


def test_two_sizes_of_combed_pictures(tmp_path: Path) -> None:
    """Through the filters, which are made anew."""
    source = tmp_path / "s.ts"
    data = b""
    for n, size in enumerate(("64x48", "96x64")):
        part = tmp_path / f"{n}.ts"
        judge.ffmpeg(*picture(0.6, size=size), *H264, "-output_ts_offset", str(10 + 0.6 * n),
                     str(part))  # fmt: skip
        data += part.read_bytes()
    source.write_bytes(data)
    result = run(source, tmp_path / "o.mkv", deinterlace="bwdif")
    assert result.frames == 30


# --- lengths ---

LENGTHS = {
    "one frame": (0.04, None), "one frame and sound": (0.04, 0.5), "no sound": (0.6, None),
    "more sound": (0.4, 1.2), "more picture": (1.2, 0.4),
}  # fmt: skip


@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts"])
def test_lengths(tmp_path: Path, kind: str, suffix: str) -> None:
    seen, heard = LENGTHS[kind]
    source, output = tmp_path / f"s{suffix}", tmp_path / f"o{suffix}"
    inputs = picture(seen) + (sound(heard) if heard else ())
    judge.ffmpeg(*inputs, *H264, *(("-c:a", "aac") if heard else ()), str(source))
    result = run(source, output)
    want, got = judge.packets(source, "v:0"), judge.packets(output, "v:0")
    assert len(got) == len(want) == result.frames == round(seen * 25)
    if heard:
        a, b = (judge.packets(path, "a:0") for path in (source, output))
        assert [p.digest for p in a] == [p.digest for p in b]
        assert abs((b[-1].pts - got[0].pts) - (a[-1].pts - want[0].pts)) <= MILLISECOND
    if suffix != ".ts":  # which has no durations
        assert got[-1].duration == want[-1].duration == Fraction(1, 25)


@pytest.mark.parametrize("kind", [".mp4", ".mkv"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_last_frame_of_vfr_stays_as_long(tmp_path: Path, kind: str, suffix: str) -> None:
    stamps = [0, 40, 80, 91, 200, 1000]
    times = "+".join(f"eq(N,{n})*{t}" for n, t in enumerate(stamps))
    between, source, output = tmp_path / "b.mkv", tmp_path / f"s{kind}", tmp_path / f"o{suffix}"
    judge.ffmpeg(
        *picture(0.6, "10"),
        "-vf",
        f"settb=1/1000,setpts='{times}'",
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1/1000",
        *H264,
        "-bf",
        "0",
        str(between),
    )
    judge.ffmpeg(
        "-i",
        str(between),
        "-c",
        "copy",
        "-bsf:v",
        "setts=pts=PTS:dts=DTS:duration=if(eq(PTS\\,1000)\\,777\\,DURATION)",
        str(source),
    )
    run(source, output)
    want, got = judge.packets(source, "v:0"), judge.packets(output, "v:0")
    assert [p.pts for p in got] == [p.pts for p in want] == [Fraction(t, 1000) for t in stamps]
    assert want[-1].duration == got[-1].duration == Fraction(777, 1000)


@pytest.mark.parametrize("kind", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_hole_of_three_seconds(tmp_path: Path, kind: str, suffix: str) -> None:
    source, output = tmp_path / f"s{kind}", tmp_path / f"o{suffix}"
    judge.ffmpeg(*picture(5), *sound(5), *H264, "-vf", "select=not(between(t\\,1\\,4))",
                 "-fps_mode", "passthrough", "-c:a", "libmp3lame", str(source))  # fmt: skip
    run(source, output)
    assert_same_times(source, output, frames=49, tick=MILLISECOND)
    steps = [b.pts - a.pts for a, b in pairwise(judge.packets(output, "v:0"))]
    assert max(steps) > 3
    assert len(judge.packets(output, "a:0")) == len(judge.packets(source, "a:0"))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".ts"])
def test_24000_by_1001_is_exact(tmp_path: Path, suffix: str) -> None:
    """Over enough frames that 23.976 would be wrong, as exactly as the container counts."""
    source, output = tmp_path / f"s{suffix}", tmp_path / f"o{suffix}"
    codec = ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime")
    judge.ffmpeg(*picture(4, "24000/1001", "32x32"), *(codec if suffix == ".webm" else H264),
                 str(source))  # fmt: skip
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(2))
    )
    vsr.upscale(source, output, tree)
    got = judge.packets(output, "v:0")
    tick = {".mkv": MILLISECOND, ".webm": MILLISECOND, ".ts": Fraction(1, 90000)}.get(suffix, 0)
    exact = [got[0].pts + n * Fraction(1001, 24000) for n in range(96)]
    assert all(abs(a.pts - b) <= tick for a, b in zip(got, exact, strict=True))
    assert "23.98 fps" in judge.video_line(output)


def test_a_result_whose_times_are_stretched_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a hundredth, as if the program that joins picture and sound had got a rate wrong."""
    source = judge.talkie(tmp_path / "s.mkv", 2)
    program = tmp_path / "ffmpeg"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "told = sys.argv[1:]\n"
        "if 'joined' in told[-1]:\n"
        "    told[-1:-1] = ['-bsf:v', 'setts=ts=TS*101/100']\n"
        f"os.execv({judge.PROGRAM!r}, ['ffmpeg', *told])\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("VSR_FFMPEG", str(program))
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1))
    )
    with pytest.raises(OutputError, match="timestamps are not the source's"):
        vsr.upscale(source, tmp_path / "o.mkv", options)
    assert not (tmp_path / "o.mkv").exists()
