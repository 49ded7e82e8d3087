"""Promise: copies of objects are of the version that is asked for, and do not fill the disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from vsr import object_copies as module
from vsr.object_copies import cached, keep, kept

_DAY = 86400.0
_MB = 1 << 20


class _Bucket:
    """Objects by their addresses, each a version and its bytes."""

    def __init__(self) -> None:
        self.there: dict[str, tuple[str, bytes]] = {}
        self.fetched: list[str] = []

    def objects(self, address: str) -> SimpleNamespace:
        def fetch(name: str, path: Path) -> None:
            self.fetched.append(address)
            path.write_bytes(self.there[address][1])

        found = self.there.get(address)
        return SimpleNamespace(
            version=lambda name: found and f"{found[0]} {len(found[1])}",
            size=lambda name: found and len(found[1]),
            fetch=fetch,
        )

    def copy(self, address: str) -> Path:
        return cached(address, lambda size: None)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Bucket:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = _Bucket()
    monkeypatch.setattr(module, "Objects", found.objects)
    return found


def _disk(monkeypatch: pytest.MonkeyPatch, total: int, free: int) -> None:
    usage = SimpleNamespace(total=total, free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def _used(copy: Path, days: float) -> None:
    """Let a copy be one that was used so long ago."""
    lock = copy.parent / ".lock"
    was = lock.stat().st_mtime - days * _DAY
    os.utime(lock, (was, was))


def test_an_object_that_has_changed_is_not_taken_from_the_cache(bucket: _Bucket) -> None:
    bucket.there["s3://b/a.mkv"] = "one", b"as it was"
    first = bucket.copy("s3://b/a.mkv")
    assert bucket.copy("s3://b/a.mkv") == first
    assert bucket.fetched == ["s3://b/a.mkv"]
    bucket.there["s3://b/a.mkv"] = "two", b"as it is!"  # of the same length
    second = bucket.copy("s3://b/a.mkv")
    assert second.read_bytes() == b"as it is!"
    assert first.read_bytes() == b"as it was"  # a run may use it
    with pytest.raises(FileNotFoundError):
        bucket.copy("s3://b/none.mkv")


def test_a_copy_that_nobody_has_used_for_a_week_is_removed(bucket: _Bucket) -> None:
    for name in "abc":
        bucket.there[f"s3://b/{name}"] = "one", b"film"
    old, used, young = (bucket.copy(f"s3://b/{name}") for name in "abc")
    _used(old, 8)
    _used(used, 8)
    _used(young, 6)
    other = old.parents[1] / "0123456789abcdef01234567"  # a result's copies
    other.mkdir()
    with kept(used):
        bucket.copy("s3://b/c")
        assert [copy.exists() for copy in (old, used, young)] == [False, True, True]
    assert not old.parent.exists()
    bucket.copy("s3://b/c")
    assert not used.exists()
    assert other.is_dir()
    assert bucket.copy("s3://b/a").read_bytes() == b"film"


@pytest.mark.parametrize(
    ("total", "free", "left"),
    [
        (1000 * _MB, 10 << 30, [True, True, True]),
        (28 * _MB, 10 << 30, [False, True, True]),  # a quarter of it is 7 MB
        (20 * _MB, 10 << 30, [False, False, True]),
        (1000 * _MB, (1 << 30) + 1 * _MB, [False, True, True]),
        (1 * _MB, 0, [False, False, True]),  # what is used stays
    ],
)
def test_copies_that_are_unused_for_longest_make_room(
    bucket: _Bucket, monkeypatch: pytest.MonkeyPatch, total: int, free: int, left: list[bool]
) -> None:
    for name in "abcd":
        bucket.there[f"s3://b/{name}"] = "one", bytes(2 * _MB - 100)
    copies = [bucket.copy(f"s3://b/{name}") for name in "abc"]
    for copy, days in zip(copies, (3, 2, 1), strict=True):
        _used(copy, days)
    held = keep(copies[2])
    try:
        _disk(monkeypatch, total, free)
        assert bucket.copy("s3://b/d").exists()
    finally:
        os.close(held)
    assert [copy.exists() for copy in copies] == left
