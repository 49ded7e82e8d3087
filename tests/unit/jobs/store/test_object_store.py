"""One run at a time works on a job in an object store, and what a dead machine left is taken on.

The store is a dictionary here; a real protocol: `tests/promises/jobs/test_objects.py`.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import ClassVar

import pytest

from vsr.jobs.store import object_store
from vsr.jobs.store.job_store import JobLocked, SegmentRecord
from vsr.jobs.store.lease import NAME, Lease
from vsr.jobs.store.object_store import ObjectJobStore

PLACE = "s3://films/job"


class Objects:
    """What `vsr.objects.Objects` does of this."""

    there: ClassVar[dict[str, bytes]] = {}

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, name: str) -> bytes | None:
        return self.there.get(name)

    def size(self, name: str) -> int | None:
        return len(self.there[name]) if name in self.there else None

    def put(self, name: str, data: bytes | Path, *, only_new: bool = False) -> bool:
        if only_new and name in self.there:
            return False
        self.there[name] = data.read_bytes() if isinstance(data, Path) else data
        return True

    def fetch(self, name: str, path: Path) -> None:
        path.write_bytes(self.there[name])

    def names(self) -> list[str]:
        return list(self.there)

    def remove(self, name: str) -> None:
        self.there.pop(name, None)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What lies in the store. Who holds a lease says so often."""
    monkeypatch.setattr(object_store, "Objects", Objects)
    monkeypatch.setattr(Objects, "there", {})
    assert Lease.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Lease.__init__.__kwdefaults__, "beat", 0.05)
    return Objects.there


def test_a_second_run_is_refused_also_one_that_begins_anew(
    there: dict[str, bytes], tmp_path: Path
) -> None:
    with ObjectJobStore(tmp_path / "a", PLACE) as store:
        store.clear()
        store.begin({"made": "of this"})
        with pytest.raises(JobLocked, match="is at work on it already"):
            ObjectJobStore(tmp_path / "b", PLACE).__enter__()
        store.remove()
    assert there == {}


def test_who_has_lost_a_job_to_another_machine_leaves_it_alone(
    there: dict[str, bytes], tmp_path: Path
) -> None:
    with ObjectJobStore(tmp_path / "a", PLACE) as store:
        store.begin({"made": "of this"})
        there[NAME] = json.dumps({"host": "another", "process": 1, "token": "its own"}).encode()
        deadline = time.monotonic() + 10
        while not store.is_lost and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(JobLocked, match="another machine has taken the job over"):
            store.check_lease()
        store.remove()
    assert sorted(there) == ["job.json", NAME]


def test_where_bits_may_differ_a_segment_whose_machine_died_gets_its_record(
    there: dict[str, bytes], tmp_path: Path
) -> None:
    there["000003.mkv"] = b"pictures"
    store = ObjectJobStore(tmp_path, PLACE, strict=False)
    data = b"others that are as good"
    store.unfinished(3, ".mkv").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    store.finish(3, ".mkv", SegmentRecord(
        frames=10, first=0, last=9, last_duration=1, bytes=len(data), sha256=digest
    ))  # fmt: skip
    found = store.finished(3, ".mkv")
    assert found is not None
    assert found.sha256 == hashlib.sha256(b"pictures").hexdigest()
    assert store.segment(3, ".mkv").read_bytes() == there["000003.mkv"] == b"pictures"
