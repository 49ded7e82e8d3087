"""Promises 1 and 4 on the kinds of file that people have; each was wrong once."""

from __future__ import annotations

import os
import random
import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import vsr
from tests.support import judge
from vsr.errors import InputError
from vsr.media.source.probe import probe

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1")
SOUND = ("-f", "lavfi", "-i", "sine=d=1")


def run(source: Path, output: Path, **encode: Any) -> vsr.Result:
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=vsr.SizeOptions(scale=Fraction(2)),
        encode=vsr.EncodeOptions(**encode),
    )
    return vsr.upscale(source, output, options)


def stamps(path: Path, stream: str) -> list[Fraction]:
    return [p.pts for p in judge.packets(path, stream)]


def film(path: Path, *arguments: str) -> Path:
    judge.ffmpeg(*PICTURE, *SOUND, "-pix_fmt", "yuv420p", *arguments, str(path))
    return path


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("a.mp4", ("-c:v", "libx264", "-c:a", "aac")),
        ("a.mov", ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s16le")),
        ("a.mkv", ("-c:v", "libx265", "-x265-params", "log-level=none", "-c:a", "libopus")),
        ("a.webm", ("-c:v", "libvpx-vp9", "-c:a", "libvorbis")),
        ("a.avi", ("-c:v", "libx264", "-bf", "2", "-c:a", "libmp3lame")),
        ("b.avi", ("-c:v", "mpeg4", "-c:a", "libmp3lame")),
        ("a.flv", ("-c:v", "libx264", "-c:a", "aac", "-ar", "44100")),
        ("a.ts", ("-c:v", "libx264", "-c:a", "aac")),
        ("b.ts", ("-c:v", "mpeg2video", "-c:a", "mp2")),
        ("a.mpg", ("-c:v", "mpeg2video", "-c:a", "mp2")),
        ("a.wmv", ("-c:v", "wmv2", "-c:a", "wmav2")),
        ("a.ogv", ("-c:v", "libtheora", "-c:a", "libvorbis")),
        ("b.mkv", ("-c:v", "ffv1", "-c:a", "flac")),
        ("c.mkv", ("-c:v", "mjpeg", "-pix_fmt", "yuvj422p", "-c:a", "ac3")),
        ("d.mkv", ("-c:v", "rawvideo", "-c:a", "pcm_s16le")),
        ("av1.mp4", ("-c:v", "libsvtav1", "-c:a", "aac")),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_containers_and_codecs(
    tmp_path: Path, name: str, codecs: tuple[str, ...], suffix: str
) -> None:
    """Every frame, evenly spaced as it was, and the sound where it was beside it."""
    source, output = film(tmp_path / name, *codecs), tmp_path / f"out{suffix}"
    result = run(source, output, preset="ultrafast")
    assert not [n for n in result.notes if "backwards" in n or "damaged" in n]
    got = stamps(output, "v:0")
    tick = Fraction(1, 500)
    assert len(got) == result.frames
    if name == "a.ogv":  # which codes a picture that stays as nothing at all
        assert result.frames > 10
    else:
        assert result.frames == 25
    if name == "a.ogv":
        assert all(b - a >= Fraction(1, 25) - tick for a, b in pairwise(got))
    elif name == "b.avi":  # ffmpeg writes its first frame two ticks long
        assert all(abs(a - b) <= tick for a, b in zip(got, stamps(source, "v:0"), strict=True))
    else:
        assert all(abs(b - a - Fraction(1, 25)) <= tick for a, b in pairwise(got))
    if any("re-encoded" in note for note in result.notes):
        return  # the new encoder's priming comes before the first sample
    want = [min(stamps(source, s)) for s in ("v:0", "a:0")]
    have = [min(stamps(output, s)) for s in ("v:0", "a:0")]
    if not name.endswith((".avi", ".mpg")):  # which say nothing exact about the first frame
        assert abs((have[0] - have[1]) - (want[0] - want[1])) <= Fraction(3, 1000)


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".mp4"])
def test_sound_that_begins_before_zero(tmp_path: Path, suffix: str) -> None:
    """Vorbis begins at -128 samples, which Matroska can only say by moving everything."""
    source, output = tmp_path / "s.ogv", tmp_path / f"o{suffix}"
    judge.ffmpeg(*PICTURE, "-f", "lavfi", "-i", "anoisesrc=d=1", "-c:v", "libtheora",
                 "-c:a", "libvorbis", str(source))  # fmt: skip
    result = run(source, output)
    assert not any("left out" in note for note in result.notes), result.notes
    if suffix == ".mp4":
        return  # AAC now
    sound = judge.packets(output, "a:0")
    assert [p.digest for p in sound] == [p.digest for p in judge.packets(source, "a:0")]
    want, have = ([min(stamps(p, s)) for s in ("v:0", "a:0")] for p in (source, output))
    assert want[1] < 0
    assert abs((have[0] - have[1]) - (want[0] - want[1])) <= Fraction(1, 1000)


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
def test_mpegts_out(tmp_path: Path, bunny: Path, preset: str) -> None:
    """With B-frames the muxer moves every stream by the same amount."""
    output = tmp_path / "o.ts"
    run(bunny, output, preset=preset)
    shift = {
        judge.packets(output, s)[0].pts - judge.packets(bunny, s)[0].pts for s in ("v:0", "a:0")
    }
    assert max(shift) - min(shift) <= Fraction(1, 1000)
    assert len(stamps(output, "v:0")) == 120


