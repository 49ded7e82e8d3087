"""Promise: a name asks for one kind of result, and each kind says what it can."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsr.errors import OutputExists, UsageError
from vsr.frame import Layout
from vsr.jobs.outputs.table import output_of
from vsr.media.format.encoders import plan_encoder
from vsr.options import EncodeOptions

_STREAM, _SEQUENCE, _ONE, _FILM, _ANIMATION = "stream", "sequence", "one", "film", "animation"


def _kind(name: str) -> str:
    """Return what the result of that name says of itself."""
    output = output_of(Path(name), EncodeOptions())
    said = {
        _STREAM: output.is_stream,
        _SEQUENCE: output.is_sequence,
        _ONE: output.is_one_picture,
    }
    kinds = [kind for kind, so in said.items() if so]
    assert len(kinds) <= 1
    return kinds[0] if kinds else output.container.kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("-", _STREAM),
        ("a.mkv", _FILM),
        ("a.mp4", _FILM),
        ("a.ts", _FILM),
        ("a%d.mkv", _FILM),  # a film of that name
        ("a.gif", _ANIMATION),
        ("a%03d.gif", _ANIMATION),
        ("a.webp", _ANIMATION),
        ("a.PNG", _ONE),
        ("a.jpg", _ONE),
        ("a%03d.png", _SEQUENCE),
        ("a%03d.webp", _SEQUENCE),
        ("a%%.png", _ONE),
    ],
)
def test_a_name_asks_for_a_kind(name: str, kind: str) -> None:
    assert _kind(name) == kind


def test_a_name_of_no_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="must end in"):
        output_of(Path("a.txt"), EncodeOptions())


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a%d.png", "a.png"])
def test_segments_lose_nothing_unless_they_are_joined_as_they_are(name: str) -> None:
    output = output_of(Path(name), EncodeOptions())
    own = plan_encoder(EncodeOptions(codec=output.container.usual), Layout(family="yuv"))
    segments = output.segment_encoder(own)
    assert segments.encoder.codec == ("h264" if name == "a.mp4" else "ffv1")


def test_a_name_that_is_taken_is_refused_with_the_file(tmp_path: Path) -> None:
    taken = tmp_path / "a.mkv"
    taken.write_bytes(b"x")
    output = output_of(taken, EncodeOptions())
    with pytest.raises(OutputExists) as caught:
        output.check(None, overwrite=False)
    assert caught.value.output == taken
    output.check(None, overwrite=True)
    with pytest.raises(UsageError, match="its source"):
        output.check(taken, overwrite=True)
    assert taken.read_bytes() == b"x"
