"""Files that are still being written, and how a pipe is read by several."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import vsr
from tests.support import judge
from tests.support.pipes import SAME
from vsr.media.source.pipe import Pipe


@contextmanager
def recorded(growing: Path, data: bytes, piece: int, pause: float) -> Iterator[None]:
    """`data` comes at the end of the file, a piece after each pause; it is all there afterwards."""

    def record() -> None:
        with growing.open("ab") as file:
            for at in range(0, len(data), piece):
                time.sleep(pause)
                file.write(data[at : at + piece])
                file.flush()

    recorder = threading.Thread(target=record)
    recorder.start()
    try:
        yield
    finally:
        recorder.join()


def test_a_file_that_is_being_written_is_followed(film: Path, tmp_path: Path) -> None:
    growing = tmp_path / "growing.mkv"
    data = film.read_bytes()
    growing.write_bytes(data[:8000])
    output = tmp_path / "out.mkv"
    chosen = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=SAME,
        source=vsr.SourceOptions(follow=5.0),
        encode=vsr.EncodeOptions(codec="ffv1"),
    )
    with recorded(growing, data[8000:], len(data) // 8, 0.15):
        vsr.upscale(growing, output, chosen)
    assert [f.digest for f in judge.frames(output)] == [f.digest for f in judge.frames(film)]
    assert judge.packets(output, "a:1") == judge.packets(film, "a:1")
    assert "subrip" in judge.describe(output)


def test_a_file_whose_index_comes_last_is_awaited(bunny: Path, tmp_path: Path) -> None:
    last = tmp_path / "last.mp4"
    judge.ffmpeg("-i", str(bunny), "-c", "copy", str(last))
    growing, data = tmp_path / "growing.mp4", last.read_bytes()
    assert data.index(b"mdat") < data.index(b"moov")
    growing.touch()
    chosen = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=vsr.SizeOptions(scale=Fraction(1, 2)),
        source=vsr.SourceOptions(follow=5.0),
    )
    with recorded(growing, data, len(data) // 4, 0.2):
        result = vsr.upscale(growing, tmp_path / "out.mp4", chosen)
    assert result.frames == 120
    assert judge.packets(result.output, "a:0") == judge.packets(bunny, "a:0")


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
