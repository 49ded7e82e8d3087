"""Standard input and output, and files that are still being written."""

from __future__ import annotations

import io
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import vsr
from tests import judge
from vsr.cli import cli
from vsr.errors import InputError, OutputError, OutputExists, UsageError
from vsr.media.pipe import Pipe

SAME = vsr.SizeOptions(scale=Fraction(1))


def options(**encode: Any) -> vsr.UpscaleOptions:
    return vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=SAME, encode=vsr.EncodeOptions(**encode)
    )


def clipped(text: str, **encode: Any) -> vsr.UpscaleOptions:
    source = vsr.SourceOptions(clips=(vsr.Clip.parse(text),))
    return vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=SAME,
        source=source,
        encode=vsr.EncodeOptions(**encode),
    )


@contextmanager
def stdin(monkeypatch: pytest.MonkeyPatch, write: Callable[[int], None]) -> Iterator[None]:
    """A pipe in place of standard input, into which a thread writes."""
    reading, writing = os.pipe()

    def run() -> None:
        try:
            write(writing)
        except BrokenPipeError:
            pass  # its reader has what it wants
        finally:
            os.close(writing)

    thread = threading.Thread(target=run)
    with open(reading, "rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        thread.start()
        yield
    thread.join()


def all_of(data: bytes) -> Callable[[int], None]:
    def write(descriptor: int) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


class Kept(io.BytesIO):
    """Standard output that a test can look at: not seekable, like a pipe."""

    def seekable(self) -> bool:
        return False

    def seek(self, *where: int) -> int:
        raise OSError("a pipe")


def stdout(monkeypatch: pytest.MonkeyPatch) -> Kept:
    kept = Kept()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=kept, write=lambda text: None))
    return kept


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """2 s: picture with B-frames, two sounds, subtitles."""
    (tmp_path / "a.srt").write_text("1\n00:00:00,200 --> 00:00:01,400\nhello\n")
    judge.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-f", "lavfi", "-i",
        "anoisesrc=d=2:a=0.1:r=48000", "-i", str(tmp_path / "a.srt"), "-map", "0", "-map", "1",
        "-map", "1", "-map", "2", "-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p", "-g", "20",
        "-c:a:0", "libopus", "-c:a:1", "flac", "-c:s", "srt", "-metadata", "title=Piped",
        str(tmp_path / "film.mkv"),
    )  # fmt: skip
    return tmp_path / "film.mkv"


# --- in ---


def test_a_film_through_standard_input_keeps_everything(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mkv"
    with stdin(monkeypatch, all_of(film.read_bytes())):
        vsr.upscale("-", output, options(codec="ffv1"))
    assert [f.digest for f in judge.frames(output)] == [f.digest for f in judge.frames(film)]
    assert [f.pts for f in judge.frames(output)] == [f.pts for f in judge.frames(film)]
    for stream in ("a:0", "a:1"):
        assert judge.packets(output, stream) == judge.packets(film, stream)
    assert "Piped" in judge.describe(output)
    assert "subrip" in judge.describe(output)


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".nut", ".webp", ".png", ".gif"])
def test_kinds_of_file_through_standard_input(
    bunny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    # An MP4 has its index at the end here, a WebP cannot be read by ffmpeg at all.
    source = tmp_path / f"a{suffix}"
    still = suffix in (".png", ".webp")
    length = ["-frames:v", "1"] if still else ["-t", "1", "-an"]
    judge.ffmpeg("-i", str(bunny), *length, str(source))
    output = tmp_path / "out.mkv"
    with stdin(monkeypatch, all_of(source.read_bytes())):
        result = vsr.upscale("-", output, options(codec="ffv1"))
    assert result.frames == len(judge.frames(output))
    if suffix != ".gif":  # ffmpeg makes that at a rate of its own
        assert result.frames == (1 if still else 24)
    whole = vsr.upscale(source, tmp_path / "file.mkv", options(codec="ffv1"))
    assert [f.digest for f in judge.frames(output)] == [
        f.digest for f in judge.frames(whole.output)
    ]


@pytest.mark.parametrize(
    ("second", "words"), [("5000", "clock jumps ahead"), ("10", "timestamps run backwards")]
)
def test_a_clock_that_jumps_in_a_pipe_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str, words: str
) -> None:
    data = b""
    for n, offset in enumerate(("10", second)):
        part = judge.make(
            tmp_path / f"{n}.ts", "testsrc2=s=64x48:r=25:d=1", "-pix_fmt", "yuv420p", "-c:v",
            "libx264", "-output_ts_offset", offset,
        )  # fmt: skip
        data += part.read_bytes()
    with stdin(monkeypatch, all_of(data)):
        result = vsr.upscale("-", tmp_path / "out.mkv", options())
    assert len([note for note in result.notes if words in note]) == 1
    assert result.frames == 50


