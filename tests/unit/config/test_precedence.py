"""Promise: the nearest place wins, as docs/configuration.md has it, and `--explain` says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import judge
from vsr.cli import main

# The command line, the environment, the file beside the film, the user's own file: each as
# `key=value` words. Then what is expected of options: value and place, or None where not set.
_TABLE = [
    ("", "", "", "", {}),
    ("", "", "", "crf=9", {"--crf": ("9", "user")}),
    ("", "", "crf=8", "crf=9", {"--crf": ("8", "beside")}),
    ("", "crf=7", "crf=8", "crf=9", {"--crf": ("7", "the environment")}),
    ("crf=6", "crf=7", "crf=8", "crf=9", {"--crf": ("6", "the command line")}),
    # a value that is the default is one, too
    ("reuse=off", "", "reuse=safe", "", {"--reuse": ("off", "the command line")}),
    # different options of different places are all kept
    ("crf=6", "bits=10", "chroma=420", "device=cpu", {
        "--crf": ("6", "the command line"), "--bits": ("10", "the environment"),
        "--chroma": ("420", "beside"), "--device": ("cpu", "user"),
    }),
    # presets
    ("for=fast", "", "", "", {"--reuse": ("fast", "preset fast")}),
    ("for=fast reuse=off", "", "", "", {"--reuse": ("off", "the command line")}),
    ("for=fast", "reuse=off", "", "", {"--reuse": ("fast", "preset fast")}),
    ("reuse=off", "for=fast", "", "", {"--reuse": ("off", "the command line")}),
    ("", "", "for=fast", "reuse=off", {"--reuse": ("fast", "preset fast")}),
    ("", "", "for=fast reuse=safe", "", {"--reuse": ("safe", "beside")}),
    ("", "reuse=exact", "for=fast", "", {"--reuse": ("exact", "the environment")}),
    ("", "", "", "for=fast", {"--reuse": ("fast", "preset fast")}),
    # only the nearest preset counts
    ("for=fast", "", "", "for=film", {"--reuse": ("fast", "preset fast"), "--grain": None}),
    ("for=film", "", "for=fast", "", {"--grain": ("1", "preset film"), "--reuse": None}),
    # options that exclude each other
    ("scale=2", "", "height=720", "", {"--scale": ("2", "the command line"), "--height": None}),
    ("", "", "height=720", "size=64x64", {"--height": ("720", "beside"), "--size": None}),
    ("height=720", "", "for=gif", "", {
        "--height": ("720", "the command line"), "--scale": None, "--codec": ("gif", "preset gif"),
    }),
    # what goes with another option
    ("codec=h265", "", "for=highlight", "", {
        "--codec": ("h265", "the command line"), "--crf": None, "--bits": None,
        "--height": ("1080", "preset highlight"),
    }),
    ("codec=h264", "", "for=highlight", "", {
        "--codec": ("h264", "the command line"), "--crf": ("20", "preset highlight"),
    }),
    ("codec=prores", "", "", "crf=9", {"--crf": None}),
    ("codec=av1", "crf=30", "", "", {"--crf": ("30", "the environment")}),
    ("model=x4plus", "", "for=film", "", {
        "--model": ("x4plus", "the command line"), "--denoise": None,
        "--grain": ("1", "preset film"),
    }),
]  # fmt: skip


def _toml(words: str) -> str:
    """`crf=9 codec=h265` as a file has it; numbers as text are understood, too."""
    pairs = (word.split("=") for word in words.split())
    numbers = ("crf", "height")
    return "".join(f"{key} = {value if key in numbers else repr(value)}\n" for key, value in pairs)


@pytest.mark.parametrize("row", _TABLE, ids=lambda row: " | ".join(row[:4]))
def test_the_nearest_place_wins(
    row: tuple[str, str, str, str, dict[str, tuple[str, str] | None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line, environment, beside, user, expected = row
    films, own = tmp_path / "films", tmp_path / "own"
    films.mkdir()
    own.mkdir()
    monkeypatch.setenv("VSR_CONFIG", str(own))
    for word in environment.split():
        key, _, value = word.partition("=")
        monkeypatch.setenv(f"VSR_{key.upper()}", value)
    if beside:
        (films / "vsr.toml").write_text(_toml(beside))
    if user:
        (own / "config.toml").write_text(_toml(user))
    flags = [f"--{word}" for word in line.split()]
    assert main(["upscale", str(films / "film.mkv"), *flags, "--explain"]) == 0
    said = capsys.readouterr().out
    found = {}
    for told in said.splitlines():
        if told.startswith("--"):
            flag, value, _, place = told.split(maxsplit=3)
            found[flag] = value, place
    names = {"beside": str(films / "vsr.toml"), "user": str(own / "config.toml")}
    for flag, want in expected.items():
        wanted = None if want is None else (want[0], names.get(want[1], want[1]))
        assert found.get(flag) == wanted, said
    if not expected:
        assert not found


def test_a_film_is_made_as_the_file_beside_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = judge.make(tmp_path / "film.mkv", "testsrc2=d=0.2:s=32x32:r=25", "-c:v", "ffv1")
    (tmp_path / "vsr.toml").write_text("model = 'nearest'\nheight = '64p'\ncodec = 'hevc'\n")
    assert main([str(film), "-o", str(tmp_path / "o.mkv")]) == 0
    assert judge.size_of(tmp_path / "o.mkv") == (64, 64)
    assert "hevc" in judge.video_line(tmp_path / "o.mkv")
    assert f"note: settings of {tmp_path / 'vsr.toml'}" in capsys.readouterr().err


def test_films_with_different_settings_are_refused_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    sources = [str(tmp_path / name / "film.mkv") for name in ("a", "b")]
    (tmp_path / "a" / "vsr.toml").write_text("crf = 9\n")
    assert main(["upscale", *sources]) == 2
    assert "give a command for each folder" in capsys.readouterr().err
    (tmp_path / "b" / "vsr.toml").write_text("crf = 9.0\n")
    assert main(["upscale", *sources, "--explain"]) == 0


def test_the_users_folder_of_weights_is_that_of_models_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.toml").write_text(f"models-dir = '{tmp_path / 'weights'}'\n")
    monkeypatch.setenv("VSR_CONFIG", str(tmp_path))
    assert main(["models"]) == 0
    assert f"Weights are kept in {tmp_path / 'weights'}" in capsys.readouterr().out
