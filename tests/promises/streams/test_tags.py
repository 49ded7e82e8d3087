"""Promise 4, what a file says of itself: dates, places, cameras, titles; judged by ffmpeg."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.support import judge

_H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
_DATE = "2024-05-06T05:08:09"
_PHONE = {
    "com.apple.quicktime.location.iso6709": "+48.2000+016.3667+180.000/",
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "Phone 13",
    "com.apple.quicktime.creationdate": "2024-05-06T07:08:09+0200",
}


def tags(path: Path, part: str = "") -> dict[str, str]:
    """The tags of the file, or of its stream `part`, by their names in lower case."""
    which = ("-map_metadata", f"0:s:{part}") if part else ()
    text = judge.ffmpeg("-i", f"file:{path}", *which, "-f", "ffmetadata", "-").decode()
    first = text.replace("\\=", "=").split("\n[")[0]
    pairs = (line.partition("=") for line in first.splitlines() if "=" in line)
    return {name.lower(): value for name, _, value in pairs}


def dates(path: Path) -> list[str]:
    return [
        line.split(" : ")[1].split(";")[0]
        for line in judge.describe(path).splitlines()
        if "creation_time" in line
    ]


def run(source: Path, output: Path) -> vsr.Result:
    return vsr.upscale(source, output, model="nearest", scale=Fraction(2))


def phone(path: Path) -> Path:
    """A film as a phone writes it, turned by a quarter."""
    words = [word for pair in _PHONE.items() for word in ("-metadata", "=".join(pair))]
    plain = judge.make(
        path.with_stem("plain"), "testsrc2=s=64x48:r=25:d=0.4", "-map", "0", "-map", "1", *_H264,
        "-c:a", "aac", "-metadata", f"creation_time={_DATE}Z", *words, "-movflags",
        "use_metadata_tags", inputs=("-f", "lavfi", "-i", "sine=d=0.4"),
    )  # fmt: skip
    judge.ffmpeg("-display_rotation", "90", "-i", str(plain), "-c", "copy", "-map_metadata", "0",
                 "-metadata", f"creation_time={_DATE}Z", "-movflags", "use_metadata_tags",
                 str(path))  # fmt: skip
    return path


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_what_a_phone_says_stays(tmp_path: Path, suffix: str) -> None:
    source, output = phone(tmp_path / "s.mov"), tmp_path / f"o{suffix}"
    result = run(source, output)
    there = tags(output)
    assert {name: there.get(name) for name in _PHONE} == _PHONE
    found = dates(output)
    assert found
    assert all(date.startswith(_DATE) for date in found)
    if suffix != ".mkv":  # which says it of the file alone
        assert len(found) == 3
        assert there.get("major_brand", "").count(";") == 0
    assert "rotation of 90.00 degrees" in judge.describe(output)
    assert not [note for note in result.notes if "left out" in note]


def test_what_a_broadcast_cannot_say_is_named(tmp_path: Path) -> None:
    result = run(phone(tmp_path / "s.mov"), tmp_path / "o.ts")
    (said,) = (note for note in result.notes if "left out" in note)
    for name in ("creation_time", "com.apple.quicktime.make", "an .mkv would keep it"):
        assert name in said


def test_what_a_gif_cannot_say_is_named(tmp_path: Path) -> None:
    result = run(phone(tmp_path / "s.mov"), tmp_path / "o.gif")
    assert any("com.apple.quicktime.model" in note and "gif" in note for note in result.notes)


@pytest.mark.parametrize(("suffix", "said"), [(".ts", 1), (".gif", 1), (".mkv", 0), (".mp4", 0)])
def test_chapters_are_listed_or_named(tmp_path: Path, suffix: str, said: int) -> None:
    words = ";FFMETADATA1\n" + "".join(
        f"[CHAPTER]\nTIMEBASE=1/10\nSTART={2 * n}\nEND={2 * n + 2}\ntitle=C{n}\n" for n in range(2)
    )
    (tmp_path / "c.txt").write_text(words)
    source, output = tmp_path / "s.mkv", tmp_path / f"o{suffix}"
    judge.make(source, "testsrc2=s=64x48:r=25:d=0.4", "-map_chapters", "1", "-map", "0", *_H264,
               inputs=("-i", str(tmp_path / "c.txt")))  # fmt: skip
    result = run(source, output)
    found = [note for note in result.notes if "the list of its 2 chapters does not fit" in note]
    assert len(found) == said
    assert judge.describe(output).count("Chapter #") == (0 if said else 2)


def test_tags_of_music_players_stay_theirs(tmp_path: Path) -> None:
    said = {"title": "A Title", "show": "A Show", "genre": "Comedy", "comment": "none"}
    words = [word for pair in said.items() for word in ("-metadata", "=".join(pair))]
    source, output = tmp_path / "s.mkv", tmp_path / "o.mp4"
    judge.make(source, "testsrc2=s=64x48:r=25:d=0.4", *_H264, *words, "-metadata", "ONLY_HERE=x")
    result = run(source, output)
    assert {name: tags(output)[name] for name in said} == said
    assert b"mdta" not in output.read_bytes()  # which they do not read
    (lost,) = (note for note in result.notes if "left out" in note)
    assert "(ONLY_HERE)" in lost


@pytest.mark.parametrize("kind", [".mkv", ".mp4"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".ts"])
def test_titles_of_streams(tmp_path: Path, kind: str, suffix: str) -> None:
    source, output = tmp_path / f"s{kind}", tmp_path / f"o{suffix}"
    judge.make(
        source, "testsrc2=s=64x48:r=25:d=0.4", "-map", "0", "-map", "1", "-map", "1", *_H264,
        "-c:a", "aac", "-metadata:s:v", "title=View", "-metadata:s:a:0", "title=Game",
        "-metadata:s:a:1", "title=Mic", inputs=("-f", "lavfi", "-i", "sine=d=0.4"),
    )  # fmt: skip
    result = run(source, output)
    lost = [note for note in result.notes if "left out" in note]
    if suffix == ".ts":
        assert len(lost) == 3
        return
    assert not lost
    name = "title" if suffix == ".mkv" else "name"  # as ffmpeg calls it there
    assert [tags(output, str(n)).get(name) for n in range(3)] == ["View", "Game", "Mic"]
