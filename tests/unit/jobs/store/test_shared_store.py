"""Machines that share a job need no lock: the first segment wins, and another one is noticed."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from vsr.jobs.store.job_store import JobStore, SegmentRecord, record_in
from vsr.jobs.store.shared_store import SegmentsDiffer, SharedJobStore


class Machine(SharedJobStore):
    """A machine that writes segments, and remembers what became of them."""

    def __init__(self, folder: Path, *, strict: bool = True) -> None:
        self.first: list[bool] = []
        super().__init__(folder, lambda _, __, first: self.first.append(first), strict=strict)

    def make(self, number: int, data: bytes) -> None:
        frames = 10 if data else 0
        if data:
            self.unfinished(number, ".mkv").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest() if data else ""
        record = SegmentRecord(
            frames=frames, first=0, last=9, last_duration=1, bytes=len(data), sha256=digest
        )
        self.finish(number, ".mkv", record)


@pytest.fixture(params=["links", "no links"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store, also on a file system where a file has one name only."""
    if request.param == "no links":

        def refuse(source: Path, target: Path) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refuse)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("data", [b"pictures", b""])
def test_the_first_wins_and_an_equal_second_is_dropped(folder: Path, data: bytes) -> None:
    one, two = Machine(folder), Machine(folder)
    one.make(3, data)
    two.make(3, data)
    assert (one.first, two.first) == ([True], [False])
    assert names(folder) == (["000003.json", "000003.mkv"] if data else ["000003.json"])
    record = JobStore(folder).finished(3, ".mkv")
    assert record is not None
    assert record.host == os.uname().nodename
    assert record.seconds is not None


@pytest.mark.parametrize(("data", "other"), [(b"a", b"b"), (b"a", b""), (b"", b"a")])
def test_a_different_second_stops_the_run(folder: Path, data: bytes, other: bytes) -> None:
    Machine(folder).make(3, data)
    with pytest.raises(SegmentsDiffer, match=r"segment 3 .* came out otherwise on .* than on"):
        Machine(folder).make(3, other)
    if data:
        assert (folder / "000003.mkv").read_bytes() == data


def test_where_bits_may_differ_the_first_stays(folder: Path) -> None:
    Machine(folder).make(3, b"a")
    Machine(folder, strict=False).make(3, b"b")
    assert (folder / "000003.mkv").read_bytes() == b"a"
    assert names(folder) == ["000003.json", "000003.mkv"]


@pytest.mark.parametrize("record", [None, "torn"])
def test_where_bits_may_differ_a_segment_whose_machine_died_gets_its_record(
    folder: Path, record: str | None
) -> None:
    (folder / "000003.mkv").write_bytes(b"pictures")
    if record is not None:
        (folder / "000003.json").write_text(record)
    Machine(folder, strict=False).make(3, b"others that are as good")
    assert names(folder) == ["000003.json", "000003.mkv"]
    found = JobStore(folder).finished(3, ".mkv")
    assert found is not None
    assert (found.frames, found.bytes) == (10, len(b"pictures"))
    Machine(folder, strict=False).make(3, b"pictures")  # it was slow, not dead
    assert JobStore(folder).finished(3, ".mkv") == found


def test_of_many_at_once_one_is_the_first(tmp_path: Path) -> None:
    machines = [Machine(tmp_path) for _ in range(8)]
    begin = threading.Barrier(8)

    def race(machine: Machine) -> None:
        for number in range(20):
            begin.wait()
            machine.make(number, b"the same")

    threads = [threading.Thread(target=race, args=(machine,)) for machine in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(20):
        assert [machine.first[number] for machine in machines].count(True) == 1
    assert len(names(tmp_path)) == 40


def test_a_machine_that_died_before_its_record_costs_nothing(folder: Path) -> None:
    (folder / "000003.mkv").write_bytes(b"pictures")
    Machine(folder).make(3, b"pictures")
    assert record_in(folder / "000003.json") is not None
    (folder / "000003.json").write_text("torn")
    Machine(folder).make(3, b"pictures")
    assert JobStore(folder).finished(3, ".mkv") is not None


def test_what_it_left_is_compared_and_both_are_kept(folder: Path) -> None:
    (folder / "000003.mkv").write_bytes(b"pictures")
    with pytest.raises(SegmentsDiffer, match=r"than on another machine; .* both are in"):
        Machine(folder).make(3, b"others")
    kept = {path.read_bytes() for path in folder.glob("000003*.mkv")}
    assert kept == {b"pictures", b"others"}
    assert JobStore(folder).finished(3, ".mkv") is None
