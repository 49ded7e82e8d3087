"""Promises of `vsr metrics`: a table, JSON and CSV that agree; mistakes are one line."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support import judge
from vsr.cli.main import cli, main


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """REF of 5 frames, and OUT, which lacks the last and is worse."""
    folder = tmp_path_factory.mktemp("films")
    ref = judge.make(folder / "ref.mkv", "testsrc2=s=64x48:r=10:d=0.5", "-c:v", "ffv1")
    out = folder / "out.mkv"
    judge.ffmpeg("-i", str(ref), "-vf", "avgblur=1", "-frames:v", "4", "-c:v", "ffv1", str(out))
    return ref, out


def test_table_json_and_csv_agree(films: tuple[Path, Path], tmp_path: Path) -> None:
    names = [str(film) for film in films]
    rows_at = tmp_path / "rows.csv"
    command = ["metrics", *names, "--metric", "psnr,ssim,flicker"]
    result = CliRunner().invoke(cli, [*command, "--json", "--per-frame", str(rows_at)])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert (data["pairs"], data["only_ref"], data["only_out"]) == (4, 1, 0)
    assert any("4 pairs; 1 frames of REF and 0 of OUT" in note for note in data["notes"])

    with open(rows_at, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seconds"] for row in rows] == ["0.000000", "0.100000", "0.200000", "0.300000"]
    assert rows[0]["flicker_out"] == ""  # nothing comes before the first
    for name in ("psnr_y", "psnr_rgb", "ssim"):
        column = [float(row[name]) for row in rows]
        score = data["scores"][name]
        assert score["mean"] == pytest.approx(sum(column) / 4, rel=1e-6)
        assert score["worst"] == pytest.approx(min(column), rel=1e-6)
        assert score["at"] == float(rows[column.index(min(column))]["seconds"])
    error = [10 ** (-float(row["psnr_y"]) / 10) for row in rows]
    pooled = -10 * math.log10(sum(error) / 4)
    assert data["scores"]["psnr_y"]["pooled"] == pytest.approx(pooled, rel=1e-6)

    result = CliRunner().invoke(cli, command)
    assert result.stdout.startswith("4 pairs, 64x48, 8 bit; left out: 1 frames of REF, 0 of OUT")
    assert f"{data['scores']['ssim']['mean']:.4f}" in result.stdout


def test_json_has_no_infinity(films: tuple[Path, Path]) -> None:
    command = ["metrics", str(films[0]), str(films[0]), "--metric", "psnr", "--json"]
    result = CliRunner().invoke(cli, command)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    data = json.loads(result.stdout, parse_constant=refuse)
    assert data["scores"]["psnr_y"]["mean"] == "inf"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.mkv", "{out}"], 3, "no such file"),
        (["{ref}", "{small}"], 2, "--resize"),
        (["{ref}", "{out}", "--metric", "psnr,lpips"], 2, "--metric lpips"),
        (["{ref}", "{out}", "--metric", ","], 2, "name at least one"),
        (["{ref}", "{out}", "--metric", "ms-ssim"], 2, "161"),
        (["{ref}", "-"], 2, "standard input"),
        (["https://example.org/a.mkv", "{out}"], 2, "fetch it first"),
        (["{ref}", "{out}", "--per-frame", "{out}", "--overwrite"], 2, "take the place"),
        (["{ref}", "{out}", "--per-frame", "{ref}"], 2, "take the place"),
        (["{ref}", "{out}", "--per-frame", "{small}"], 2, "--overwrite"),
        (["{ref}", "{out}", "--per-frame", "x" * 254], 2, "too long"),
        (["{ref}", "{out}", "--per-frame", "{ref}.d/x.csv"], 1, "no such folder"),
        (["{ref}", "x" * 300], 2, "too long"),
    ],
)
def test_mistakes_are_one_line(
    films: tuple[Path, Path],
    arguments: list[str],
    code: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = films[0].with_name("small.png")
    if not small.exists():
        judge.ffmpeg("-i", str(films[0]), "-vf", "scale=32:24", "-frames:v", "1", str(small))
    names = {"ref": films[0], "out": films[1], "small": small}
    assert main(["metrics", *(a.format(**names) for a in arguments)]) == code
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert words in line
    assert told.out == ""


def test_the_numbers_file_is_whole_or_not_there(films: tuple[Path, Path], tmp_path: Path) -> None:
    """No rest of it under another name, and what was there is replaced only when asked."""
    target = tmp_path / "rows.csv"
    target.write_text("mine")
    command = ["metrics", str(films[0]), str(films[1]), "--metric", "ssim", "-q"]
    command += ["--per-frame", str(target)]
    assert main(command) == 2
    assert target.read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert target.read_text().startswith("seconds,ssim\n0.000000,")
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"]
