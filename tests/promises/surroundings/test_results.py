"""A second run over the same folder does not take the first one's results for sources."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.promises.surroundings.conftest import QUICK, Vsr, names
from tests.support import judge


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov", "webm"])
def test_a_result_says_that_it_is_one(film: Path, tmp_path: Path, vsr: Vsr, suffix: str) -> None:
    """Whatever it is called, and however large the next run's would be."""
    result = tmp_path / f"other.{suffix}"
    quick = QUICK if suffix != "webm" else QUICK[:6]
    assert vsr("upscale", film, "-o", result, *quick).code == 0
    assert re.search(r"(?i)encoder *: vsr \d", judge.describe(result))
    ended = vsr("upscale", "in.mkv", result.name, "-m", "bicubic", "-s", "3/2", cwd=tmp_path)
    assert ended.code == 0, ended
    assert f"note: {result.name}: was made by vsr, and is skipped" in ended.err
    assert ended.err.endswith("1 of 2 films done, 1 skipped\n")
    assert ended.out == b"in_1.5x.mkv\n"
    ended = vsr("upscale", result.name, "-o", "alone.mkv", *QUICK, cwd=tmp_path)
    assert ended.code == 0, ended  # who names one file means it
    assert names(tmp_path) == sorted(["in.mkv", result.name, "in_1.5x.mkv", "alone.mkv"])


def test_the_same_command_again(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    """Films and pictures, also of kinds that hold no tag: they are called as results would be."""
    judge.make(tmp_path / "p.png", "testsrc2=s=64x48", "-frames:v", "1")
    judge.make(tmp_path / "t.ts", "testsrc2=s=64x48:d=0.2", "-c:v", "libx264")
    judge.make(tmp_path / "g.gif", "testsrc2=s=64x48:d=0.2")
    model = ("-m", "bicubic", "-s", "2", "--threads", "1")

    def run() -> tuple[int, str]:
        ended = vsr("upscale", *names(tmp_path), *model, cwd=tmp_path)
        return ended.code, ended.err

    sources = names(tmp_path)
    code, err = run()
    assert (code, "4 of 4 files done" in err) == (0, True), err
    there = names(tmp_path)
    assert len(there) == 2 * len(sources)
    code, err = run()
    assert code == 2, err  # the results are in the way, as for one film
    assert "0 of 8 files done, 4 skipped" in err
    assert names(tmp_path) == there
    ended = vsr("upscale", "in.mkv", "in_2x.mkv", *model, "--overwrite", cwd=tmp_path)
    assert (ended.code, "1 of 2 films done, 1 skipped" in ended.err) == (0, True), ended
    assert names(tmp_path) == there


def test_of_a_folder_too(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    season = tmp_path / "season"
    season.mkdir()
    film.rename(season / "in.mkv")
    assert vsr("upscale", season / "in.mkv", *QUICK).code == 0
    ended = vsr("upscale", season, "-o", tmp_path / "done", *QUICK)
    assert (ended.code, "1 of 2 films done, 1 skipped" in ended.err) == (0, True), ended
    assert names(tmp_path / "done") == ["in.mkv"]


def test_what_only_looks_like_a_result_is_a_source(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    """A copy in another size, which somebody else made."""
    (tmp_path / "in_720p.mkv").write_bytes(film.read_bytes())
    (tmp_path / "film_1x.mkv").write_bytes(film.read_bytes())
    ended = vsr("upscale", *names(tmp_path), *QUICK, cwd=tmp_path)
    assert (ended.code, "3 of 3 films done" in ended.err) == (0, True), ended
