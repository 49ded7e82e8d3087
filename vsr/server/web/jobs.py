"""/v1/jobs: create, look at, list, cancel, and the result."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.parse
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from vsr.server.inputs import read_input
from vsr.server.refusals import Refused, not_found
from vsr.server.store.records import ID, Job, JobRequest, new_id
from vsr.server.web.answers import Json
from vsr.server.web.state import Finder, Serving, base_of, json_of, serving, who
from vsr.server.work.guarded import checked
from vsr.server.work.webhooks import EVENTS

_KNOWN = frozenset({
    "input", "task", "version", "model", "webhook", "webhook_completed", "webhook_events_filter",
    "stream", "priority", "deadline", "id", "created_at", "output_file_prefix",
})  # fmt: skip
_PRIORITIES = range(-100, 101)
_LONGEST = 10 * 365 * 86400  # seconds of a deadline
_PAGE, _LARGEST_PAGE = 100, 1000
_LOOK = 0.1  # seconds between two looks at a job that is waited for
_ENDING = 5.0  # seconds that the process of a canceled job is waited for
_PREVIEW_CSP = (
    "sandbox allow-scripts; default-src 'none'; img-src data: blob:; media-src data: blob:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'self'"
)


async def create(request: Request) -> Response:
    """Take a job on: POST /v1/jobs, and as Replicate's clients have it."""
    return await _create(request, new_id())


async def put(request: Request) -> Response:
    """Take a job on under the client's own id, once: PUT /v1/jobs/{id}."""
    id = request.path_params["id"]
    if ID.fullmatch(id) is None:
        raise Refused(422, "id: has small letters, digits, - and _, and at most 63 of them")
    return await _create(request, id)


async def _create(request: Request, id: str) -> Response:
    prefer = request.headers.get("prefer", "")
    seconds = _seconds_to_wait(prefer, serving(request).settings.limits.wait)
    asked = await json_of(request)
    if "name" in request.path_params:  # /v1/models/OWNER/NAME/predictions
        asked.setdefault("version", request.path_params["name"])
    if (after := request.headers.get("cancel-after")) is not None:
        asked.setdefault("deadline", _duration(after))
    here = serving(request)
    job, is_new = await run_in_threadpool(_added, request, here, asked, id)
    here.queue.wake()
    if seconds:
        await _ended(here, job, seconds)
    status = 200 if not is_new else 202 if "respond-async" in prefer else 201
    shown = await run_in_threadpool(here.job_object, job, base_of(request))
    if seconds and not job.state.is_ended and not request.url.path.startswith("/v1/jobs"):
        shown["status"] = "starting"  # what Replicate's clients take for "wait longer"
    return Json(shown, status_code=status, headers={"Location": shown["urls"]["get"]})


def _added(request: Request, here: Serving, asked: dict[str, Any], id: str) -> tuple[Job, bool]:
    """Read what was asked, and add it. Raises Refused."""
    if unknown := sorted(asked.keys() - _KNOWN):
        raise Refused(422, f"{unknown[0]}: a job has nothing of that name")
    task, scope, limits = asked.get("task", "upscale"), who(request), here.settings.limits
    if task not in ("upscale", "preview"):
        raise Refused(422, "task: must be upscale or preview")
    data = asked.get("input")
    if not isinstance(data, dict):
        raise Refused(422, "input: must be an object")
    data = dict(data)
    model = asked.get("version") or asked.get("model")
    if model is not None and model != "vsr":
        if not isinstance(model, str):
            raise Refused(422, "version: must be the name of a model")
        data.setdefault("model", model)
    found = read_input(data, task, Finder(here, scope))
    webhook, events = _webhook(asked, here)
    now = time.time()
    deadline = _number(asked, "deadline", range(1, _LONGEST))
    job = JobRequest(
        id=id,
        owner=scope.name,
        task=task,
        input=data,
        kind=found.kind,
        source=found.source,
        words=found.words,
        output=found.output,
        base=base_of(request),
        created=now,
        priority=_number(asked, "priority", _PRIORITIES) or 0,
        deadline=now + deadline if deadline is not None else None,
        webhook=webhook,
        webhook_events=events,
    )
    return here.jobs.add(job, most=limits.queue, free=limits.free_disk)


def _webhook(asked: dict[str, Any], here: Serving) -> tuple[str | None, tuple[str, ...]]:
    url, events = asked.get("webhook"), asked.get("webhook_events_filter")
    if url is None and asked.get("webhook_completed") is not None:
        url, events = asked["webhook_completed"], ["completed"]
    if events is None:
        events = []
    if not isinstance(events, list) or any(event not in EVENTS for event in events):
        raise Refused(422, f"webhook_events_filter: must be a list of {', '.join(EVENTS)}")
    if url is None:
        return None, ()
    if not isinstance(url, str):
        raise Refused(422, "webhook: must be an address")
    return checked(url, here.settings.near, "webhook"), tuple(events)


