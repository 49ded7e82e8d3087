"""Promise: every kind of source is asked the same, and what it says of itself is so."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image

from tests.support import judge
from vsr.errors import UsageError
from vsr.events import silent
from vsr.media.source.image_list import is_many
from vsr.media.source.kinds.base import Source
from vsr.media.source.kinds.table import probe_source
from vsr.media.source.pipe import Pipe, incoming
from vsr.options import ColourOptions

_FILM = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def _made(folder: Path, name: str) -> Path:
    """Write six frames of film, in a file or as pictures in a folder."""
    path = folder / name
    if name == "pictures":
        path.mkdir()
        judge.make(path / "%02d.png", "testsrc2=s=48x32:r=6:d=1")
    elif name == "a.webp":
        frames = [Image.new("RGB", (48, 32), (40 * n, 0, 0)) for n in range(6)]
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, lossless=True)
    else:
        judge.make(path, "testsrc2=s=48x32:r=6:d=1", *_FILM)
    return path


def _frames(source: Source) -> int:
    return sum(1 for _ in source.decode(None, silent))


@pytest.mark.parametrize(
    ("name", "copies", "alone", "sequence"),
    [
        ("a.mkv", True, False, False),
        ("a.webp", False, True, False),
        ("pictures", False, True, True),
    ],
)
def test_a_kind_can_be_read_as_often_as_it_says(
    name: str, copies: bool, alone: bool, sequence: bool, tmp_path: Path
) -> None:
    path = _made(tmp_path, name)
    source = probe_source(path, ColourOptions())
    assert (source.copies_streams, source.only_pictures) == (copies, alone)
    assert source.is_sequence == sequence == is_many(path)
    assert source.rereadable
    assert source.lasts
    assert [_frames(source), _frames(source)] == [6, 6]
    if (times := source.known_times()) is not None:
        assert len(times) == 6
    source.check_whole(silent)
    identity = source.identity()
    if path.is_file():
        with path.open("r+b") as file:
            file.seek(-1, 2)
            last = file.read(1)[0]
            file.seek(-1, 2)
            file.write(bytes([last ^ 1]))
    else:
        (path / "03.png").unlink()
        source = probe_source(path, ColourOptions())
    assert source.identity() != identity


def test_a_pipe_is_read_once_and_kept_on_the_way(tmp_path: Path) -> None:
    film = _made(tmp_path, "a.mkv")
    with film.open("rb") as file:
        pipe = Pipe(incoming(file))
        source = probe_source(Path("stdin"), ColourOptions(), pipe=pipe)
        assert not (source.rereadable)
        assert not (source.copies_streams)
        assert not source.lasts
        with pytest.raises(UsageError, match="read twice"):
            source.check_whole(silent)
        with ExitStack() as stack:
            kept = source.kept(tmp_path, stack)
            assert _frames(source) == 6
            source.drain(None)
    assert kept.path.read_bytes() == film.read_bytes()
    assert kept.copies_streams
    assert _frames(kept) == 6