def test_raw_pictures_are_not_stored(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mkv"
    copies: list[Path] = []

    def write(descriptor: int) -> None:
        data = judge.ffmpeg("-i", str(film), "-f", "yuv4mpegpipe", "-")
        for at in range(0, len(data), 50_000):
            all_of(data[at : at + 50_000])(descriptor)
            copies.extend(tmp_path.glob(".vsr-*/stdin"))

    with stdin(monkeypatch, write):
        vsr.upscale("-", output, options(codec="ffv1"))
    assert not copies
    assert [f.digest for f in judge.frames(output)] == [f.digest for f in judge.frames(film)]


def test_a_part_of_an_endless_stream(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = judge.ffmpeg("-i", str(film), "-map", "0:v", "-map", "0:a:0", "-c", "copy", "-f",
                        "matroska", "-live", "1", "-")  # fmt: skip
    hung = threading.Event()

    def write(descriptor: int) -> None:
        all_of(live)(descriptor)
        hung.wait(30)  # nothing more comes, and the pipe stays open

    output = tmp_path / "out.mkv"
    began = time.monotonic()
    with stdin(monkeypatch, write):
        vsr.upscale("-", output, clipped("0.4-1", codec="ffv1"))
        hung.set()
    assert time.monotonic() - began < 20
    want = judge.frames(film)[10:25]
    assert [f.digest for f in judge.frames(output)] == [f.digest for f in want]
    places = {p.digest: p.pts for p in judge.packets(film, "a:0")}
    heard = judge.packets(output, "a:0")
    assert 29 <= len(heard) <= 30
    assert all(abs(p.pts + want[0].pts - places[p.digest]) <= Fraction(2, 1000) for p in heard)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "nothing came"),
        (b"hello", "not a media file"),
        (b"#EXTM3U\nx.ts\n", "not a media file"),
    ],
)
def test_what_is_no_film_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, words: str
) -> None:
    with stdin(monkeypatch, all_of(data)), pytest.raises(InputError, match=words):
        vsr.upscale("-", tmp_path / "out.mkv", options())
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="name the result"):
        vsr.upscale("-", None, options())


