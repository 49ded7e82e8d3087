"""Two machines whose locks do not reach each other do not do the same work."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest

from vsr.jobs.store import lease, lock
from vsr.jobs.store.job_store import JobLocked, JobStore
from vsr.jobs.store.lease import Lease, LeaseFile, holder_elsewhere


@pytest.fixture
def held(tmp_path: Path) -> Lease:
    return Lease(LeaseFile(tmp_path), beat=0.05)


def test_who_lives_is_named(held: Lease, tmp_path: Path) -> None:
    held.take()
    try:
        who = holder_elsewhere(LeaseFile(tmp_path), stale=5.0)
    finally:
        held.close()
    assert who == f"process {os.getpid()} of {socket.gethostname()}"
    assert list(tmp_path.iterdir()) == []


def test_who_is_silent_is_dead(held: Lease, tmp_path: Path) -> None:
    held.take()
    held.close()
    (tmp_path / lease.NAME).write_text(json.dumps({"host": "elsewhere", "process": 1, "beat": 7}))
    assert holder_elsewhere(LeaseFile(tmp_path), stale=0.2) is None


def test_a_dead_process_of_this_machine_is_not_waited_for(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    told = {"host": socket.gethostname(), "process": child, "beat": 7}
    (tmp_path / lease.NAME).write_text(json.dumps(told))
    began = time.monotonic()
    assert holder_elsewhere(LeaseFile(tmp_path), stale=30.0) is None
    assert time.monotonic() - began < 5


def test_who_was_taken_for_dead_is_told(held: Lease, tmp_path: Path) -> None:
    held.take()
    other = Lease(LeaseFile(tmp_path), beat=0.05)
    other.take()
    deadline = time.monotonic() + 10
    while not held.lost and time.monotonic() < deadline:
        time.sleep(0.01)
    assert held.lost
    held.close()
    assert (tmp_path / lease.NAME).exists()  # the other one's
    assert not other.lost
    other.close()


def test_a_job_that_another_machine_works_on_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".out.mkv.vsr"
    monkeypatch.setattr(lock, "take", lambda *_, **__: lock.HeldLock(everywhere=False))
    with JobStore(folder) as store:
        mine = Lease(LeaseFile(folder), beat=0.05)
        mine.take()
        with pytest.raises(JobLocked, match=f"process {os.getpid()} of"), JobStore(folder):
            pass
        mine.close()
        store.hold_lease()
        store.remove()
    assert not folder.exists()
