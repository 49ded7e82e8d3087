"""Promise 4, stream by stream: several videos, flags, bitmap subtitles, data, timecode."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import vsr
from tests.support import judge
from vsr.errors import UsageError
from vsr.media.source.probe import probe

H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "2")
SOUND = ("-f", "lavfi", "-i", "sine=d=1")


def picture(size: str) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d=1")


def run(source: Path, output: Path, stream: int | None = None, **encode: Any) -> vsr.Result:
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(2)),
        source=vsr.SourceOptions(stream=stream),
        encode=vsr.EncodeOptions(preset="ultrafast", **encode),
    )  # fmt: skip
    return vsr.upscale(source, output, tree)


def streams(path: Path) -> list[str]:
    """`Video: h264 (High), ... (default)` of each stream, in the file's order."""
    lines = [line for line in judge.describe(path).splitlines() if "  Stream #0:" in line]
    return [re.sub(r".*?(Video|Audio|Subtitle|Data|Attachment): ", r"\1 ", s) for s in lines]


def digests(path: Path, stream: str) -> list[str]:
    return [packet.digest for packet in judge.packets(path, stream)]


# --- several videos ---


def angles(path: Path) -> Path:
    """Sound between two videos; the second one, of another size, is the default."""
    judge.ffmpeg(
        *picture("64x48"), *SOUND, *picture("96x64"), "-map", "0", "-map", "1", "-map", "2",
        *H264, "-c:a", "aac", "-metadata:s:v:0", "title=Angle", "-disposition:v:0", "comment",
        "-metadata:s:v:0", "language=ger", "-disposition:v:1", "default", str(path),
    )  # fmt: skip
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
@pytest.mark.parametrize("kind", [".mp4", ".mkv", ".ts"])
def test_other_videos_are_copied(tmp_path: Path, kind: str, suffix: str) -> None:
    source, output = angles(tmp_path / f"s{kind}"), tmp_path / f"o{suffix}"
    result = run(source, output)
    assert "stream 0: another video stream is copied as it is" in result.notes
    first, second, sound = streams(output)
    assert first.startswith("Video h264")
    assert ", 192x128" in first
    assert ", 64x48" in second
    assert sound.startswith("Audio aac")
    if suffix != ".ts":  # which has no flags
        assert "(default)" in first
        assert "(default)" not in second
    if kind != ".ts" and suffix in (".mkv", ".mp4"):
        assert "(comment)" in second
    if (kind, suffix) == (".mkv", ".mkv"):
        text = judge.describe(output)
        assert "#0:1(ger): Video" in text
        assert "title           : Angle" in text
    pictures = [f.digest for f in judge.frames(source, "v:0")]
    assert [f.digest for f in judge.frames(output, "v:1")] == pictures
    shift = [judge.frames(p, "v:0" if p == source else "v:1")[0].pts for p in (source, output)]
    main = [judge.frames(p, "v:1" if p == source else "v:0")[0].pts for p in (source, output)]
    assert abs((shift[1] - shift[0]) - (main[1] - main[0])) <= Fraction(1, 500)


def test_several_programs(tmp_path: Path) -> None:
    source, output = tmp_path / "s.ts", tmp_path / "o.mkv"
    judge.ffmpeg(
        *picture("64x48"), *SOUND, *picture("96x64"), *SOUND, "-map", "0", "-map", "1", "-map",
        "2", "-map", "3", *H264, "-c:a", "mp2", "-program", "title=One:st=0:st=1",
        "-program", "title=Two:st=2:st=3", str(source),
    )  # fmt: skip
    run(source, output)
    kinds = [line.split(",")[0].split()[0] for line in streams(output)]
    assert sorted(kinds) == ["Audio", "Audio", "Video", "Video"]
    assert judge.size_of(output) == (192, 128)  # the larger one
    for stream in ("a:0", "a:1"):
        assert digests(output, stream) == digests(source, stream)


