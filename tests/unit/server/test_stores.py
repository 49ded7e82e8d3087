"""Promise: a server removes what is its own, and leaves alone whatever else is in its folders."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from tests.support.server import serving
from vsr.jobs.store.job_store import sealed
from vsr.server.refusals import Refused
from vsr.server.settings import ServerSettings
from vsr.server.store.jobs import Jobs, unreadable
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


def _broken(folder: Path) -> dict[str, str]:
    """Make jobs that cannot be read; returns what is said of each."""
    jobs = Jobs(folder)
    whole = json.loads(sealed(dataclasses.asdict(_request("whole"))))

    def written(id: str, text: str, name: str = "request.json") -> None:
        job, _ = jobs.add(_request(id), most=99, free=0)
        (job.folder / name).write_text(text)

    def other(id: str, **changes: object) -> str:
        data = {**whole, "id": id, **changes}
        del data["seal"]
        return sealed(data)

    written("torn", sealed(whole)[:40])
    written("changed", json.dumps({**whole, "id": "changed", "priority": 9}))
    written("deep", "[" * 100_000)
    written("newer", other("newer", more=1))
    written("types", other("types", created="yesterday"))
    written("copy", other("original"))
    written("state", '{"status": ', "state.json")
    written("later", sealed({"status": "dreaming"}), "state.json")
    torn, newer = "request.json is torn, or was changed", "of another version of vsr"
    return {
        "torn": torn, "changed": torn, "deep": torn, "newer": newer, "types": newer,
        "copy": "of another name", "state": "state.json is torn, or was changed", "later": newer,
    }  # fmt: skip


def test_jobs_that_cannot_be_read_are_kept_and_named_and_block_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    said = _broken(folder)
    job, _ = Jobs(folder).add(_request("mine"), most=99, free=0)
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}

    jobs = Jobs(folder)

    assert jobs.unreadable == said == unreadable(folder)
    assert [one.id for one in jobs] == [job.id]
    assert [one.id for one in jobs.waiting()] == [job.id]
    assert jobs.page(_ME, before=None, most=9)[0] == [next(iter(jobs))]
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before


def test_a_server_says_which_jobs_it_cannot_read(tmp_path: Path) -> None:
    said = _broken(tmp_path / "data" / "jobs")
    tokens = tmp_path / "tokens"
    tokens.write_text("one a-token-of-some-length\nall another-token-of-a-length all\n")
    with serving(tmp_path, "--tokens", str(tokens)) as server:
        assert server.process is not None
        assert server.process.stderr is not None
        line = server.process.stderr.readline()
        assert line.startswith("vsr: jobs that cannot be read are kept and left alone: changed (")
        assert "3 more (`vsr jobs`)" in line

        def health(token: str | None) -> Any:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return server.ask("GET", "/healthz", headers=headers).json

        for token in (None, "a-token-of-some-length"):
            assert health(token) == {**health(token), "status": "READY", "unreadable_jobs": 8}
            assert "unreadable" not in health(token)
        assert sorted(health("another-token-of-a-length")["unreadable"]) == sorted(said)
        listed = subprocess.run(
            [sys.executable, "-m", "vsr", "jobs"],
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    for name, why in said.items():
        path = tmp_path / "data" / "jobs" / name
        assert f"{path}: a job of vsr serve that cannot be read ({why}); is kept" in listed.stderr


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
