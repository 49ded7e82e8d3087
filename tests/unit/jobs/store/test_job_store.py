"""A store is one process's at a time, and what is not vsr's own is never touched in it."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from vsr.errors import OutputError
from vsr.jobs.store import job_status
from vsr.jobs.store.job_store import JobLocked, JobStore, forget, holder, sealed
from vsr.jobs.store.registry import register, stores


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".film.mkv.vsr"


def test_a_lock_that_was_removed_keeps_nobody_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before removes the store in the moment between opening the lock and taking it."""
    real = fcntl.flock
    first = JobStore(folder)
    first.__enter__()

    def flock(number: int, how: int) -> None:
        if folder.exists() and not done:
            done.append(1)
            first.remove()
            first.__exit__(None, None, None)
        real(number, how)

    done: list[int] = []
    monkeypatch.setattr(fcntl, "flock", flock)
    with JobStore(folder) as second:
        assert (folder / "lock").read_text() == f"{os.getpid()}\n"
        with pytest.raises(JobLocked), JobStore(folder):
            pass
        second.remove()


def test_who_only_looks_keeps_nobody_out(folder: Path) -> None:
    folder.mkdir()
    (folder / "lock").write_text("1\n")
    looking = os.open(folder / "lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.2, os.close, (looking,)).start()
    with JobStore(folder):
        assert holder(folder) == os.getpid()
    assert holder(folder) is None


def test_a_link_in_its_place_is_not_followed(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "000001.mkv").write_text("mine")
    folder.symlink_to(home)
    with pytest.raises(OutputError, match="is in the way"), JobStore(folder):
        pass
    assert [path.name for path in home.iterdir()] == ["000001.mkv"]


def test_what_somebody_else_put_there_stays(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with JobStore(folder) as store:
        store.begin({"parts": []})
        store.clear()
        store.begin({"parts": []})
        store.remove()
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    assert forget(folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_segment_that_was_stopped_before_its_record_is_not_finished(folder: Path) -> None:
    """Or the user would be told that something is kept, of which the next run keeps nothing."""
    with JobStore(folder) as store:
        store.begin({"parts": []})
        store.segment(1, ".mkv").write_bytes(b"frames")
        store.unfinished(2, ".mkv").write_bytes(b"fra")
        assert not store.has_segments()
        assert forget(folder)
    assert not folder.exists()


def test_the_store_of_a_process_at_work_is_not_forgotten(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JobStore(folder):
        monkeypatch.setattr(os, "getpid", lambda: 1)
        assert not forget(folder)
        assert folder.is_dir()


def test_a_full_disk_does_not_keep_from_locking(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with JobStore(folder):
        assert holder(folder) == 0


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_keeps_others_out_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def none(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    for _ in range(2):
        assert holder(folder) is None
        with JobStore(folder) as store:
            assert not store.is_safe
            assert holder(folder) == os.getpid()
            with pytest.raises(JobLocked, match=f"process {os.getpid()}"), JobStore(folder):
                pass
            store.remove()
        assert not folder.exists()


def test_a_store_of_another_version_does_not_hide_the_others(tmp_path: Path) -> None:
    calls = {"a": {"source": "/gone/x", "output": "/gone/a.mkv", "options": {"new": 1}}, "b": {}}
    for name, call in calls.items():
        store = tmp_path / f".{name}.mkv.vsr"
        store.mkdir()
        (store / "job.json").write_text(sealed({"parts": [], "call": call}))
    (job,) = (j for j in job_status.jobs([tmp_path]) if j.store.parent == tmp_path)
    assert (job.source, job.output) == (tmp_path / "x", tmp_path / "a.mkv")  # where it lies now
    with pytest.raises(ValueError, match="no option is called new"):
        _ = job.options


def test_a_disk_that_is_not_connected_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    disk = tmp_path / "disk"
    (disk / ".film.mkv.vsr").mkdir(parents=True)
    register(disk / ".film.mkv.vsr")
    disk.rename(tmp_path / "away")
    assert list(stores()) == []
    (tmp_path / "away").rename(disk)
    assert list(stores()) == [disk / ".film.mkv.vsr"]
    (disk / ".film.mkv.vsr").rmdir()
    assert list(stores()) == []
    assert list((tmp_path / "state" / "vsr" / "jobs").iterdir()) == []


def test_being_refused_takes_no_time_to_speak_of(folder: Path) -> None:
    with JobStore(folder):
        began = time.monotonic()
        with pytest.raises(JobLocked, match=f"process {os.getpid()} is at work"), JobStore(folder):
            pass
        assert time.monotonic() - began < 3
