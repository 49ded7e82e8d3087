"""A job's events as they come, by SSE; who lost the line goes on behind the last one it had."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from vsr.server.refusals import Refused
from vsr.server.store.events import JobEvent
from vsr.server.store.records import ENDED, Job
from vsr.server.web.answers import Shown, bar
from vsr.server.web.state import Serving, base_of, serving, who

_LOOK = 0.2  # seconds between two looks at the file
_ALIVE = 15.0  # ... between two signs of life
_LATE = 2.0  # ... from a job's end to the event that says so, at most
_AGAIN = 1000  # milliseconds after which a client is to come back

Message = tuple[str, str]  # an event's name and its data
Translate = Callable[[JobEvent], Iterator[Message]]


def events(request: Request) -> Response:
    """Send the events of docs/progress.md, and the job's own: GET /v1/jobs/{id}/events."""
    shown = serving(request).shown

    def translate(event: JobEvent) -> Iterator[Message]:
        yield event.name, json.dumps(shown.event(event.data))

    return _stream(request, translate)


def stream(request: Request) -> Response:
    """Send what Replicate's clients read: logs, output, error, done: GET .../stream."""
    output = f"{base_of(request)}/v1/jobs/{request.path_params['id']}/output"
    shown = serving(request).shown

    def translate(event: JobEvent) -> Iterator[Message]:
        return _as_replicate(event, shown, output)

    return _stream(request, translate)


def _as_replicate(event: JobEvent, shown: Shown, output: str) -> Iterator[Message]:
    data = event.data
    if event.name == "progress" and data.get("total"):
        yield "logs", bar(data["frames"], data["total"])
    elif event.name in ("note", "warning", "log"):
        yield "logs", shown.text(str(data.get("text", "")))
    elif event.name == "status":
        status = data.get("status")
        if status == "succeeded":
            yield "output", output
        elif status in ("failed", "aborted"):
            yield "error", shown.text(str(data.get("error") or status))
        if status in ENDED:
            reason = {"canceled": "canceled", "failed": "error", "aborted": "canceled"}.get(status)
            yield "done", json.dumps({"reason": reason} if reason else {})


def _stream(request: Request, translate: Translate) -> Response:
    here = serving(request)
    job = here.jobs.find(request.path_params["id"], who(request))
    # A page that has the job itself need not hear again how it came so far.
    end = job.events.size() if request.query_params.get("from") == "end" else 0
    last = request.headers.get("last-event-id") or str(end if job.events.is_place(end) else 0)
    if not (last.isascii() and last.isdigit() and len(last) < 20):
        raise Refused(400, "Last-Event-ID: is none of this job's")
    if not job.events.is_place(int(last)):
        raise Refused(400, "Last-Event-ID: is none of this job's")
    return StreamingResponse(
        _lines(here, job, int(last), translate), media_type="text/event-stream"
    )


async def _lines(here: Serving, job: Job, place: int, translate: Translate) -> AsyncIterator[str]:
    yield f"retry: {_AGAIN}\n\n"
    alive = time.monotonic()
    while not here.is_closing:
        is_ended = job.state.is_ended  # asked first: what is read then is all
        found: list[JobEvent] = []
        if job.events.size() > place:
            found, place = await run_in_threadpool(job.events.read, place)
        for event in found:
            for name, data in translate(event):
                yield _message(event.id, name, data)
            if event.name == "status" and event.data.get("status") in ENDED:
                return
        if found:
            alive = time.monotonic()
            continue
        if is_ended and time.monotonic() - alive > _LATE:
            return  # a kill came before its last event was written
        if time.monotonic() - alive > _ALIVE:
            alive = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(_LOOK)


def _message(id: int, name: str, data: Any) -> str:
    lines = "".join(f"data: {line}\n" for line in str(data).splitlines() or [""])
    return f"id: {id}\nevent: {name}\n{lines}\n"
