"""What is kept for the machine is whole or not there, and a disk that refuses costs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsr.engine.user_cache import keep, place


def test_it_is_where_it_is_looked_for() -> None:
    keep(place("trials", "one"), b"found")
    assert place("trials", "one").read_bytes() == b"found"


def test_what_cannot_be_kept_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*names: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "kept" / "one"
    keep(file, b"before")
    monkeypatch.setattr("os.replace", full)
    keep(file, b"after")
    assert [path.name for path in file.parent.iterdir()] == ["one"]
    assert file.read_bytes() == b"before"
