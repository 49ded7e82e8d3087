"""Promises: moments that tell are found by themselves, and those that are named are taken."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support import judge
from vsr.errors import UsageError
from vsr.media.read.keyframes import keyframes
from vsr.media.source.probe import probe
from vsr.options import ColourOptions, Moment
from vsr.report.moments import TellingMoment, find_moments, named_moments

COLOUR, WHOLE = ColourOptions(), (1.0, 1.0)
# Shots of two seconds each, at 10 frames a second.
SHOTS = {
    "still": "color=0x707070:s=192x96:r=10:d=2",
    "moving": "testsrc2=s=192x96:r=10:d=2",
    "dark": "testsrc=s=192x96:r=10:d=2,eq=brightness=-0.42:contrast=0.3",
    "letters": "color=white:s=192x96:r=10:d=2,"
    "geq=lum='if(gt(X,96)*eq(mod(floor(X/2)+floor(Y/6),2),0),16,235)':cb=128:cr=128",
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    inputs = [word for shot in SHOTS.values() for word in ("-f", "lavfi", "-i", shot)]
    joined = "".join(f"[{n}]format=yuv420p[v{n}];" for n in range(len(SHOTS)))
    joined += "".join(f"[v{n}]" for n in range(len(SHOTS))) + f"concat={len(SHOTS)}"
    judge.ffmpeg(*inputs, "-filter_complex", joined, "-c:v", "libx264", "-g", "15", str(path))
    return path


def found(film: Path) -> dict[str, TellingMoment]:
    source = probe(film)
    return {m.reason: m for m in find_moments(source, keyframes(source), COLOUR, (0.4, 0.5))}


def shot(moment: TellingMoment) -> str:
    return list(SHOTS)[moment.frame // 20]


def test_each_kind_of_trouble_is_found_in_its_shot(film: Path) -> None:
    moments = found(film)
    assert shot(moments["the most motion"]) == "moving"
    assert shot(moments["dark"]) == "dark"
    assert shot(moments["edges like those of text"]) == "letters" or (
        shot(moments["the most detail"]) == "letters"
    )
    assert moments["just after a cut"].frame in (20, 40, 60)


def test_moments_lie_apart_and_say_when_they_are(film: Path) -> None:
    moments = list(found(film).values())
    assert [m.seconds for m in moments] == [Fraction(m.frame, 10) for m in moments]
    times = sorted(m.seconds for m in moments)
    assert all(b - a >= 1 for a, b in pairwise(times))


def test_the_window_lies_over_what_is_to_be_seen(film: Path) -> None:
    """Letters fill the right half of their shot."""
    letters = [m for m in found(film).values() if shot(m) == "letters"]
    assert letters
    assert all(m.centre[0] > 0.6 for m in letters)


def test_a_film_without_any_trouble_has_a_moment_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "black.mkv"
    judge.ffmpeg("-f", "lavfi", "-i", "color=black:s=64x64:r=10:d=1", str(path))
    assert len(found(path)) == 1


def test_a_moment_that_is_named_is_what_is_on_the_screen_then(film: Path) -> None:
    source = probe(film)
    index = keyframes(source)
    wanted = [Moment.parse(text) for text in ("30f", "1.25")]
    assert [m.frame for m in named_moments(source, index, COLOUR, WHOLE, wanted)] == [12, 30]
    with pytest.raises(UsageError, match="behind the film's last frame"):
        named_moments(source, index, COLOUR, WHOLE, [Moment.parse("1:00:00")])
