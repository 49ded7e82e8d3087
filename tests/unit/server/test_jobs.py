"""Promise: a job over HTTP is the command line's, and is told truthfully from end to end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SAMPLES
from tests.support.server import Server, events, serving

_SHORT = {"source": "bunny.mp4", "model": "bicubic", "scale": 2, "clip": ["0f-12f"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("serve")) as found:
        shutil.copy(SAMPLES / "bunny.mp4", found.roots)
        yield found


@pytest.fixture(scope="module")
def done(server: Server) -> dict[str, object]:
    job: dict[str, object] = server.ended(server.job(_SHORT)["id"])
    return job


def test_a_result_is_the_command_lines(
    server: Server, done: dict[str, object], tmp_path: Path
) -> None:
    assert done["status"] == "succeeded", done
    line = f"upscale {server.roots}/bunny.mp4 -o {tmp_path}/ -m bicubic --scale 2 --clip 0f-12f"
    subprocess.run([sys.executable, "-m", "vsr", *line.split()], check=True, capture_output=True)
    (expected,) = tmp_path.iterdir()
    answer = server.ask("GET", str(done["output"]))
    assert answer.body == expected.read_bytes()
    assert expected.name == done["output_name"]
    assert answer.headers["content-disposition"] == f'attachment; filename="{expected.name}"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    part = server.ask("GET", str(done["output"]), headers={"Range": "bytes=5-9"})
    assert (part.status, part.body) == (206, answer.body[5:10])


def test_a_job_is_replicates_object(done: dict[str, object]) -> None:
    asked = "id status input output error logs metrics created_at started_at completed_at urls"
    assert set(asked.split()) <= set(done)
    assert {"get", "cancel", "events", "stream", "output"} <= set(done["urls"])  # type: ignore[call-overload]
    assert done["input"] == _SHORT
    assert done["metrics"]["frames"] == 12  # type: ignore[index]


def test_events_are_told_in_order_and_again_from_any_place(
    server: Server, done: dict[str, object]
) -> None:
    path = done["urls"]["events"]  # type: ignore[index]
    told = events(server.ask("GET", path).body)
    names = [name for _, name, _ in told]
    assert names[:2] == ["status", "status"]
    assert [n for n in names if n in ("run", "started", "finished", "ended")] == [
        "run", "started", "finished", "ended",
    ]  # fmt: skip
    assert json.loads(told[-1][2])["status"] == "succeeded"
    for number in (0, 3, len(told) - 2):
        again = server.ask("GET", path, headers={"Last-Event-ID": told[number][0]})
        assert events(again.body) == told[number + 1 :]
    wrong = server.ask("GET", path, headers={"Last-Event-ID": str(int(told[3][0]) - 1)})
    assert wrong.status == 400


def test_nothing_that_is_told_names_a_folder_of_the_server(
    server: Server, done: dict[str, object]
) -> None:
    failed = server.ended(server.job({**_SHORT, "stream": 7})["id"])
    assert failed["status"] == "failed"
    assert failed["error"] == "stream 7: is no video; bunny.mp4 has #0"
    for job in (done, failed):
        for path in ("get", "events", "stream"):
            text = server.ask("GET", job["urls"][path]).body.decode()  # type: ignore[index]
            assert str(server.folder) not in text
            assert "/home" not in text


def test_replicates_stream_ends_with_the_result(server: Server, done: dict[str, object]) -> None:
    told = events(server.ask("GET", done["urls"]["stream"]).body)  # type: ignore[index]
    assert {name for _, name, _ in told} <= {"logs", "output", "done"}
    assert told[-2][1:] == ("output", done["output"])
    assert told[-1][1:] == ("done", "{}")


def test_the_same_put_twice_is_one_job(server: Server) -> None:
    path, body = "/v1/jobs/my-own-job", {"input": {**_SHORT, "clip": ["0f-2f"]}}
    first = server.ask("PUT", path, body)
    assert first.status == 201
    assert server.ask("PUT", path, body).status == 200
    assert server.ask("PUT", path, {"input": _SHORT}).status == 409
    there = server.ask("POST", "/v1/jobs/my-own-job/cancel").json
    assert there["created_at"] == first.json["created_at"]


def test_a_request_may_wait_for_its_job(server: Server) -> None:
    body = {"input": {**_SHORT, "clip": ["0f-3f"]}}
    answer = server.ask("POST", "/v1/jobs", body, headers={"Prefer": "wait"})
    assert (answer.status, answer.json["status"]) == (201, "succeeded")
    waited = server.ask("POST", "/v1/jobs", body, headers={"Prefer": "respond-async"})
    assert (waited.status, waited.json["status"]) == (202, "starting")
    server.ask("POST", waited.json["urls"]["cancel"])


def test_a_job_is_canceled_waiting_or_not_and_nothing_stays(server: Server) -> None:
    long = {"source": "bunny.mp4", "scale": 4}
    first, second = server.job(long), server.job(long)
    server.wait(first["id"], lambda job: job["status"] == "processing")
    for job in (second, first):
        assert server.ask("POST", job["urls"]["cancel"]).json["status"] == "canceled"
        assert server.ask("POST", job["urls"]["cancel"]).json["status"] == "canceled"
    after = server.ended(server.job({**_SHORT, "clip": ["0f-2f"]})["id"])
    assert after["status"] == "succeeded"
    assert server.ask("GET", first["urls"]["output"]).status == 404
    assert not (server.data / "jobs" / first["id"] / "out").exists()
    assert server.ask("DELETE", first["urls"]["get"]).status == 204
    assert server.ask("GET", first["urls"]["get"]).status == 404


def test_what_has_not_begun_by_its_deadline_is_aborted(server: Server) -> None:
    blocking = server.job({"source": "bunny.mp4", "scale": 4})
    late = server.job(_SHORT, deadline=1)
    assert server.ended(late["id"])["status"] == "aborted"
    server.ask("POST", blocking["urls"]["cancel"])


def test_the_list_has_pages_that_follow_on_each_other(server: Server) -> None:
    ids, path = [], "/v1/jobs?limit=2"
    while path:
        page = server.ask("GET", path).json
        assert len(page["results"]) <= 2
        ids += [job["id"] for job in page["results"]]
        path = page["next"]
    whole = [job["id"] for job in server.ask("GET", "/v1/jobs").json["results"]]
    assert ids == whole
    assert len(set(ids)) == len(ids)
    assert len(ids) > 2


@pytest.mark.parametrize(
    ("input", "detail"),
    [
        ({}, "source: is missing"),
        ({"source": "none.mp4"}, "source: there is no such file"),
        ({"source": "bunny.mp4", "hight": 3}, "hight: no option is called so; did you mean height"),
        ({"source": "bunny.mp4", "height": 1}, "height 1: must lie between"),
        ({"source": "bunny.mp4", "scale": 2, "height": 100}, "scale, size and height: give only"),
        ({"source": "bunny.mp4", "model": "nix"}, "model: nix: no model"),
        ({"source": "bunny.mp4", "for": "animee"}, "did you mean anime?"),
        ({"source": "bunny.mp4", "device": "cpu"}, "device: is set by the server"),
        ({"source": "bunny.mp4", "encoder_option": ["stats=/tmp/x"]}, "encoder_option: is set by"),
        ({"source": "bunny.mp4", "output": "../x.mkv"}, "output: must be a file's name"),
    ],
)
def test_a_wrong_input_is_refused_by_the_names_of_the_api(
    server: Server, input: dict[str, object], detail: str
) -> None:
    answer = server.ask("POST", "/v1/jobs", {"input": input})
    assert answer.status == 422
    assert detail in answer.json["detail"]
    assert "--" not in answer.json["detail"]


def test_a_preview_is_a_page_in_a_sandbox(server: Server) -> None:
    asked = {"source": "bunny.mp4", "model": "bicubic", "compare": ["model=nearest"],
             "at": ["3f"], "seconds": 0}  # fmt: skip
    job = server.ended(server.job(asked, task="preview")["id"])
    assert job["status"] == "succeeded", job
    page = server.ask("GET", job["urls"]["preview"])
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src")
    assert b"model=nearest" in page.body
    assert str(server.folder).encode() not in page.body
    whole = server.ask("GET", job["urls"]["output"])
    assert whole.headers["content-disposition"].startswith("attachment")
