"""The application: which address leads where, behind which checks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vsr.server.refusals import Refused
from vsr.server.settings import ServerSettings
from vsr.server.web import about, jobs, page, stream, uploads
from vsr.server.web.guard import Guard, Patience, broken, http_error, refused
from vsr.server.web.state import Serving


class _Counted:
    """Counts what is answered."""

    def __init__(self, app: ASGIApp, counts: dict[int, int]) -> None:
        self._app, self._counts = app, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                self._counts[status] = self._counts.get(status, 0) + 1
            await send(message)

        await self._app(scope, receive, counted if scope["type"] == "http" else send)


def _routes(settings: ServerSettings) -> list[Route]:
    limits = settings.limits
    found: list[Route] = []

    def at(path: str, most: int = limits.body, **methods: Any) -> None:
        """Let each method of a path be answered by its own function; bodies have a limit."""
        small = [Middleware(RequestBodyLimitMiddleware, max_body_size=most)]
        answers = {name: staticmethod(function) for name, function in methods.items()}
        found.append(Route(path, type("Answers", (HTTPEndpoint,), answers), middleware=small))

    for begin in ("/v1/jobs", "/v1/predictions"):  # the second as Replicate's clients know it
        one = f"{begin}/{{id}}"
        at(begin, get=jobs.list_, post=jobs.create)
        at(one, get=jobs.get, put=jobs.put, delete=jobs.remove)
        at(f"{one}/cancel", post=jobs.cancel)
        at(f"{one}/events", get=stream.events)
        at(f"{one}/stream", get=stream.stream)
        at(f"{one}/output", get=jobs.output)
        at(f"{one}/source", get=jobs.source)
        at(f"{one}/preview", get=jobs.preview)
    at("/v1/models/{owner}/{name}/predictions", post=jobs.create)
    at("/v1/uploads", options=uploads.options, post=uploads.create)
    at(
        "/v1/uploads/{id}", limits.upload, options=uploads.options, head=uploads.head,
        patch=uploads.patch, delete=uploads.delete,
    )  # fmt: skip
    at("/v1/files", limits.form, get=uploads.list_files, post=uploads.create_file)
    at("/v1/files/{id}", get=uploads.get_file, delete=uploads.delete)
    at("/v1/models", get=about.models)
    at("/v1/presets", get=about.presets)
    at("/v1/schema", get=about.schema)
    at("/v1/openapi.json", get=about.api)
    at("/v1/webhooks/default/secret", get=about.secret)
    at("/v1/session", get=about.who_am_i, post=about.session, delete=about.leave)
    at("/healthz", get=about.health)
    at("/metrics", get=about.metrics)
    return [*found, *page.routes()]


def application(settings: ServerSettings) -> Starlette:
    """Return a server as an ASGI application, which works on jobs from its startup on."""
    here = Serving(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        here.start()
        try:
            yield
        finally:
            here.stop()

    app = Starlette(
        routes=_routes(settings),
        lifespan=lifespan,
        middleware=[
            Middleware(_Counted, counts=here.answers),
            Middleware(TrustedHostMiddleware, allowed_hosts=settings.hosts, www_redirect=False),
            Middleware(Guard, tokens=settings.tokens, secret=here.secret),
            Middleware(Patience, seconds=settings.limits.patience),
        ],
        exception_handlers={Refused: refused, HTTPException: http_error, Exception: broken},
    )
    app.state.serving = here
    return app
