"""Films through standard input."""

from __future__ import annotations

import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner

import vsr
from tests.support import judge
from tests.support.pipes import all_of, clipped, options, stdin
from vsr.cli import cli
from vsr.errors import InputError, OutputExists, UsageError


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


def test_separate_has_a_word_for_what_it_cannot_do(film: Path, tmp_path: Path) -> None:
    def refused(word: str, *sources: Path | str, output: Path | str | None, text: str) -> None:
        clips = tuple(vsr.Clip.parse(part) for part in text.split())
        chosen = vsr.UpscaleOptions(source=vsr.SourceOptions(clips=clips))
        with pytest.raises(UsageError, match=word):
            vsr.Batch(sources, output, chosen, separate=True)

    refused("standard output", film, output="-", text="0-1 1-2")
    refused("standard input", "-", output=tmp_path / "o.mkv", text="0-1 1-2")
    refused("is given 2 times", film, output=None, text="0-1 1-2 0-1.0")
    refused("is given 2 times", film, output=tmp_path, text="0-1 0-1")
    with (
        pytest.warns(DeprecationWarning, match="apart is called separate now"),
        pytest.raises(UsageError, match="needs at least one"),
    ):
        vsr.Batch([film], options=vsr.UpscaleOptions(), apart=True)


def test_standard_input_takes_one_clip_in_seconds(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stdin(monkeypatch, all_of(film.read_bytes())), pytest.raises(UsageError, match="one clip"):
        vsr.upscale("-", tmp_path / "out.mkv", clipped("3f-9f"))
