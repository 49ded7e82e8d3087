"""What there is: models, presets, options, the API itself; and how the server is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from vsr.config import preset_names
from vsr.nets.catalogue import catalogue
from vsr.nets.weight_files import packaged, whereabouts
from vsr.options import ModelOptions, UpscaleOptions, keyword, leaves
from vsr.server.refusals import Refused
from vsr.server.schema import input_schema, openapi
from vsr.server.store.records import ENDED, ID, free_disk
from vsr.server.web.answers import Json
from vsr.server.web.guard import COOKIE
from vsr.server.web.state import base_of, serving, who
from vsr.version import __version__


def models(request: Request) -> Response:
    """Show the networks: GET /v1/models."""
    results = [
        {
            "name": model.name,
            "title": model.title,
            "aliases": list(model.aliases),
            "scale": model.scale,
            "installed": model.is_resizer
            or packaged(model) is not None
            or whereabouts(model, ModelOptions()) is not None,
            "bytes": model.bytes or None,
            "licence": model.licence,
        }
        for model in catalogue()
    ]
    return Json({"previous": None, "next": None, "results": results})


def presets(request: Request) -> Response:
    """Show what `for` takes: GET /v1/presets."""
    names = {leaf.path: keyword(leaf) for leaf in leaves(UpscaleOptions)}
    results = [
        {
            "name": name,
            "about": layer.about,
            "options": {names[path]: _plain(value) for path, value in layer.values.items()},
        }
        for name, layer in preset_names().items()
    ]
    return Json({"previous": None, "next": None, "results": results})


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def schema(request: Request) -> Response:
    """Show what an input may hold, as JSON Schema: GET /v1/schema."""
    return Json(input_schema())


def api(request: Request) -> Response:
    """Show this API: GET /v1/openapi.json."""
    return Json(openapi(base_of(request)))


def health(request: Request) -> Response:
    """Say whether the server works: GET /healthz."""
    here = serving(request)
    is_well = here.queue.is_working and here.webhooks.is_working and not here.is_closing
    status = "BUSY" if here.queue.busy >= len(here.settings.devices) else "READY"
    told: dict[str, object] = {
        "status": status if is_well else "DEFUNCT", "version": __version__,
        "unreadable_jobs": len(here.jobs.unreadable),
    }  # fmt: skip
    if (scope := request.state.who) is not None and scope.all:
        told["unreadable"] = [id for id in here.jobs.unreadable if ID.fullmatch(id)]
    return Json(told, status_code=200 if is_well else 503)


def metrics(request: Request) -> Response:
    """Say what there is to do, as Prometheus reads it: GET /metrics."""
    return PlainTextResponse(
        "".join(f"{line}\n" for line in _metrics(request)),
        media_type="text/plain; version=0.0.4; charset=utf-8",
    )


def _metrics(request: Request) -> Iterator[str]:
    here = serving(request)
    jobs = Counter(job.state.status for job in here.jobs)
    yield "# HELP vsr_jobs Jobs that are kept, by status."
    yield "# TYPE vsr_jobs gauge"
    for status in ("starting", "processing", *sorted(ENDED)):
        yield f'vsr_jobs{{status="{status}"}} {jobs[status]}'  # type: ignore[index]
    gauges = {
        "vsr_jobs_unreadable": (
            "Jobs that are kept, and could not be read at the start.",
            len(here.jobs.unreadable),
        ),
        "vsr_jobs_running": ("Jobs that a process works on.", here.queue.busy),
        "vsr_devices": ("Jobs that may be worked on at a time.", len(here.settings.devices)),
        "vsr_uploads": ("Uploads that are kept.", sum(1 for _ in here.uploads)),
        "vsr_uploads_incomplete": (
            "Uploads that are not complete.",
            sum(not upload.is_complete for upload in here.uploads),
        ),
        "vsr_webhooks_waiting": ("Webhooks that are to be sent.", len(here.webhooks)),
        "vsr_disk_free_bytes": ("Room for jobs and uploads.", free_disk(here.settings.data)),
        "vsr_memory_bytes": ("Memory of the server, without its jobs.", _memory()),
    }
    for name, (told, value) in gauges.items():
        yield from (f"# HELP {name} {told}", f"# TYPE {name} gauge", f"{name} {value}")
    yield "# HELP vsr_http_responses_total Answers, by status."
    yield "# TYPE vsr_http_responses_total counter"
    for code, count in sorted(here.answers.items()):
        yield f'vsr_http_responses_total{{code="{code}"}} {count}'


def _memory() -> int:
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def secret(request: Request) -> Response:
    """Show the key of one's webhooks, as Replicate has it: GET /v1/webhooks/default/secret."""
    return Json({"key": serving(request).webhooks.key(who(request).name)})


def session(request: Request) -> Response:
    """Give a browser that shows a token a cookie in its stead: POST /v1/session."""
    here, scope = serving(request), request.state.who
    if scope is None:
        raise Refused(401, "the token is none of this server's", {"WWW-Authenticate": "Bearer"})
    answer = Json({"name": scope.name, "all": scope.all})
    if here.settings.tokens:
        is_safe = request.url.scheme == "https"
        value = here.secret.session(scope)
        answer.set_cookie(COOKIE, value, httponly=True, samesite="strict", secure=is_safe)
    return answer


def who_am_i(request: Request) -> Response:
    """Say whether a token is needed, and whose this one is: GET /v1/session."""
    here, scope = serving(request), request.state.who
    told = {"name": scope.name, "all": scope.all} if scope is not None else {}
    return Json({"needs_token": bool(here.settings.tokens), **told})


def leave(request: Request) -> Response:
    """Take the cookie back: DELETE /v1/session."""
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer
