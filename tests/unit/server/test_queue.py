"""Promise: each job comes to an end, whatever becomes of the others, and its process with it."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from vsr.server.refusals import Refused
from vsr.server.settings import ServerSettings
from vsr.server.store.jobs import Jobs
from vsr.server.store.records import Job, JobRequest
from vsr.server.store.uploads import Uploads
from vsr.server.tokens import Scope
from vsr.server.web import jobs as web
from vsr.server.web.state import Serving
from vsr.server.work import queue as module
from vsr.server.work.process import Command, JobProcess
from vsr.server.work.queue import Queue


@pytest.fixture(autouse=True)
def writes_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is `vsr upscale FILE -o RESULT`, in no time."""
    monkeypatch.setattr(module, "vsr", lambda *words: ["sh", "-c", 'echo film > "$3"', *words])


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    roots = tmp_path / "roots"
    roots.mkdir()
    (roots / "a.mkv").touch()
    return ServerSettings(data=tmp_path / "data", roots=(roots.resolve(),))


def _queue(settings: ServerSettings, tell: Callable[[Job, str], None] | None = None) -> Any:
    settings.data.mkdir(exist_ok=True)
    jobs = Jobs(settings.data / "jobs")
    uploads = Uploads(settings.data / "uploads", most=9, free=0)
    return jobs, Queue(settings, jobs, uploads, tell or (lambda job, event: None))


def _add(jobs: Jobs, id: str, *words: str) -> Job:
    request = JobRequest(
        id=id, owner="me", task="upscale", input={}, kind="path", source="a.mkv", words=words,
        output="b.mkv", base="http://x", created=time.time(),
    )  # fmt: skip
    return jobs.add(request, most=9, free=0)[0]


def _until(done: Callable[[], Any], queue: Queue) -> None:
    end = time.monotonic() + 20
    while not done():
        assert queue.is_working
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_command_that_cannot_be_run_stops_no_other_job(settings: ServerSettings) -> None:
    jobs, queue = _queue(settings)
    wrong = [
        _add(jobs, "nul", "a\0b"),
        _add(jobs, "half", "\ud800"),
        _add(jobs, "long", "x" * 200_000),
    ]
    right = _add(jobs, "right")
    queue.start()
    try:
        _until(lambda: all(job.state.is_ended for job in jobs), queue)
    finally:
        queue.stop()
    for job in wrong:
        assert job.state.status == "failed"
        assert "its command cannot be run" in (job.state.error or "")
    assert right.state.status == "succeeded"


def test_a_job_that_no_process_can_be_had_for_stops_no_other_job(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = JobProcess.start

    def refused(job: Job, command: Command) -> JobProcess:
        if job.id == "first":
            raise OSError(errno.EAGAIN, "no process")
        return start(job, command)

    monkeypatch.setattr(JobProcess, "start", refused)
    jobs, queue = _queue(settings)
    first, second = _add(jobs, "first"), _add(jobs, "second")
    queue.start()
    try:
        _until(lambda: second.state.is_ended, queue)
    finally:
        queue.stop()
    assert second.state.status == "succeeded"
    assert first.state.status == "starting"
    assert len(first.events.all()) < 5  # it is not tried ten times a second


def test_an_end_that_cannot_be_written_down_is_written_later(settings: ServerSettings) -> None:
    refusals = [OSError(errno.ENOSPC, "full")] * 3

    def tell(job: Job, event: str) -> None:
        if event == "completed" and refusals:
            raise refusals.pop()

    jobs, queue = _queue(settings, tell)
    job = _add(jobs, "job")
    queue.start()
    try:
        _until(lambda: job.state.is_ended, queue)
    finally:
        queue.stop()
    assert (job.state.status, refusals) == ("succeeded", [])


def test_a_kill_before_the_last_event_leaves_no_job_without_it(settings: ServerSettings) -> None:
    jobs, queue = _queue(settings)
    job, said = _add(jobs, "job"), _add(jobs, "said")
    for one in (job, said):
        one.change(status="failed", error="why", completed=time.time())
    said.events.add("status", status="failed", error="why")
    queue.start()
    try:
        _until(lambda: len(job.events.all()) == 2, queue)
    finally:
        queue.stop()
    last = job.events.all()[-1].data
    assert (last["event"], last["status"], last["error"]) == ("status", "failed", "why")
    assert len(said.events.all()) == 2


def test_a_process_is_ended_whatever_number_the_one_before_had(settings: ServerSettings) -> None:
    jobs, _ = _queue(settings)
    job = _add(jobs, "job")
    (job.folder / "lock").write_text("1842230000\n")
    process = JobProcess.start(job, Command(["sleep", "60"], job.folder))
    try:
        found = JobProcess(job.folder)  # as a server that comes later has it
        assert found.is_alive()
        found.kill()
        end = time.monotonic() + 20
        while process.is_alive():
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.kill()


def test_a_job_is_not_removed_while_its_process_lives(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "vsr", lambda *words: ["sleep", "60"])
    monkeypatch.setattr(web, "_ENDING", 0.3, raising=False)
    here = Serving(settings)
    app = SimpleNamespace(state=SimpleNamespace(serving=here))
    scope = {
        "type": "http", "app": app, "path_params": {"id": "job"},
        "state": {"who": Scope(name="me", all=False)},
    }  # fmt: skip
    job = _add(here.jobs, "job")
    here.queue.start()
    try:
        _until(lambda: here.queue.progress(job), here.queue)
        with monkeypatch.context() as slow:
            slow.setattr(JobProcess, "kill", lambda self: None)
            here.queue.cancel(job)
            with pytest.raises(Refused, match="has not ended yet"):
                web.remove(Request(scope))
            assert job.folder.is_dir()
        _until(lambda: here.queue.progress(job) is None, here.queue)
        assert web.remove(Request(scope)).status_code == 204
        assert not job.folder.exists()
    finally:
        here.queue.stop()


def test_what_is_to_be_told_of_a_job_lies_there_before_it_is_so(settings: ServerSettings) -> None:
    def tell(job: Job, event: str) -> None:
        found = Job.read(job.folder)  # as a server after a kill would find it
        assert found is not None
        told.append((event, found.state.status, found.state.started is None))

    told: list[tuple[str, str, bool]] = []
    jobs, queue = _queue(settings, tell)
    job = _add(jobs, "one")
    queue.start()
    try:
        _until(lambda: job.state.is_ended, queue)
    finally:
        queue.stop()
    assert [row for row in told if row[0] != "logs"] == [
        ("start", "starting", True), ("completed", "processing", False),
    ]  # fmt: skip
