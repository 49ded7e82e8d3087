"""The main job, judged by the ffmpeg program: time, sound, colour, and nothing half-made."""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import vsr
from tests.support import judge
from vsr.errors import OutputError, OutputExists, UsageError
from vsr.events import Event, Finished, Note, Progress, Started
from vsr.media.ffmpeg import run as run_ffmpeg
from vsr.options import ColourOptions

CHEAP = vsr.ModelOptions(name="bicubic")
FAST = vsr.EncodeOptions(preset="ultrafast")


def upscale(source: Path, output: Path, **options: Any) -> vsr.Result:
    chosen: dict[str, Any] = {"model": CHEAP, "encode": FAST} | options
    return vsr.upscale(source, output, vsr.UpscaleOptions(**chosen))


def scale(value: str) -> vsr.SizeOptions:
    return vsr.SizeOptions(scale=Fraction(value))


# --- time and sound ---


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_real_clip_keeps_every_timestamp_and_every_audio_packet(
    bunny: Path, tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"out{suffix}"
    result = upscale(bunny, output, size=scale("2"))
    source, written = judge.packets(bunny, "v:0"), judge.packets(output, "v:0")
    assert len(source) == len(written) == result.frames == 120
    tick = Fraction(1, 2000) if suffix == ".mkv" else 0  # Matroska counts milliseconds
    assert all(abs(a.pts - b.pts) <= tick for a, b in zip(source, written, strict=True))
    assert [p.digest for p in judge.packets(output, "a:0")] == [
        p.digest for p in judge.packets(bunny, "a:0")
    ]
    for a, b in zip(judge.packets(bunny, "a:0"), judge.packets(output, "a:0"), strict=True):
        assert abs(a.pts - b.pts) <= Fraction(1, 1000)
    assert judge.size_of(output) == (640, 360)


def test_variable_frame_rate_to_the_last_duration(tmp_path: Path) -> None:
    stamps = [0, 40, 80, 91, 200, 1000, 1033, 1500]
    times = "+".join(f"eq(N,{n})*{t}" for n, t in enumerate(stamps))
    for suffix in (".mp4", ".mkv"):
        source = judge.make(
            tmp_path / f"vfr{suffix}", "testsrc2=s=64x48:r=10:d=0.8",
            "-vf", f"settb=1/1000,setpts='{times}'", "-fps_mode", "passthrough",
            "-enc_time_base", "1/1000", "-c:v", "libx264", "-pix_fmt", "yuv420p",
        )  # fmt: skip
        output = tmp_path / f"out{suffix}"
        upscale(source, output)
        want = [Fraction(t, 1000) for t in stamps]
        assert [p.pts for p in judge.packets(output, "v:0")] == want
        assert [p.pts for p in judge.packets(source, "v:0")] == want


def test_late_and_early_streams_stay_in_place(tmp_path: Path) -> None:
    for delay in ("0.5", "-0.0"):
        source = tmp_path / "late.mkv"
        judge.ffmpeg(
            "-itsoffset", delay, "-f", "lavfi", "-i", "sine=d=1", "-f", "lavfi",
            "-i", "testsrc2=s=64x48:r=25:d=1", "-map", "1", "-map", "0",
            "-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "flac", str(source),
        )  # fmt: skip
        output = tmp_path / "out.mkv"
        upscale(source, output, encode=vsr.EncodeOptions(preset="ultrafast", overwrite=True))
        for stream in ("v:0", "a:0"):
            want = [p.pts for p in judge.packets(source, stream)]
            assert [p.pts for p in judge.packets(output, stream)] == want


def test_a_broadcast_clock_starts_at_zero_and_stays_in_sync(tmp_path: Path) -> None:
    source = tmp_path / "cut.ts"
    judge.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-f", "lavfi", "-i", "sine=d=1",
        "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "mp2", "-output_ts_offset", "100",
        str(source),
    )  # fmt: skip
    output = tmp_path / "out.mp4"
    upscale(source, output)
    shift = [
        judge.packets(source, s)[0].pts - judge.packets(output, s)[0].pts for s in ("v:0", "a:0")
    ]
    assert abs(shift[0] - shift[1]) <= Fraction(1, 1000)
    assert judge.packets(output, "v:0")[0].pts < Fraction(1, 5)
    assert len(judge.packets(output, "v:0")) == 25