@pytest.mark.parametrize("kind", [".mp4", ".mkv"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_cover_art_stays_cover_art(tmp_path: Path, kind: str, suffix: str) -> None:
    cover = tmp_path / "cover.jpg"
    Image.new("RGB", (40, 40), (200, 30, 30)).save(cover)
    source, output = tmp_path / f"s{kind}", tmp_path / f"o{suffix}"
    attach = ("-attach", str(cover), "-metadata:s:t", "mimetype=image/jpeg", "-metadata:s:t",
              "filename=cover.jpg")  # fmt: skip
    if kind == ".mkv":
        film(source, "-c:v", "libx264", "-c:a", "aac", "-metadata", "title=T", *attach)
    else:
        judge.ffmpeg(
            *PICTURE, *SOUND, "-i", str(cover), "-map", "0", "-map", "1", "-map", "2",
            "-c:v:0", "libx264", "-pix_fmt:v:0", "yuv420p", "-c:v:1", "copy",
            "-disposition:v:1", "attached_pic", "-metadata", "title=T", str(source),
        )  # fmt: skip
    result = run(source, output, preset="ultrafast")
    text = judge.describe(output)
    assert text.count("(attached pic)") == 1, text
    assert "title           : T" in text
    assert not any("cover" in note for note in result.notes)


def test_a_mirrored_and_turned_picture_stays_so(tmp_path: Path, bunny: Path) -> None:
    source, output = tmp_path / "s.mp4", tmp_path / "o.mp4"
    judge.ffmpeg("-display_rotation", "90", "-display_hflip", "-i", str(bunny), "-t", "0.2",
                 "-c", "copy", str(source))  # fmt: skip
    run(source, output, preset="ultrafast")

    def matrix(path: Path) -> list[str]:
        text = judge.ffmpeg_log("-noautorotate", "-i", str(path), "-vf", "showinfo",
                                "-frames:v", "1", "-f", "null", "-")  # fmt: skip
        return re.findall(r"displaymatrix: (.*)", text)[:1]

    assert matrix(source)
    assert matrix(output) == matrix(source)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_late_start_is_exact_to_the_tick(tmp_path: Path, suffix: str) -> None:
    source, output = tmp_path / "s.mp4", tmp_path / f"o{suffix}"
    judge.ffmpeg(
        "-itsoffset", "0.1234", *PICTURE, *SOUND, "-c:v", "libx264", "-pix_fmt", "yuv420p",
        "-video_track_timescale", "90000", "-movie_timescale", "90000", str(source),
    )  # fmt: skip
    run(source, output, preset="ultrafast")
    assert stamps(output, "v:0") == stamps(source, "v:0")


@pytest.mark.parametrize("codec", ["ffv1", "h264", "prores"])
def test_partly_tagged_and_full_range_colours_are_told(tmp_path: Path, codec: Any) -> None:
    source = judge.make(
        tmp_path / "s.mp4", "testsrc2=s=64x48:r=5:d=0.4,scale=out_range=pc:out_color_matrix=bt709,"
        "format=yuv420p,setparams=range=pc:colorspace=bt709", "-c:v", "libx264", "-qp", "0",
    )  # fmt: skip
    output = tmp_path / ("o.mov" if codec == "prores" else "o.mkv")
    run(source, output, codec=codec)
    line = judge.video_line(output)
    assert "bt709" in line
    assert ("(pc" in line) == (codec != "prores")
    a, b = (judge.rgb(path, size=(64, 48)) for path in (source, output))
    assert abs(a - b).mean() < 3


def test_names_and_tags_in_no_encoding(tmp_path: Path) -> None:
    source = film(tmp_path / "s.mkv", "-c:v", "libx264", "-metadata", "title=XXXX")
    source.write_bytes(source.read_bytes().replace(b"XXXX", b"caf\xe9"))
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.mkv"))
    source.rename(odd)
    output = Path(os.fsdecode(os.fsencode(tmp_path) + b"/out\xff.mkv"))
    assert run(odd, output, preset="ultrafast").frames == 25
    assert output.is_file()


def test_covers_keep_their_names(tmp_path: Path) -> None:
    """By which players choose between a large and a small one, and which way it lies."""
    cover = tmp_path / "x.jpg"
    Image.new("RGB", (40, 40), (200, 30, 30)).save(cover)
    names = ["cover_land.jpg", "small_cover_land.jpg"]
    attach = [word for n, name in enumerate(names) for word in (
        "-attach", str(cover), f"-metadata:s:t:{n}", "mimetype=image/jpeg", f"-metadata:s:t:{n}",
        f"filename={name}")]  # fmt: skip
    source, output = tmp_path / "s.mkv", tmp_path / "o.mkv"
    judge.ffmpeg(*PICTURE, "-c:v", "libx264", "-pix_fmt", "yuv420p", *attach, str(source))
    run(source, output)
    assert re.findall(r"filename +: (.*)", judge.describe(output)) == names


def test_a_cover_in_a_file_whose_name_is_no_text(tmp_path: Path) -> None:
    """The source is opened twice then: for its cover and for its sound."""
    cover = tmp_path / "cover.png"
    Image.new("RGB", (40, 40)).save(cover)
    source = tmp_path / "s.mkv"
    film(source, "-c:v", "libx264", "-attach", str(cover), "-metadata:s:t", "mimetype=image/png",
         "-metadata:s:t", "filename=cover.png")  # fmt: skip
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.mkv"))
    source.rename(odd)
    output = tmp_path / "o.mkv"
    run(odd, output, preset="ultrafast")
    assert judge.describe(output).count("(attached pic)") == 1


def test_surround_sound_for_webm(tmp_path: Path) -> None:
    source, output = tmp_path / "s.mkv", tmp_path / "o.webm"
    judge.ffmpeg(*PICTURE, "-f", "lavfi", "-i", "anullsrc=channel_layout=5.1(side):d=1", "-t", "1",
                 "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "ac3", str(source))  # fmt: skip
    result = run(source, output)
    assert any("re-encoded to libopus" in note for note in result.notes)
    assert "Audio: opus" in judge.describe(output)
    assert "5.1" in judge.describe(output)


def test_what_was_said_of_the_old_stream_is_not_said_of_the_new(tmp_path: Path) -> None:
    source, output = tmp_path / "s.mkv", tmp_path / "o.mkv"
    film(source, "-c:v", "ffv1", "-metadata:s:v", "BPS=123", "-metadata:s:v", "title=Main")
    run(source, output, preset="ultrafast")
    text = judge.describe(output)
    assert "BPS" not in text
    assert "ffv1" not in text
    assert "Main" in text


def test_sound_with_a_cover_is_no_film(tmp_path: Path) -> None:
    cover = tmp_path / "cover.png"
    Image.new("RGB", (40, 40)).save(cover)
    song = tmp_path / "song.m4a"
    judge.ffmpeg(*SOUND, "-i", str(cover), "-map", "0", "-map", "1", "-c:a", "aac", "-c:v", "copy",
                 "-disposition:v", "attached_pic", str(song))  # fmt: skip
    with pytest.raises(InputError, match="no video"):
        probe(song)


def test_a_link_keeps_pointing_at_the_file_that_is_replaced(tmp_path: Path, bunny: Path) -> None:
    real, link = tmp_path / "real.mp4", tmp_path / "link.mp4"
    real.write_bytes(b"old")
    link.symlink_to(real)
    run(bunny, link, preset="ultrafast", overwrite=True)
    assert link.is_symlink()
    assert len(stamps(real, "v:0")) == 120


@pytest.mark.parametrize("seed", range(6))
def test_damage_is_passed_over_and_told(tmp_path: Path, bunny: Path, seed: int) -> None:
    """As many frames as ffmpeg itself gets out of the same file."""
    source, output = tmp_path / "s.mkv", tmp_path / "o.mkv"
    judge.ffmpeg("-i", str(bunny), "-an", "-c", "copy", str(source))
    data = bytearray(source.read_bytes())
    state = seed + 1
    for _ in range(30):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        data[len(data) // 4 + state % (len(data) * 3 // 4)] ^= 1 + state % 255
    source.write_bytes(data)
    result = run(source, output, preset="ultrafast")
    raw = judge.ffmpeg("-i", str(source), "-fps_mode", "passthrough", "-f", "framehash", "-")
    want = len([line for line in raw.decode().splitlines() if not line.startswith("#")])
    assert result.frames >= want


@pytest.mark.parametrize("second", ["10", "5000"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_clock_that_jumps_is_mended(tmp_path: Path, second: str, suffix: str) -> None:
    """Two recordings end to end: the second one's clock starts anew, or far ahead."""
    parts = [
        film(tmp_path / f"{n}.ts", "-c:v", "libx264", "-c:a", "mp2", "-output_ts_offset", offset)
        for n, offset in enumerate(("10", second))
    ]
    source, output = tmp_path / "s.ts", tmp_path / f"o{suffix}"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    result = run(source, output, preset="ultrafast")
    assert any("clock jumps" in note for note in result.notes)
    got = stamps(output, "v:0")
    assert len(got) == 50
    assert all(abs(b - a - Fraction(1, 25)) < Fraction(1, 20) for a, b in pairwise(got))
    sound = stamps(output, "a:0")
    assert abs((sound[-1] - sound[0]) - (got[-1] - got[0])) < Fraction(1, 5)


def test_the_33_bit_clock_may_wrap(tmp_path: Path) -> None:
    source, output = tmp_path / "s.ts", tmp_path / "o.mp4"
    film(source, "-c:v", "libx264", "-c:a", "mp2", "-output_ts_offset", "95443.2")
    run(source, output, preset="ultrafast")
    got = stamps(output, "v:0")
    assert len(got) == 25
    assert all(b - a == Fraction(1, 25) for a, b in pairwise(got))


@pytest.fixture
def broken(bunny: Path, tmp_path: Path) -> Path:
    """The real clip with 40 bytes flipped in its pictures."""
    data = bytearray(bunny.read_bytes())
    dice = random.Random(1)
    for _ in range(40):
        data[dice.randrange(3000, len(data) // 2)] ^= 0xFF
    path = tmp_path / "broken.mp4"
    path.write_bytes(data)
    return path


def test_damaged_pictures_are_counted_and_said(broken: Path, tmp_path: Path) -> None:
    result = run(broken, tmp_path / "out.mkv")
    assert 100 < result.frames <= 120
    assert any(re.search(r"damaged at 0:0\d", note) for note in result.notes)
    (told,) = (note for note in result.notes if "damaged packets" in note)
    counts = re.findall(r"\d+", told)
    assert 0 < sum(map(int, counts)) <= 40


def test_strict_refuses_a_damaged_film_before_any_work(
    broken: Path, bunny: Path, tmp_path: Path
) -> None:
    strict = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), source=vsr.SourceOptions(strict=True)
    )
    with pytest.raises(InputError, match=r"is damaged \(.*without strict"):
        vsr.upscale(broken, tmp_path / "out.mkv", strict)
    assert not (tmp_path / "out.mkv").exists()
    assert vsr.upscale(bunny, tmp_path / "whole.mkv", strict).frames == 120
