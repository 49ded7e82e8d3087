"""Promises of the commands: they tell the truth about files, models and themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import vsr
from tests.conftest import SAMPLES
from tests.support import judge
from tests.support.commands import commands
from vsr.cli import cli
from vsr.cli.reference import reference
from vsr.errors import UsageError

ROOT = Path(__file__).parents[3]


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_reference_is_that_of_the_commands() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference(), (
        "run: python -m vsr.cli.reference > docs/cli.md"
    )


_LIGHT = (
    *((*path, "--help") for path, _ in commands()),
    ("--version",), ("jobs",), ("models",), ("models", "list"),
    ("upscale", "x.mkv", "--heigth", "2"),
)  # fmt: skip


def test_nothing_but_work_loads_pytorch(tmp_path: Path) -> None:
    """Whoever asks for help, lists something or has mistyped a word gets an answer at once."""
    told = subprocess.run(
        [sys.executable, "-c",
         "import json, sys, vsr.cli\n"
         "for line in json.loads(sys.argv[1]):\n"
         "    code = vsr.cli.main(line)\n"
         "    heavy = {'torch', 'av', 'numpy', 'PIL', 'ffmpeg'} & set(sys.modules)\n"
         "    assert not heavy and code in (0, 2), (line, code, heavy)\n",
         json.dumps(_LIGHT)],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("Usage: vsr ") >= 15


def test_the_list_of_commands_says_what_their_own_help_does() -> None:
    context = click.Context(cli)
    text = " ".join(cli.get_help(context).split())
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        first = (command.help or "").split("\n\n", maxsplit=1)[0].split("\n")[0]
        assert f"{name} {first}" in text


def test_probe_tells_what_is_there_and_what_would_be_done(bunny: Path) -> None:
    text = run("probe", bunny, "--height", "360", "-m", "bicubic", "--seconds", "1")
    for word in ("h264", "320x180", "4:2:0 8 bit", "BT.709 limited", "24.000 fps",
                 "about 120 frames", "audio: aac", "640x360", "crf 17"):  # fmt: skip
        assert word in text
    data = json.loads(run("probe", bunny, "--json", "--seconds", "1"))
    assert data["video"]["frames"] == 120
    assert data["output"]["width"] == 1280
    assert 1 < data["output"]["seconds"] < 3600
    assert data["output"]["bytes"] > 10_000
    assert list(SAMPLES.glob("bunny_*")) == []


def test_probe_needs_no_weights(bunny: Path) -> None:
    data = json.loads(run("probe", bunny, "--json", "-m", "general", "--offline"))
    assert data["output"]["seconds"] is None
    assert data["output"]["width"] == 1280


def test_upscale_prints_the_result_as_json(bunny: Path, tmp_path: Path) -> None:
    data = json.loads(
        run("upscale", bunny, "-o", tmp_path / "o.mkv", "-m", "nearest", "-s", "1/2", "--json")
    )
    assert data["frames"] == 120
    assert (data["width"], data["height"]) == (160, 90)
    assert judge.size_of(Path(data["output"])) == (160, 90)


def test_models(tmp_path: Path) -> None:
    listed = run("models")
    for model in vsr.catalogue():
        assert model.name in listed
    checked = run("models", "verify", "--models-dir", tmp_path)
    networks = [m for m in vsr.catalogue() if m.package or m.url]
    # Those of the extra `cugan` too, where that is installed.
    here = [m for m in networks if m.package and find_spec(m.package.module)]
    assert checked.count(": right") == len(here) >= 3
    assert checked.count(": not here") == len(networks) - len(here) >= 4
    assert "RealESRGAN_x4plus:" in run("models", "fetch", "x4plus", "-q")


def test_settings_come_from_the_environment(
    bunny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSR_MODEL", "nearest")
    monkeypatch.setenv("VSR_SCALE", "1/2")
    run("upscale", bunny, "-o", tmp_path / "o.mp4")
    assert judge.size_of(tmp_path / "o.mp4") == (160, 90)


def test_one_version() -> None:
    assert f'version = "{vsr.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"## {vsr.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_one_bad_film_does_not_stop_the_others(bunny: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no film")
    short = tmp_path / "short.mp4"
    judge.ffmpeg("-i", str(bunny), "-t", "0.2", "-c", "copy", str(short))
    (tmp_path / "out").mkdir()
    arguments = ["upscale", short, tmp_path / "bad.mp4", short.with_name("missing.mp4"), bunny,
                 "-o", tmp_path / "out", "-m", "nearest", "-s", "1/2"]  # fmt: skip
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exit_code == 3
    names = [Path(line).name for line in result.stdout.splitlines()]
    assert names == ["short_0.5x.mp4", "bunny_0.5x.mp4"]
    assert all((tmp_path / "out" / name).is_file() for name in names)
    assert "2 of 4 films done" in result.stderr
    assert result.stderr.count("vsr: ") == 2


def test_several_films_need_a_folder(bunny: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli, ["upscale", str(bunny), str(bunny), "-o", str(tmp_path / "x.mp4")]
    )
    assert isinstance(result.exception, UsageError)


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_without_keeping_the_processor(given: str | None, expected: str) -> None:
    """Unless the user wants it otherwise; and it is said before PyTorch is loaded, or not heard."""
    told = (
        "import os, sys, vsr_cli\n"
        "assert 'torch' not in sys.modules\n"
        "sys.argv = ['vsr', '--version']\n"
        "vsr_cli.main()\n"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    done = subprocess.run(
        [sys.executable, "-c", told], cwd=ROOT, env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == expected