# --- everything else that was in the file ---


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    """MKV: video, two audio tracks with languages, ASS, a font, chapters, tags."""
    (tmp_path / "c.txt").write_text(
        ";FFMETADATA1\ntitle=A film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1000\ntitle=Two\n"
    )
    (tmp_path / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,800\nhello\n")
    (tmp_path / "f.ttf").write_bytes(b"\0\1\0\0" + bytes(100))
    path = tmp_path / "rich.mkv"
    judge.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-f", "lavfi", "-i", "sine=d=1",
        "-f", "lavfi", "-i", "sine=f=880:d=1", "-i", str(tmp_path / "s.srt"),
        "-i", str(tmp_path / "c.txt"), "-map", "0", "-map", "1", "-map", "2", "-map", "3",
        "-map_metadata", "4", "-map_chapters", "4", "-c:v", "libx264", "-pix_fmt", "yuv420p",
        "-aspect", "16:9", "-c:a:0", "flac", "-c:a:1", "aac", "-c:s", "ass",
        "-metadata:s:a:0", "language=jpn", "-metadata:s:a:1", "language=ger",
        "-metadata:s:a:1", "title=Kommentar", "-disposition:a:1", "comment",
        "-attach", str(tmp_path / "f.ttf"), "-metadata:s:t", "mimetype=font/ttf", str(path),
    )  # fmt: skip
    return path