def test_the_video_that_is_asked_for(tmp_path: Path) -> None:
    source, output = angles(tmp_path / "s.mkv"), tmp_path / "o.mkv"
    assert [s.kind for s in probe(source).streams] == ["video", "audio", "video"]
    result = run(source, output, stream=0)
    assert "stream 2: another video stream is copied as it is" in result.notes
    lines = streams(output)
    assert ", 128x96" in lines[0]
    assert "(default)" in lines[0]
    assert ", 96x64" in lines[2]
    assert "(default)" not in lines[2]
    for wrong in (1, 3, -1):
        with pytest.raises(UsageError, match=f"stream {wrong}: is no video; s.mkv has #0, #2"):
            run(source, tmp_path / "no.mkv", stream=wrong)


def test_a_video_that_does_not_fit_is_named(tmp_path: Path) -> None:
    source = tmp_path / "s.mkv"
    judge.ffmpeg(*picture("96x64"), *picture("64x48"), "-map", "0", "-map", "1", "-c:v:0", "ffv1",
                 "-c:v:1", "huffyuv", str(source))  # fmt: skip
    for name in ("o.mp4", "o.webm", "o.gif"):
        notes = run_any(source, tmp_path / name).notes
        assert any("another video stream (huffyuv) does not fit" in note for note in notes), notes
        assert len(streams(tmp_path / name)) == 1
    run(source, tmp_path / "o.mkv")
    assert digests(tmp_path / "o.mkv", "v:1") == digests(source, "v:1")


def run_any(source: Path, output: Path) -> vsr.Result:
    """With the container's usual encoder, as it is."""
    tree = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1))
    )
    return vsr.upscale(source, output, tree)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_cover_art_beside_several_videos(tmp_path: Path, suffix: str) -> None:
    cover, source, output = tmp_path / "c.jpg", tmp_path / "s.mp4", tmp_path / f"o{suffix}"
    Image.new("RGB", (40, 40), (200, 30, 30)).save(cover)
    judge.ffmpeg(*picture("96x64"), "-i", str(cover), *picture("64x48"), "-map", "0", "-map", "1",
                 "-map", "2", *H264, "-c:v:1", "copy", "-disposition:v:1", "attached_pic",
                 str(source))  # fmt: skip
    run(source, output)
    text = judge.describe(output)
    assert text.count("(attached pic)") == 1, text
    assert text.count("Video: h264") == 2
    index = next(s.index for s in probe(source).streams if s.kind == "cover")
    with pytest.raises(UsageError, match="is no video"):
        run(source, output, stream=index, overwrite=True)


def test_a_mended_recording_keeps_its_other_videos(tmp_path: Path) -> None:
    parts = []
    for n, offset in enumerate(("10", "5000")):
        parts.append(tmp_path / f"{n}.ts")
        judge.ffmpeg(*picture("64x48"), *picture("96x64"), *SOUND, "-map", "0", "-map", "1",
                     "-map", "2", *H264, "-c:a", "mp2", "-output_ts_offset", offset,
                     str(parts[-1]))  # fmt: skip
    source, output = tmp_path / "s.ts", tmp_path / "o.mkv"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    run(source, output, stream=0)
    assert [line.split()[0] for line in streams(output)] == ["Video", "Video", "Audio"]
    assert judge.size_of(output) == (128, 96)
    assert len(judge.packets(output, "v:0")) == len(judge.packets(output, "v:1")) == 50


