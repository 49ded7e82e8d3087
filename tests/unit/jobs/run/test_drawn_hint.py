"""Promise: where the default network is made for other film, that is said, as a guess."""

from __future__ import annotations

from pathlib import Path

import pytest

import vsr
from tests.support import judge
from vsr.events import Event, Note
from vsr.options import with_keywords

_HINT = "has few flat areas"


def _notes(source: Path, output: Path, model: str | None = None) -> list[str]:
    said: list[Event] = []
    options = with_keywords(vsr.UpscaleOptions(), {"clip": "0f-1f", "size": "64x64"})
    if model is not None:
        options = with_keywords(options, {"model": model})
    vsr.upscale(source, output, options, sink=said.append)
    return [event.text for event in said if isinstance(event, Note)]


@pytest.mark.parametrize("crf", ["18", "28"])
def test_drawn_film_is_taken_as_such(tmp_path: Path, crf: str) -> None:
    film = judge.make(
        tmp_path / "drawn.mp4", "testsrc2=d=0.5:s=128x96:r=25", "-pix_fmt", "yuv420p", "-crf", crf
    )
    assert not any(_HINT in note for note in _notes(film, tmp_path / "o.mkv"))


def test_film_without_flat_areas_is_told_of(tmp_path: Path) -> None:
    texture = (
        "nullsrc=d=0.5:s=128x96:r=25,geq=lum='128+60*sin(X/3)*sin(Y/4)+20*random(1)':cb=128:cr=128"
    )
    film = judge.make(tmp_path / "live.mp4", texture, "-pix_fmt", "yuv420p", "-crf", "28")
    (note,) = [note for note in _notes(film, tmp_path / "o.mkv") if _HINT in note]
    assert note.startswith("live.mp4: ")
    assert "<model.name> general or x4plus" in note
    named = _notes(film, tmp_path / "p.mkv", model="animevideov3")
    assert not any(_HINT in note for note in named)
