"""Promise: a wrong command line is answered in one line that says what is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import judge
from vsr.cli import main
from vsr.options import UpscaleOptions, with_keywords

_FILM = ("upscale", "film.mp4")
_WRONG = [
    # commands
    ("upscal film.mp4", "did you mean vsr upscale?"),
    ("enlarge film.mp4", "did you mean vsr upscale?"),
    ("probee film.mp4", "did you mean vsr probe?"),
    ("info film.mp4", "did you mean vsr probe?"),
    ("compare a.mkv b.mkv", "did you mean vsr metrics?"),
    ("benchmark film.mp4", "did you mean vsr bench?"),
    ("resume out.mp4", "did you mean vsr jobs resume?"),
    ("download x4plus", "did you mean vsr models fetch?"),
    ("job", "did you mean vsr jobs?"),
    ("help", "did you mean vsr --help?"),
    ("-s 2 film.mp4", "options follow the command"),
    ("jobs remov out.mp4", "did you mean vsr jobs remove?"),
    # options by a slip
    ("upscale film.mp4 --heigth 1080", "--height"),
    ("upscale film.mp4 --modle x4plus", "--model"),
    ("upscale film.mp4 --over-write", "--overwrite"),
    ("upscale film.mp4 --temporal-filtre auto", "--temporal-filter"),
    # options of other programs
    ("upscale -i film.mp4", "name the film alone"),
    ("upscale film.mp4 --outscale 2", "-s 2"),
    ("upscale film.mp4 --width 1920", "--size 1920x1080"),
    ("upscale film.mp4 --gpu 0", "--device cuda"),
    ("upscale film.mp4 --fp32", "--precision"),
    ("upscale film.mp4 -n x4plus", "-m names the network"),
    ("upscale film.mp4 --denoise_strength 0.5", "--denoise"),
    ("upscale film.mp4 --ext mkv", "-o"),
    ("upscale film.mp4 -y", "--overwrite"),
    ("upscale film.mp4 --bitrate 8M", "--crf"),
    ("upscale film.mp4 -c:v libx265", "--codec"),
    ("upscale film.mp4 -ss 10", "--start"),
    ("upscale film.mp4 -to 20", "--end"),
    ("upscale film.mp4 -an", "--no-audio"),
    ("upscale film.mp4 --resume", "vsr jobs"),
    ("upscale film.mp4 --dry-run", "vsr probe"),
    # values
    ("upscale film.mp4 --codec h267", "did you mean h265?"),
    ("upscale film.mp4 --codec xvid", "It is one of h264, h265"),
    ("upscale film.mp4 --size 1080p", "--height 1080p"),
    ("upscale film.mp4 --height tall", "1080, 1080p or 4k"),
    ("upscale film.mp4 -s much", "such as 2, 1.5 or 4/3"),
    ("upscale film.mp4 --reuse saf", "did you mean safe?"),
    ("upscale film.mp4 --start noon", "such as 90, 1:30"),
    ("upscale film.mp4 --precision int8", "fp32, fp16, bf16"),
    ("upscale film.mp4 --crf high", "not a valid float"),
    ("upscale film.mp4 -s 2 --height 1080", "give only one of them"),
    ("upscale film.mp4 -m animevideo3 -o x.mp4", "did you mean realesr-animevideov3?"),
    ("upscale film.mp4 out.mp4", "-o names the result"),
    ("upscale film.mp4 -o out.xyz -m nearest", "must end in"),
    ("upscale", "Missing argument 'IN...'"),
    # of a new user's walk
    ("watch film.mp4", "vsr --help lists the commands"),
    ("film.mp4 --upscale 2", "-s 2 enlarges"),
    ("upscale film.mp4 --outpt big.mkv", "--output"),
    ("upscale film.mp4 --colors 64", "--colours"),
    ("upscale film.mp4 --size 1920", "--height 1920"),
    ("upscale film.mp4 --for animee", "did you mean anime?"),
    ("upscale film.mp4 --denoise 0.5", "works with realesr-general-x4v3"),
    ("upscale film.mp4 --grain lots", "keep, remove"),
    ("upscale film.mp4 --clip 1:20", "1:20-1:30"),
    ("upscale film.mp4 --crop 10:10", "704:480:8:0"),
    ("upscale film.mp4 --device gpu", "cuda:N"),
    ("upscale film.mp4 --strength 50", "between 0 and 1"),
    ("upscale film.mp4 --crf 99 -o big.mkv", "0 to 51"),
    ("upscale film.mp4 -o film.mp4", "take the place of its source"),
    ("upscale flim.mp4", "no such file"),
    ("report nothing.mkv", "no such file"),
    ("metrics film.mp4 film.mp4 --metric vmaff", "one of psnr"),
    ("presets show animee", "did you mean anime?"),
    ("presets save anime --crf 20", "choose another name"),
    ("preview film.mp4 --compare modell=x4plus", "did you mean model?"),
    ("jobs resume nothing.mkv", "`vsr jobs` lists"),
    ("finetune film.mp4 --minuts 3", "--minutes"),
    ("train film.mp4 -o a.safetensors --stage gann", "did you mean gan?"),
    # options of another command
    ("upscale film.mp4 --metric vmaf", "here; vsr metrics, vsr report can take it"),
    ("upscale film.mp4 --at 1:20", "vsr preview can take it"),
    ("upscale film.mp4 --minutes 5", "vsr finetune can take it"),
    ("report film.mp4 --compare model=bicubic", "vsr preview can take it"),
    # one hyphen, or a word processor's dash
    ("upscale film.mp4 -crf 18", "here: --crf"),
    ("upscale film.mp4 -model x4plus", "here: --model"),
    ("upscale film.mp4 \N{EM DASH}height 1080", "here: --height"),
    ("upscale film.mp4 \N{EN DASH}codec=h265", "here: --codec"),
    # parts of commands
    ("jobs rm film.mp4", "did you mean vsr jobs remove?"),
    ("models info x4plus", "did you mean vsr models show?"),
    ("presets anime", "vsr presets has list, save, show"),
    ("cluster status", "vsr cluster has doctor"),
    # numbers, names and files
    ("upscale film.mp4 --height 100000", "between 2 and 32768"),
    ("upscale film.mp4 -s -2", "between 1/16 and 64"),
    ("upscale film.mp4 -m RealESRGAN_x4plus_anime", "did you mean RealESRGAN_x4plus_anime_6B?"),
    ("upscale film.mp4 --then x4pluss", "did you mean RealESRGAN_x4plus?"),
    ("upscale film.mp4 --preset slowest -m nearest", "veryslow"),
    ("upscale film.mp4 --codec prores --crf 18 -o big.mov -m nearest", "prores has no such scale"),
    ("upscale film.mp4 -o big.webm --codec h264 -m nearest", "a webm file cannot hold h264"),
    ("upscale film.mp4 --encoder-option tune=animationn -m nearest", "tune=animationn"),
    ("upscale film.mp4 --clip 0-1 --start 0", "not together with --start"),
    ("upscale film.mp4 --stream audio", "not a valid integer"),
    ("upscale film.mp4 --matrix bt708", "did you mean bt709?"),
    ("preview film.mp4 -m bicubic -o page.mp4", "ends in .html"),
    ("report film.mp4 film.mp4 -o page.mkv", "ends in .html"),
    ("preview film.mp4 --compare strength:0.5", "OPTION=VALUE,VALUE"),
    ("preview film.mp4 --compare strength=2 -m bicubic", "between 0 and 1"),
    ("metrics film.mp4 film.mp4 --resize lancos", "did you mean lanczos?"),
    ("submit film.mp4 --server nas", "http://nas:8787"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    judge.ffmpeg("-f", "lavfi", "-i", "color=d=0.1:s=32x32", str(folder / "film.mp4"))
    return folder


@pytest.mark.parametrize(("line", "hint"), _WRONG, ids=[line for line, _ in _WRONG])
def test_a_wrong_line_is_answered_with_what_is_right(
    line: str,
    hint: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert main(line.split()) in (2, 3, 4)
    said = capsys.readouterr()
    (problem,) = [one for one in said.err.splitlines() if one.startswith(("vsr:", "Error:"))]
    assert hint in problem
    assert said.out == ""
    assert [path.name for path in folder.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize("line", ["doctor --gpu", "metrics a.mkv b.mkv --mute", "jobs --fp32"])
def test_no_option_is_named_that_the_command_does_not_have(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert "No such option" in said
    assert "here:" not in said


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("vsr ups", "upscale"),
        ("vsr upscale -m real", "realesr-animevideov3"),
        ("vsr upscale --codec h26", "h265"),
        ("vsr upscale --temp", "--temporal-filter"),
        ("vsr jobs res", "resume"),
    ],
)
def test_words_are_completed(
    words: str, offered: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_VSR_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit):
        main([])
    assert f"plain,{offered}" in capsys.readouterr().out.splitlines()


def test_a_network_of_no_name_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of `-m "$MODEL"`, in a script where nobody has set it."""
    monkeypatch.chdir(folder)
    assert main([*_FILM, "-m", ""]) == 4
    assert "is a variable not set?" in capsys.readouterr().err