# --- flags ---


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_every_stream_keeps_its_flags(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,800\nhello\n")
    source, output = tmp_path / "s.mkv", tmp_path / f"o{suffix}"
    words = ("-map", "0", *("-map", "1") * 3, *("-map", "2") * 3)
    flags = ("a:0", "0", "a:1", "default+original", "a:2", "visual_impaired", "s:0", "0",
             "s:1", "forced", "s:2", "default+hearing_impaired")  # fmt: skip
    disposition = [w for n in range(0, 12, 2) for w in (f"-disposition:{flags[n]}", flags[n + 1])]
    judge.ffmpeg(
        *picture("64x48"),
        *SOUND,
        "-i",
        str(tmp_path / "s.srt"),
        *words,
        *H264,
        "-c:a",
        "aac",
        "-c:s",
        "srt",
        *disposition,
        "-default_mode",
        "passthrough",
        str(source),
    )
    run(source, output)  # fmt: skip

    def found(path: Path) -> list[list[str]]:
        known = r"\((default|forced|original|visual impaired|hearing impaired)\)"
        return [re.findall(known, line) for line in streams(path)]

    want = found(source)
    assert want[2] == ["default", "original"]
    assert want[6] == ["default", "hearing impaired"]
    if suffix == ".mp4":  # which knows fewer flags; as many as ffmpeg's own copy keeps
        copy = tmp_path / "copy.mp4"
        judge.ffmpeg("-i", str(source), "-map", "0", "-c", "copy", "-c:s", "mov_text", str(copy))
        want = found(copy)
        assert "forced" in want[5]
    assert found(output) == want


# --- bitmap subtitles ---


def _segment(milliseconds: int, kind: int, body: bytes) -> bytes:
    return b"PG" + struct.pack(">IIBH", milliseconds * 90, 0, kind, len(body)) + body


def blu_ray_subtitles(path: Path) -> Path:
    """Two white boxes of 16x8, as a Blu-ray codes them (PGS): from 0.1 to 0.4, 0.5 to 0.9 s."""
    row = bytes([0, 0x80 | 16, 1, 0, 0])  # sixteen times colour 1, end of line
    window = struct.pack(">BBHHHH", 1, 0, 8, 32, 16, 8)
    data = b""
    for n, (begin, end) in enumerate(((100, 400), (500, 900))):
        head = struct.pack(">HHBHBBBB", 64, 48, 0x10, 2 * n, 0x80, 0, 0, 1)
        data += _segment(begin, 0x16, head + struct.pack(">HBBHH", 0, 0, 0, 8, 32))
        data += _segment(begin, 0x17, window)
        data += _segment(begin, 0x14, bytes([0, 0, 1, 235, 128, 128, 255]))
        size = (len(row) * 8 + 4).to_bytes(3, "big")
        box = struct.pack(">HBB", 0, 0, 0xC0) + size + struct.pack(">HH", 16, 8) + row * 8
        data += _segment(begin, 0x15, box) + _segment(begin, 0x80, b"")
        clear = struct.pack(">HHBHBBBB", 64, 48, 0x10, 2 * n + 1, 0, 0, 0, 0)
        data += _segment(end, 0x16, clear) + _segment(end, 0x17, window) + _segment(end, 0x80, b"")
    path.write_bytes(data)
    return path


CODED = {
    "pgs": ("hdmv_pgs_subtitle", ".mkv", ("-c:s", "copy")),
    "m2ts": ("hdmv_pgs_subtitle", ".m2ts", ("-c:s", "copy", "-mpegts_m2ts_mode", "1")),
    "dvd": ("dvd_subtitle", ".mkv", ("-c:s", "dvdsub")),
    "dvb": ("dvb_subtitle", ".ts", ("-c:s", "dvbsub")),
}


@pytest.mark.parametrize("kind", CODED)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_bitmap_subtitles(tmp_path: Path, kind: str, suffix: str) -> None:
    """Byte for byte and in place where they fit; named where not."""
    codec, own, arguments = CODED[kind]
    source, output = tmp_path / f"s{own}", tmp_path / f"o{suffix}"
    judge.ffmpeg(*picture("64x48"), "-i", str(blu_ray_subtitles(tmp_path / "a.sup")), "-map", "0",
                 "-map", "1", *H264, *arguments, str(source))  # fmt: skip
    result = run(source, output)
    if suffix != ".mkv":
        assert any(f"{codec} subtitles do not fit" in note for note in result.notes)
        assert len(streams(output)) == 1
        return
    assert any(line.startswith(f"Subtitle {codec}") for line in streams(output))
    want, got = (judge.packets(path, "s:0") for path in (source, output))
    if kind == "m2ts":  # a packet for each segment there, for each picture in Matroska
        want = list({round(p.pts, 2): p for p in reversed(want)}.values())[::-1]
    else:
        assert [p.digest for p in got] == [p.digest for p in want]
    start = [judge.packets(path, "v:0")[0].pts for path in (source, output)]
    for a, b in zip(want, got, strict=True):
        assert abs((b.pts - start[1]) - (a.pts - start[0])) <= Fraction(1, 500)


def test_dvd_subtitles_of_mp4_stay_there(tmp_path: Path) -> None:
    first, source, output = tmp_path / "s.mkv", tmp_path / "s.mp4", tmp_path / "o.mp4"
    judge.ffmpeg(*picture("64x48"), "-i", str(blu_ray_subtitles(tmp_path / "a.sup")), "-map", "0",
                 "-map", "1", *H264, "-c:s", "dvdsub", str(first))  # fmt: skip
    judge.ffmpeg("-i", str(first), "-map", "0", "-c", "copy", "-bsf:s", "setts=duration=300",
                 str(source))  # fmt: skip
    run(source, output)
    want, got = (judge.packets(path, "s:0") for path in (source, output))
    assert got == want
    assert len(got) == 2


# --- data ---


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_timecode_stays(tmp_path: Path, suffix: str) -> None:
    source, output = tmp_path / "s.mov", tmp_path / f"o{suffix}"
    judge.ffmpeg(*picture("64x48"), *H264, "-timecode", "01:02:03:04", str(source))
    result = run(source, output)
    assert not any("left out" in note for note in result.notes)
    text = judge.describe(output)
    assert re.search(r"timecode\s+: 01:02:03:04", text, re.IGNORECASE)
    assert ("(tmcd" in text) == (suffix != ".mkv")  # where it is a tag


def test_timecode_of_matroska_becomes_a_track(tmp_path: Path) -> None:
    source, output = tmp_path / "s.mkv", tmp_path / "o.mov"
    judge.ffmpeg(*picture("64x48"), *H264, "-metadata:s:v", "timecode=10:00:00:00", str(source))
    run(source, output)
    assert "(tmcd" in judge.describe(output)
    assert "10:00:00:00" in judge.describe(output)


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
def test_private_data_of_mpegts(tmp_path: Path, suffix: str) -> None:
    key = bytes.fromhex("060e2b34020b01010e01030101000000")
    (tmp_path / "a.klv").write_bytes((key + bytes([20]) + bytes(range(20))) * 5)
    source, output = tmp_path / "s.ts", tmp_path / f"o{suffix}"
    judge.ffmpeg(*picture("64x48"), "-f", "data", "-i", str(tmp_path / "a.klv"), "-map", "0",
                 "-map", "1", *H264, "-c:d", "copy", str(source))  # fmt: skip
    result = run(source, output)
    if suffix == ".ts":
        assert digests(output, "d:0") == digests(source, "d:0")
    else:
        assert any("data (bin_data) does not fit" in note for note in result.notes)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_cameras_telemetry(tmp_path: Path, suffix: str) -> None:
    """GoPro's, in MP4; it was dropped without a word."""
    (tmp_path / "blob").write_bytes(bytes(range(256)) * 4)
    between, source, output = tmp_path / "b.ts", tmp_path / "s.mp4", tmp_path / f"o{suffix}"
    judge.ffmpeg(*picture("64x48"), "-f", "data", "-i", str(tmp_path / "blob"), "-map", "0",
                 "-map", "1", *H264, "-c:d", "copy", str(between))  # fmt: skip
    judge.ffmpeg("-i", str(between), "-map", "0", "-c", "copy", "-tag:d", "gpmd", str(source))
    assert "(gpmd" in judge.describe(source)
    result = run(source, output)
    if suffix == ".mkv":
        assert any("data (gpmd) does not fit matroska" in note for note in result.notes)
    else:
        assert "(gpmd" in judge.describe(output)


def test_chapters_of_mp4_stay_chapters(tmp_path: Path) -> None:
    """Their text track is data to ffmpeg: neither named as lost nor doubled."""
    (tmp_path / "c.txt").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1000\ntitle=Two\n"
    )
    source = tmp_path / "s.mp4"
    judge.ffmpeg(*picture("64x48"), "-i", str(tmp_path / "c.txt"), "-map_metadata", "1", *H264,
                 str(source))  # fmt: skip
    for suffix in (".mp4", ".mkv"):
        output = tmp_path / f"o{suffix}"
        result = run(source, output)
        assert not any("data" in note for note in result.notes)
        assert "title           : Two" in judge.describe(output)
        assert sum(line.startswith("Data") for line in streams(output)) == (suffix == ".mp4")