def _number(asked: dict[str, Any], name: str, allowed: range) -> int | None:
    value = asked.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        text = f"must be a whole number from {allowed[0]} to {allowed[-1]}"
        raise Refused(422, f"{name}: {text}")
    return value


def _duration(text: str) -> int:
    """Read `90`, `90s`, `5m` or `1h30m` as seconds. Raises Refused."""
    parts = re.fullmatch(r"(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,9})s?)?", text.strip())
    hours, minutes, seconds = (int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total < _LONGEST:
        raise Refused(422, "Cancel-After: must be a time such as 90s, 5m or 1h30m")
    return total


def _seconds_to_wait(prefer: str, most: float) -> float:
    """Return how long the client would have its request wait for the job."""
    for word in re.split(r"[,;]", prefer):
        name, _, value = word.strip().partition("=")
        if name.strip().lower() == "wait":
            asked = int(value) if value.strip().isascii() and value.strip().isdigit() else most
            return min(float(asked), most)
    return 0.0


async def _ended(here: Serving, job: Job, seconds: float) -> None:
    """Wait until the job has ended, but no longer than so."""
    until = time.monotonic() + seconds
    while not job.state.is_ended and time.monotonic() < until and not here.is_closing:
        await asyncio.sleep(_LOOK)


def _job(request: Request) -> Job:
    return serving(request).jobs.find(request.path_params["id"], who(request))


def get(request: Request) -> Response:
    """Show a job: GET /v1/jobs/{id}."""
    return Json(serving(request).job_object(_job(request), base_of(request)))


def list_(request: Request) -> Response:
    """Show the jobs, the newest first: GET /v1/jobs."""
    here, base = serving(request), base_of(request)
    most = request.query_params.get("limit", str(_PAGE))
    if not (most.isascii() and most.isdigit() and 1 <= int(most) <= _LARGEST_PAGE):
        raise Refused(422, f"limit: must lie between 1 and {_LARGEST_PAGE}")
    before = _cursor(request.query_params.get("cursor") or None)
    found, last = here.jobs.page(who(request), before=before, most=int(most))
    more = None
    if last is not None:
        query = urllib.parse.urlencode({"cursor": f"{last[0]!r}-{last[1]}", "limit": most})
        more = f"{base}{request.url.path}?{query}"
    results = [here.job_object(job, base, logs=False) for job in found]
    return Json({"previous": None, "next": more, "results": results})


def _cursor(text: str | None) -> tuple[float, str] | None:
    if text is None:
        return None
    created, _, id = text.partition("-")
    try:
        return float(created), id
    except ValueError:
        raise Refused(422, "cursor: is none of this server's") from None


def cancel(request: Request) -> Response:
    """End a job, if it has not ended: POST /v1/jobs/{id}/cancel."""
    here, job = serving(request), _job(request)
    here.queue.cancel(job)
    return Json(here.job_object(job, base_of(request)))


def remove(request: Request) -> Response:
    """Remove a job that has ended, and its result: DELETE /v1/jobs/{id}."""
    here, job = serving(request), _job(request)
    if not job.state.is_ended:
        raise Refused(409, "the job has not ended; cancel it first")
    until = time.monotonic() + _ENDING
    while here.queue.progress(job) is not None:  # its folder is still written to
        if time.monotonic() > until:
            raise Refused(409, "the job's process has not ended yet", {"Retry-After": "1"})
        time.sleep(_LOOK)
    here.jobs.remove(job)
    return Response(status_code=204)


def output(request: Request) -> Response:
    """Send the result, or a part of it: GET /v1/jobs/{id}/output."""
    job = _job(request)
    path = job.result if job.state.status == "succeeded" else None
    if path is None:
        raise Refused(404, "the job has no result")
    return FileResponse(path, filename=path.name, headers={"Cache-Control": "private, no-cache"})


def source(request: Request) -> Response:
    """Send what a result was made of, to be shown beside it: GET /v1/jobs/{id}/source."""
    job = _job(request)
    path = serving(request).queue.source(job) if job.state.status == "succeeded" else None
    if path is None or not path.is_file():
        raise Refused(404, "the job's source is not here, or it has no result")
    return FileResponse(path, filename=path.name, headers={"Cache-Control": "private, no-cache"})


def preview(request: Request) -> Response:
    """Show the page of a preview, where it can do nothing: GET /v1/jobs/{id}/preview."""
    job = _job(request)
    path = job.result if job.state.status == "succeeded" else None
    if path is None or job.request.task != "preview":
        raise not_found("preview: create a job with `task` preview")
    headers = {"Content-Security-Policy": _PREVIEW_CSP, "X-Frame-Options": "SAMEORIGIN"}
    return FileResponse(path, media_type="text/html; charset=utf-8", headers=headers)