def test_nothing_is_lost_in_matroska(rich: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    result = upscale(rich, output)
    assert result.notes == ("rich.mkv: no colour matrix is tagged: read as BT.601",)
    text = judge.describe(output)
    for word in (
        "title           : A film", "Chapter #0:1", "title           : Two", "(jpn): Audio: flac",
        "(ger): Audio: aac", "(comment)", "title           : Kommentar", "Subtitle: ass",
        "Attachment:", "f.ttf", "font/ttf", "DAR 16:9",
    ):  # fmt: skip
        assert word in text, word
    for stream in ("a:0", "a:1", "s:0"):
        assert [p.digest for p in judge.packets(output, stream)] == [
            p.digest for p in judge.packets(rich, stream)
        ]


def test_what_mp4_cannot_hold_is_said_and_converted(rich: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    notes = " ".join(upscale(rich, output).notes)
    assert "an attachment (a font?) does not fit mp4: left out" in notes
    assert "ass subtitles do not fit mp4: converted to mov_text (its styling is lost)" in notes
    text = judge.describe(output)
    assert "mov_text" in text
    assert "title           : A film" in text
    assert "Chapter #0:1" in text


def test_the_default_name_and_container(rich: Path, bunny: Path, tmp_path: Path) -> None:
    source = tmp_path / "a clip.mp4"
    source.write_bytes(bunny.read_bytes())
    tree = vsr.UpscaleOptions(model=CHEAP, encode=FAST, size=scale("1.5"))
    assert vsr.upscale(source, options=tree).output == tmp_path / "a clip_1.5x.mp4"
    tree = vsr.UpscaleOptions(model=CHEAP, encode=FAST, size=vsr.SizeOptions(height=96))
    assert vsr.upscale(rich, options=tree).output == tmp_path / "rich_96p.mkv"


def test_rotation_is_kept(tmp_path: Path, bunny: Path) -> None:
    source, output = tmp_path / "turned.mp4", tmp_path / "out.mp4"
    judge.ffmpeg(
        "-display_rotation", "90", "-i", str(bunny), "-t", "0.5", "-c", "copy", str(source)
    )
    assert "rotation of 90.00 degrees" in judge.describe(source)
    upscale(source, output, size=scale("1"))
    assert "rotation of 90.00 degrees" in judge.describe(output)


# --- colour ---

BARS = ("white", "yellow", "cyan", "lime", "magenta", "red", "blue", "gray", "0x804020")
COLOURS = {
    "bt601": ("smpte170m", "tv", "auto"),
    "bt709": ("bt709", "tv", "auto"),
    "bt2020": ("bt2020nc", "tv", "auto"),
    "full": ("bt709", "pc", "auto"),
    "untagged": (None, "tv", "bt601"),
}


def bars(path: Path, matrix: str | None, range_: str, *, pix_fmt: str = "yuv420p") -> Path:
    """Nine flat bars of 32x48, lossless."""
    boxes = ",".join(f"drawbox=x={32 * n}:w=32:h=48:t=fill:c={c}" for n, c in enumerate(BARS))
    convert = f"scale=out_color_matrix={matrix or 'smpte170m'}:out_range={range_}"
    tags = [f"-colorspace={matrix}", f"-color_range={range_}"] if matrix else []
    arguments = [part for tag in tags for part in tag.split("=")]
    judge.ffmpeg(
        "-f", "lavfi", "-i", f"color=black:s=288x48:r=5:d=0.6,format=rgb24,{boxes},{convert},"
        f"format={pix_fmt}" + ("" if matrix else ",setparams=colorspace=unknown:range=unknown"),
        *arguments, "-c:v", "libx264", "-qp", "0", str(path),
    )  # fmt: skip
    return path


def middles(frames: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The mean colour of each bar's inside."""
    return np.stack(
        [frames[:, 12:36, 32 * n + 12 : 32 * n + 20].mean((0, 1, 2)) for n in range(len(BARS))]
    )


@pytest.mark.parametrize("kind", COLOURS)
@pytest.mark.parametrize("model", ["bicubic", "realesr-animevideov3"])
def test_flat_colours_come_back(tmp_path: Path, kind: str, model: str) -> None:
    matrix, range_, read_as = COLOURS[kind]
    source = bars(tmp_path / "bars.mp4", matrix, range_)
    output = tmp_path / "out.mp4"
    device = vsr.DeviceOptions(precision="fp32")
    result = upscale(source, output, model=vsr.ModelOptions(name=model), device=device,
                     encode=vsr.EncodeOptions(crf=1, preset="ultrafast"))  # fmt: skip
    want = middles(judge.rgb(source, size=(288, 48), matrix=read_as))
    got = middles(judge.rgb(output, size=(288, 48)))
    worst = np.abs(got - want).max()
    print(f"{kind}, {model}: worst {worst:.2f}/255")
    assert worst <= 2
    line = judge.video_line(output)
    assert (matrix or "smpte170m") in line
    assert ("(pc" if range_ == "pc" else "(tv") in line
    assert any("no colour matrix" in note for note in result.notes) == (matrix is None)


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p", "yuv444p", "yuv422p10le"])
def test_depth_and_subsampling_are_kept(tmp_path: Path, pix_fmt: str) -> None:
    source = bars(tmp_path / "bars.mp4", "bt709", "tv", pix_fmt=pix_fmt)
    output = tmp_path / "out.mp4"
    upscale(source, output, size=scale("1"), encode=vsr.EncodeOptions(crf=1, preset="ultrafast"))
    assert f" {pix_fmt}(" in judge.video_line(output)
    want = middles(judge.rgb(source, size=(288, 48)))
    assert np.abs(middles(judge.rgb(output, size=(288, 48))) - want).max() <= 1


LOSSLESS = {
    "h264": vsr.EncodeOptions(preset="ultrafast", crf=0, encoder_options=(("qp", "0"),)),
    "ffv1": vsr.EncodeOptions(codec="ffv1"),
}


@pytest.mark.parametrize(
    ("codec", "siting", "pix_fmt"),
    [
        ("h264", "left", "yuv420p"),
        ("h264", "topleft", "yuv420p"),
        ("h264", "center", "yuv420p"),
        ("ffv1", "left", "yuv420p"),
        ("ffv1", "left", "yuv420p10le"),
        ("ffv1", "left", "yuv422p"),
    ],
)
def test_scale_one_and_a_lossless_codec_return_the_very_samples(
    tmp_path: Path, bunny: Path, codec: str, siting: str, pix_fmt: str
) -> None:
    """Promise 2 at its sharpest: a real film through the whole program, bit for bit."""
    source = tmp_path / "s.mkv"
    judge.ffmpeg("-i", str(bunny), "-t", "0.5", "-an", "-vf", f"format={pix_fmt}",
                 "-c:v", "libx264", "-chroma_sample_location", siting, str(source))  # fmt: skip
    output = tmp_path / "out.mkv"
    upscale(source, output, size=scale("1"), encode=LOSSLESS[codec])
    assert [f.digest for f in judge.frames(output)] == [f.digest for f in judge.frames(source)]


def test_siting_is_written(tmp_path: Path, bunny: Path) -> None:
    source, output = tmp_path / "s.mkv", tmp_path / "out.mkv"
    judge.ffmpeg("-i", str(bunny), "-t", "0.2", "-an", "-c:v", "libx264",
                 "-chroma_sample_location", "topleft", str(source))  # fmt: skip
    upscale(source, output, size=scale("1"))
    assert "topleft" in judge.video_line(output)


def test_the_users_word_on_colour_is_taken(tmp_path: Path) -> None:
    source = bars(tmp_path / "bars.mp4", None, "tv")
    output = tmp_path / "out.mp4"
    result = upscale(source, output, colour=ColourOptions(matrix="bt709"))
    assert result.notes == ()
    assert "bt709" in judge.video_line(output)


# --- codecs ---


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("h265", ".mp4"), ("av1", ".mp4"), ("av1", ".webm"), ("ffv1", ".mkv"), ("prores", ".mov")],
)
def test_every_codec_keeps_time_and_picture(
    bunny: Path, tmp_path: Path, codec: Any, suffix: str
) -> None:
    source, output = tmp_path / "short.mp4", tmp_path / f"out{suffix}"
    judge.ffmpeg("-i", str(bunny), "-t", "0.5", "-c:v", "libx264", "-c:a", "copy", str(source))
    upscale(source, output, size=scale("1"), encode=vsr.EncodeOptions(codec=codec))
    want, got = judge.packets(source, "v:0"), judge.packets(output, "v:0")
    tick = Fraction(1, 2000) if suffix in (".mkv", ".webm") else 0
    assert all(abs(a.pts - b.pts) <= tick for a, b in zip(want, got, strict=True))
    a, b = (judge.rgb(p, size=(320, 180)) for p in (source, output))
    assert np.abs(a - b).mean() < 2.5


def test_odd_sizes(tmp_path: Path) -> None:
    source = judge.make(tmp_path / "odd.mkv", "testsrc=s=101x53:r=10:d=0.3",
                        "-pix_fmt", "yuv420p", "-c:v", "ffv1")  # fmt: skip
    for value, size in (("1", (102, 54)), ("1.5", (152, 80)), ("3", (304, 160))):
        output = tmp_path / f"out{value}.mkv"
        upscale(source, output, size=scale(value))
        assert judge.size_of(output) == size


# --- the promise of the name ---


def test_events_tell_the_story(bunny: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    tree = vsr.UpscaleOptions(model=CHEAP, encode=FAST, size=scale("1"))
    vsr.upscale(bunny, tmp_path / "o.mp4", tree, sink=events.append)
    assert isinstance(events[0], Started)
    assert events[0].frames == 120
    assert [e.frames for e in events if isinstance(e, Progress)] == list(range(1, 121))
    assert isinstance(events[-1], Finished)
    assert not [e for e in events if isinstance(e, Note)]


def test_an_output_that_is_there_is_left_alone(bunny: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.mp4"
    output.write_bytes(b"precious")
    with pytest.raises(OutputExists):
        upscale(bunny, output)
    assert output.read_bytes() == b"precious"
    source = tmp_path / "s.mp4"
    source.write_bytes(bunny.read_bytes())
    for alias in (source, tmp_path / "." / "s.mp4", tmp_path / "link.mp4"):
        if alias.name == "link.mp4":
            alias.symlink_to(source)
        with pytest.raises(UsageError, match="source"):
            upscale(source, alias, encode=vsr.EncodeOptions(overwrite=True))
    assert source.read_bytes() == bunny.read_bytes()


@pytest.mark.parametrize("calls", [1, 3, 60, 121])
def test_a_full_disk_leaves_nothing(
    bunny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """The error is injected where the encoder's packets are written."""
    count = 0

    class Container:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def mux(self, packets: Any) -> None:
            nonlocal count
            count += 1
            if count >= calls:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._real.mux(packets)

    opened = av.open

    def opening(*arguments: Any, **options: Any) -> Any:
        container = opened(*arguments, **options)
        return Container(container) if "w" in arguments else container

    monkeypatch.setattr("vsr.media.write.writer.av.open", opening)
    with pytest.raises(OutputError, match="No space left"):
        upscale(bunny, tmp_path / "o.mp4", size=scale("1"))
    assert list(tmp_path.iterdir()) == []


def test_a_cut_short_result_is_never_named(
    bunny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ffmpeg may exit with 0 on a full disk; what it wrote is read back."""

    def run(*arguments: Any, **options: Any) -> None:
        run_ffmpeg(*arguments, **options)
        target = next(tmp_path.glob(".o.mp4.vsr/work/joined.mp4"))
        os.truncate(target, target.stat().st_size // 2)

    with monkeypatch.context() as patched:
        patched.setattr("vsr.media.write.mux.run", run)
        with pytest.raises(OutputError):
            upscale(bunny, tmp_path / "o.mp4", size=scale("1"))
    assert [p.name for p in tmp_path.iterdir()] == [".o.mp4.vsr"]
    again = upscale(bunny, tmp_path / "o.mp4", size=scale("1"))  # joins what was kept
    assert "resuming: 1 of 1 segments are done" in again.notes
    assert [p.name for p in tmp_path.iterdir()] == ["o.mp4"]


def test_any_name_works(bunny: Path, tmp_path: Path) -> None:
    for name in ("a b.mp4", "-y.mp4", "it's \"x\".mp4", "percent%20%d.mp4", "new\nline.mp4",
                 os.fsdecode("日本語 é.mp4".encode()), "a:b.mp4", "concat:x.mp4",
                 "[0]'.mp4"):  # fmt: skip
        source, output = tmp_path / name, tmp_path / f"out {name}"
        source.write_bytes(bunny.read_bytes())
        upscale(source, output, size=scale("0.25"))
        assert output.is_file()
