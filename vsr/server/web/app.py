"""The application: which address leads where, behind which checks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vsr.server.refusals import Refused
from vsr.server.settings import ServerSettings
from vsr.server.web import about, jobs, stream, uploads
from vsr.server.web.guard import Guard, Patience, broken, http_error, refused
from vsr.server.web.state import Serving

_PAGE = Path(__file__).parents[1] / "page"
_PAGE_CSP = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _Page(StaticFiles):
    """The page's files, which may load each other."""

    def file_response(self, *given: object, **named: object) -> Response:
        response = super().file_response(*given, **named)  # type: ignore[arg-type]
        response.headers["Content-Security-Policy"] = _PAGE_CSP
        response.headers["Cache-Control"] = "no-cache"
        return response


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


def _index(request: Request) -> Response:
    return FileResponse(
        _PAGE / "index.html",
        headers={"Content-Security-Policy": _PAGE_CSP, "Cache-Control": "no-cache"},
    )


def _routes(settings: ServerSettings) -> list[Route | Mount]:
    limits = settings.limits
    small = [Middleware(RequestBodyLimitMiddleware, max_body_size=limits.body)]
    form = [Middleware(RequestBodyLimitMiddleware, max_body_size=limits.form)]
    found: list[Route | Mount] = []
    for begin in ("/v1/jobs", "/v1/predictions"):  # the second as Replicate's clients know it
        found += [
            Route(begin, jobs.list_, methods=["GET"]),
            Route(begin, jobs.create, methods=["POST"], middleware=small),
            Route(f"{begin}/{{id}}", jobs.get, methods=["GET"]),
            Route(f"{begin}/{{id}}", jobs.put, methods=["PUT"], middleware=small),
            Route(f"{begin}/{{id}}", jobs.remove, methods=["DELETE"]),
            Route(f"{begin}/{{id}}/cancel", jobs.cancel, methods=["POST"], middleware=small),
            Route(f"{begin}/{{id}}/events", stream.events),
            Route(f"{begin}/{{id}}/stream", stream.stream),
            Route(f"{begin}/{{id}}/output", jobs.output),
            Route(f"{begin}/{{id}}/preview", jobs.preview),
        ]
    return [
        *found,
        Route(
            "/v1/models/{owner}/{name}/predictions", jobs.create, methods=["POST"], middleware=small
        ),
        Route("/v1/uploads", uploads.options, methods=["OPTIONS"]),
        Route("/v1/uploads", uploads.create, methods=["POST"], middleware=small),
        Route("/v1/uploads/{id}", uploads.options, methods=["OPTIONS"]),
        Route("/v1/uploads/{id}", uploads.head, methods=["HEAD"]),
        Route("/v1/uploads/{id}", uploads.patch, methods=["PATCH"]),
        Route("/v1/uploads/{id}", uploads.delete, methods=["DELETE"]),
        Route("/v1/files", uploads.list_files, methods=["GET"]),
        Route("/v1/files", uploads.create_file, methods=["POST"], middleware=form),
        Route("/v1/files/{id}", uploads.get_file, methods=["GET"]),
        Route("/v1/files/{id}", uploads.delete, methods=["DELETE"]),
        Route("/v1/models", about.models),
        Route("/v1/presets", about.presets),
        Route("/v1/schema", about.schema),
        Route("/v1/openapi.json", about.api),
        Route("/v1/webhooks/default/secret", about.secret),
        Route("/v1/session", about.who_am_i, methods=["GET"]),
        Route("/v1/session", about.session, methods=["POST"], middleware=small),
        Route("/v1/session", about.leave, methods=["DELETE"]),
        Route("/healthz", about.health),
        Route("/metrics", about.metrics),
        Route("/", _index),
        Mount("/page", _Page(directory=_PAGE)),
    ]


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