def test_there_are_forty() -> None:
    assert len({line for line, _ in _WRONG}) >= 40


def test_a_film_alone_is_upscaled(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.mp4"
    line = [str(folder / "film.mp4"), "-m", "nearest", "-s", "2x", "--codec", "HEVC", "-q"]
    assert main([*line, "-o", str(output)]) == 0
    assert judge.size_of(output) == (64, 64)
    assert "hevc" in judge.video_line(output)
    assert capsys.readouterr().out.strip() == str(output)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"scale": "2x"}, {"scale": "2"}),
        ({"scale": "x1.5"}, {"scale": "3/2"}),
        ({"scale": "150%"}, {"scale": "3/2"}),
        ({"height": "1080p"}, {"height": 1080}),
        ({"height": "4K"}, {"height": 2160}),
        ({"size": "1920*1080"}, {"size": "1920x1080"}),
        ({"codec": "x265"}, {"codec": "h265"}),
        ({"codec": "AVC"}, {"codec": "h264"}),
        ({"precision": "half"}, {"precision": "fp16"}),
        ({"range": "tv"}, {"range": "limited"}),
        ({"range": "pc"}, {"range": "full"}),
        ({"chroma": "4:2:0"}, {"chroma": "420"}),
    ],
)
def test_values_are_understood_as_people_say_them(
    given: dict[str, object], plain: dict[str, object]
) -> None:
    default = UpscaleOptions()
    assert with_keywords(default, given) == with_keywords(default, plain) != default
