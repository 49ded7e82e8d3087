"""What the parts of a server share, and what they find in a request."""

from __future__ import annotations

import json
import math
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request

from vsr.server.refusals import Refused
from vsr.server.settings import ServerSettings
from vsr.server.store.jobs import Jobs
from vsr.server.store.records import Job, SourceKind
from vsr.server.store.roots import inside
from vsr.server.store.uploads import Uploads
from vsr.server.tokens import Scope, Secret
from vsr.server.web.answers import Shown, job_object
from vsr.server.work.guarded import checked
from vsr.server.work.queue import Queue
from vsr.server.work.webhooks import Webhooks

_UPLOADS = ("/v1/uploads/", "/v1/files/")
_LOGS = 1 << 14  # bytes of events that `logs` is made of


class Serving:
    """A server's parts. The queue and the webhooks work from `start` to `stop`."""

    def __init__(self, settings: ServerSettings) -> None:
        data, limits = settings.data, settings.limits
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.settings = settings
        self.secret = Secret.of(data)
        self.shown = Shown([data / "uploads", data / "jobs", data, *settings.roots])
        self.jobs = Jobs(data / "jobs")
        self.uploads = Uploads(data / "uploads", most=limits.uploads, free=limits.free_disk)
        self.webhooks = Webhooks(self.jobs, self.secret, settings.near, self.job_object)
        self.queue = Queue(settings, self.jobs, self.uploads, self.webhooks.tell)
        self.is_closing = self._is_working = False
        self.answers: dict[int, int] = {}  # how often each status was answered

    def start(self) -> None:
        """Begin to work."""
        self._is_working = True
        self.queue.start()
        self.webhooks.start()

    def stop(self) -> None:
        """End, if it works; jobs stop at their next segment."""
        self.is_closing = True
        if self._is_working:
            self._is_working = False
            self.queue.stop()
            self.webhooks.stop()

    def job_object(self, job: Job, base: str | None = None, *, logs: bool = True) -> dict[str, Any]:
        """Return a job as clients are shown it."""
        progress = self.queue.progress(job)
        said = self.shown.logs(job.events.last(_LOGS), progress) if logs else None
        found = job_object(job, base or job.request.base, progress, said)
        if found["error"] is not None:
            found["error"] = self.shown.text(found["error"])
        return found


@dataclass(frozen=True)
class Finder:
    """Finds the sources of one client: in the folders, among his uploads, on the network."""

    serving: Serving
    who: Scope

    def source(self, given: str) -> tuple[SourceKind, str]:
        """Return what `given` names. Raises Refused."""
        settings = self.serving.settings
        if (id := _upload(given, settings.hosts)) is not None:
            try:
                upload = self.serving.uploads.find(id, self.who)
            except Refused as error:
                raise Refused(422, f"source: {error.text}") from error
            self.serving.uploads.settle_late(upload)
            if not upload.is_complete:
                raise Refused(422, "source: the upload is not complete yet")
            return "upload", id
        if given.partition("://")[0].lower() in ("http", "https"):
            if not settings.urls:
                raise Refused(422, "source: this server fetches nothing from addresses")
            return "url", checked(given, settings.near, "source")
        return "path", str(inside(given, settings.roots))

    def weights(self, given: str) -> Path:
        """Return the weight file that `given` names in the folders of sources. Raises Refused."""
        return inside(given, self.serving.settings.roots, "model")


def _upload(given: str, hosts: tuple[str, ...]) -> str | None:
    """Return the id of the upload that is named: `upload:ID`, or its address."""
    if given.startswith("upload:"):
        return given.removeprefix("upload:")
    try:
        parts = urllib.parse.urlsplit(given)
        host = parts.hostname
    except ValueError:
        return None
    if host is not None and host not in hosts and f"[{host}]" not in hosts:
        return None
    for begin in _UPLOADS:
        if parts.path.startswith(begin):
            return parts.path.removeprefix(begin)
    return None


def serving(request: Request) -> Serving:
    """Return the server that a request has come to."""
    found = request.app.state.serving
    assert isinstance(found, Serving)
    return found


def who(request: Request) -> Scope:
    """Return whose request it is."""
    found = request.state.who
    assert isinstance(found, Scope)
    return found


def base_of(request: Request) -> str:
    """Return the server's address as the client has it."""
    return str(request.base_url).rstrip("/")


async def json_of(request: Request) -> dict[str, Any]:
    """Return the object that a request has sent. Raises Refused."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "the body must be application/json")
    try:
        data = json.loads(await request.body(), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the body is no JSON that can be read") from error
    if not isinstance(data, dict):
        raise Refused(422, "the body must be an object")
    return data


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
