"""Promise: `curve.csv` has each step once, whatever was killed and gone on with."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from vsr.events import silent
from vsr.train.curves import Curves


@contextmanager
def _curves(folder: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Curves]:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # no TensorBoard
    with closing(Curves(folder, step, silent)) as curves:
        yield curves


def _rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "curve.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_lies_beyond_the_checkpoint_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _curves(tmp_path, 0, monkeypatch) as curves:
        for step in range(1, 7):
            curves.add(step, {"l1": step / 8})
            if step % 2 == 0:
                curves.keep()
    with open(tmp_path / "curve.csv", "a", encoding="utf-8") as file:
        file.write("7,0.")  # torn
    with _curves(tmp_path, 4, monkeypatch) as curves:
        assert [row["step"] for row in _rows(tmp_path)] == ["1", "2", "3", "4"]
        curves.add(5, {"l1": 5.0})
        curves.keep()
    assert [(row["step"], float(row["l1"])) for row in _rows(tmp_path)] == [
        ("1", 0.125), ("2", 0.25), ("3", 0.375), ("4", 0.5), ("5", 5.0),
    ]  # fmt: skip


def test_a_column_that_comes_later_is_one_of_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a check does that came after the step was written already."""
    with _curves(tmp_path, 0, monkeypatch) as curves:
        curves.add(1, {"l1": 1.0})
        curves.add(2, {"l1": 2.0})
        curves.keep()
        curves.add(2, {"psnr": 30.0})
        curves.keep()
    assert _rows(tmp_path) == [
        {"step": "1", "l1": "1", "psnr": ""}, {"step": "2", "l1": "2", "psnr": "30"},
    ]  # fmt: skip