def test_standard_input_is_not_read_for_a_name_that_is_taken(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.mkv").write_bytes(b"precious")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OutputExists):
        vsr.upscale("-", tmp_path / "out.mkv", options())


def test_a_file_may_be_called_dash(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film.rename(tmp_path / "-")
    result = vsr.upscale("./-", "out.mkv", options(codec="ffv1"))
    assert len(judge.frames(result.output)) == 50
    (outcome,) = vsr.Batch(["./-"], None, options()).run()
    assert outcome.result is not None
    assert outcome.result.output == tmp_path / "-_1x.mkv"
    (tmp_path / "-").unlink()
    (tmp_path / "-").mkdir()
    arguments = ["upscale", "out.mkv", "-o", "./-", "-m", "nearest", "-s", "1"]
    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path}/-/out_1x.mkv\n"), done.output


def test_apart_has_a_word_for_what_it_cannot_do(film: Path, tmp_path: Path) -> None:
    def refused(word: str, *sources: Path | str, output: Path | str | None, text: str) -> None:
        clips = tuple(vsr.Clip.parse(part) for part in text.split())
        chosen = vsr.UpscaleOptions(source=vsr.SourceOptions(clips=clips))
        with pytest.raises(UsageError, match=word):
            vsr.Batch(sources, output, chosen, apart=True)

    refused("standard output", film, output="-", text="0-1 1-2")
    refused("standard input", "-", output=tmp_path / "o.mkv", text="0-1 1-2")
    refused("is given 2 times", film, output=None, text="0-1 1-2 0-1.0")
    refused("is given 2 times", film, output=tmp_path, text="0-1 0-1")


def test_standard_input_takes_one_clip_in_seconds(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stdin(monkeypatch, all_of(film.read_bytes())), pytest.raises(UsageError, match="one clip"):
        vsr.upscale("-", tmp_path / "out.mkv", clipped("3f-9f"))


# --- out ---


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


def test_sound_that_nut_cannot_hold_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = stdout(monkeypatch)
    source = judge.make(
        tmp_path / "a.wmv", "testsrc2=s=64x48:r=25:d=1", "-map", "0", "-map", "1", "-c:v", "wmv2",
        "-c:a", "wmav2", inputs=["-f", "lavfi", "-i", "sine=d=1"],
    )  # fmt: skip
    result = vsr.upscale(source, "-", options())
    assert any("wmav2 sound does not fit nut: left out" in note for note in result.notes)
    output = tmp_path / "got.nut"
    output.write_bytes(kept.getvalue())
    assert "Audio" not in judge.describe(output)
    assert len(judge.frames(output)) == 25


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


# --- a file that grows ---


def test_a_file_that_is_being_written_is_followed(film: Path, tmp_path: Path) -> None:
    growing = tmp_path / "growing.mkv"
    data = film.read_bytes()
    growing.write_bytes(data[:8000])

    def record() -> None:
        with growing.open("ab") as file:
            for at in range(8000, len(data), len(data) // 8):
                time.sleep(0.15)
                file.write(data[at : at + len(data) // 8])
                file.flush()

    recorder = threading.Thread(target=record)
    recorder.start()
    output = tmp_path / "out.mkv"
    chosen = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=SAME,
        source=vsr.SourceOptions(follow=1.0),
        encode=vsr.EncodeOptions(codec="ffv1"),
    )
    vsr.upscale(growing, output, chosen)
    recorder.join()
    assert [f.digest for f in judge.frames(output)] == [f.digest for f in judge.frames(film)]
    assert judge.packets(output, "a:1") == judge.packets(film, "a:1")
    assert "subrip" in judge.describe(output)


def test_a_file_whose_index_comes_last_is_awaited(bunny: Path, tmp_path: Path) -> None:
    last = tmp_path / "last.mp4"
    judge.ffmpeg("-i", str(bunny), "-c", "copy", str(last))
    growing, data = tmp_path / "growing.mp4", last.read_bytes()
    assert data.index(b"mdat") < data.index(b"moov")
    growing.touch()

    def record() -> None:
        with growing.open("ab") as file:
            for at in range(0, len(data), len(data) // 4):
                time.sleep(0.2)
                file.write(data[at : at + len(data) // 4])
                file.flush()

    recorder = threading.Thread(target=record)
    recorder.start()
    chosen = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=vsr.SizeOptions(scale=Fraction(1, 2)),
        source=vsr.SourceOptions(follow=1.0),
    )
    result = vsr.upscale(growing, tmp_path / "out.mp4", chosen)
    recorder.join()
    assert result.frames == 120
    assert judge.packets(result.output, "a:0") == judge.packets(bunny, "a:0")


# --- the pipe itself ---


def test_readers_keep_their_own_place_and_little_is_held() -> None:
    total, served = 20 << 20, 0

    def chunks() -> bytes:
        nonlocal served
        size = min(1 << 16, total - served)
        served += size
        return bytes([served >> 16 & 255]) * size

    pipe = Pipe(chunks)
    assert len(pipe.head(100)) == 100
    pipe.start(2)
    fast, slow = pipe.reader(), pipe.reader()
    sums, most = [0, 0], 0
    while data := fast.read(40_000):
        sums[0] += sum(data)
        if fast.place - slow.place > 1 << 20:
            while slow.place < fast.place and (late := slow.read(100_000)):
                sums[1] += sum(late)
        most = max(most, len(pipe._held))
    while late := slow.read(100_000):
        sums[1] += sum(late)
    assert sums[0] == sums[1]
    assert fast.place == slow.place == total
    assert most < 3 << 20


def test_a_reader_that_waits_can_be_stopped() -> None:
    pipe = Pipe(lambda: time.sleep(0.01))  # nothing ever comes
    pipe.start(1)
    reader = pipe.reader()
    threading.Timer(0.1, pipe.stop).start()
    assert reader.read(10) == b""
