"""Promise: a server removes what is its own, and leaves alone whatever else is in its folders."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.requests import Request

from vsr.server.refusals import Refused
from vsr.server.settings import ServerSettings
from vsr.server.store.jobs import Jobs
from vsr.server.store.records import JobRequest
from vsr.server.store.uploads import Upload, Uploads
from vsr.server.tokens import Scope
from vsr.server.web.state import Finder, Serving
from vsr.server.web.uploads import head

_ME = Scope(name="me", all=False)


def _request(id: str) -> JobRequest:
    return JobRequest(
        id=id, owner="me", task="upscale", input={}, kind="path", source="/a.mkv", words=(),
        base="http://x", created=time.time(),
    )  # fmt: skip


def test_a_server_that_starts_leaves_alone_what_is_no_job(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    job, _ = Jobs(folder).add(_request("mine"), most=9, free=0)
    newer = folder / "newer"  # of a release that has written more
    newer.mkdir()
    (newer / "request.json").write_text('{"id": "newer", "more": 1, "seal": ""}')
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter.tex").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    for name in ("empty", "half", ".gone-by.gone"):
        (folder / name).mkdir()
    (folder / "half" / "request.json.part").touch()
    (folder / ".gone-by.gone" / "out").mkdir()

    found = [job.id for job in Jobs(folder)]

    assert found == [job.id]
    assert {path.name for path in folder.iterdir()} == {"mine", "newer", "thesis", "linked"}
    assert (folder / "thesis" / "chapter.tex").read_text() == "mine"
    assert (newer / "request.json").exists()


def test_a_job_does_not_take_the_place_of_what_is_no_job(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    with pytest.raises(Refused, match="is taken"):
        jobs.add(_request("thesis"), most=9, free=0)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "mine"


def test_a_sweep_leaves_alone_what_is_no_upload(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, most=9, free=0)
    old = uploads.begin(_ME, "old.mkv", 3)
    old.write(b"abc")
    removed = uploads.begin(_ME, "removed.mkv", 3)
    removed.write(b"abc")
    removed.folder.rename(tmp_path / f".{removed.request.id}.gone")
    begun = uploads.begin(_ME, "begun.mkv", 3)
    (begun.folder / "upload.json").rename(begun.folder / "upload.json.part")
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mkv").write_bytes(b"mine")
    unread = uploads.begin(_ME, "unread.mkv", 3)
    unread.write(b"abc")
    (unread.folder / "upload.json").write_text("{}")
    assert [upload.request.id for upload in uploads] == [old.request.id]
    for path in [*tmp_path.rglob("*"), *tmp_path.iterdir()]:
        os.utime(path, (0, 0))

    uploads.sweep(-60.0, ())

    assert {path.name for path in tmp_path.iterdir()} == {"films", unread.request.id}
    assert (tmp_path / "films" / "a.mkv").read_bytes() == b"mine"


def test_a_kill_after_the_last_byte_leaves_an_upload_that_can_be_used(tmp_path: Path) -> None:
    here = Serving(ServerSettings(data=tmp_path))

    def killed(sha256: str | None = None) -> Upload:
        upload = here.uploads.begin(_ME, "a.mkv", 3, sha256=sha256)
        upload.write(b"abc")
        assert not upload.is_complete
        return upload

    def offset(upload: Upload) -> str:
        scope = {
            "type": "http", "app": SimpleNamespace(state=SimpleNamespace(serving=here)),
            "path_params": {"id": upload.request.id}, "state": {"who": _ME},
            "headers": [(b"tus-resumable", b"1.0.0")],
        }  # fmt: skip
        return head(Request(scope)).headers["upload-offset"]

    asked_for, named, other = killed(), killed(), killed("0" * 64)
    assert offset(asked_for) == "3"
    assert asked_for.is_complete
    found = Finder(here, _ME).source(f"upload:{named.request.id}")
    assert found == ("upload", named.request.id)
    assert offset(other) == "0"  # it is not what was promised
    with here.uploads.writing(other):  # whoever writes completes it
        other.write(b"abc")
        assert offset(other) == "3"
