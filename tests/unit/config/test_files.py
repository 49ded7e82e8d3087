"""Promise: a file of settings is understood or refused, with file, word and what was meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vsr.cli import main
from vsr.config import preset_names, preset_text

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("heigth = 1080", "heigth: no option is called so; did you mean height?"),
        ("[size]\nscale = 2", "size {'scale': 2}: must be a list"),
        ("stabilise = 'auto'", "stabilise: is called temporal-filter now"),
        ("mirror = 'http://x'", "mirror: is not settled beside a film"),
        ("overwrite = true", "overwrite: is not settled in a file, only on the command line"),
        ("crf = \n", "is no TOML (Invalid value (at line 1, column 7))"),
        ("height = 1", "height 1: must lie between 2 and 32768 pixels"),
        ("height = 'tall'", "height: 'tall' is no height such as 1080, 1080p or 4k"),
        ("codec = 'h267'", "codec 'h267': must be one of h264, h265"),
        ("audio = 'no'", "audio 'no': must be true or false"),
        ("for = 3", "for 3: must be text"),
        ("for = 'anmie'", "anmie: no preset is called so; did you mean anime?"),
    ],
)
def test_a_wrong_file_is_one_line(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vsr.toml").write_text(text)
    assert main(["upscale", str(tmp_path / "film.mkv")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "anmie" in said or line.startswith(f"vsr: {tmp_path / 'vsr.toml'}: ")


def test_every_shipped_preset_says_why() -> None:
    """What it is for, and above each choice, or above its group, a reason."""
    for name, layer in preset_names().items():
        assert layer.about
        assert layer.values
        for block in preset_text(name).strip().split("\n\n")[1:]:
            assert block.startswith("# ") or (name == "gif" and block == 'codec = "gif"'), block


def test_the_help_names_every_shipped_preset() -> None:
    cli = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    told = re.search(r"--for PRESET\s+Take what is good for (.*?);", cli, re.DOTALL)
    assert told is not None
    words = set(re.findall(r"\w+", told[1])) - {"or"}
    assert words == {path.stem for path in (ROOT / "vsr" / "presets").glob("*.toml")}


def test_a_preset_is_saved_shown_listed_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VSR_CONFIG", str(tmp_path))
    save = ["presets", "save", "mine", "--for", "anime", "-s", "4/3", "--no-audio", "--about", "Ä"]
    assert main([*save, "--encoder-option", "tune=animation", "--size", "64x48"]) == 2
    assert main([*save, "--encoder-option", "tune=animation"]) == 0
    assert main(save) == 2
    assert main([*save, "--overwrite", "--encoder-option", "a=b"]) == 0
    capsys.readouterr()
    assert main(["presets"]) == 0
    assert re.search(r"^mine +Ä$", capsys.readouterr().out, re.MULTILINE)
    assert main(["presets", "show", "mine"]) == 0
    assert 'reuse = "safe"  # as in preset anime' in capsys.readouterr().out
    assert main(["upscale", "x.mkv", "--for", "mine", "--explain"]) == 0
    said = capsys.readouterr().out
    for word in ("--scale", "4/3", "--no-audio", "--encoder-option", "a=b", "from preset mine"):
        assert word in said
    assert sorted(path.name for path in (tmp_path / "presets").iterdir()) == ["mine.toml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["anime", "-s", "2"], "comes with vsr"),
        (["../x", "-s", "2"], "small letters"),
        (["x", "--clip", "1-2"], "--clip: is given anew"),
        (["x", "--start", "1"], "given anew"),
        (["x"], "no option is given"),
    ],
)
def test_what_is_not_saved(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VSR_CONFIG", str(tmp_path))
    assert main(["presets", "save", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
