"""What each request has to pass: who asks, from which page, how fast; and what each answer says."""

from __future__ import annotations

import asyncio
import urllib.parse
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vsr.server.refusals import Refused
from vsr.server.tokens import LOCAL, Secret, Tokens
from vsr.server.tokens import Scope as TokenScope
from vsr.server.web.answers import problem

COOKIE = "vsr_session"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN = ("/", "/healthz", "/v1/session")  # that need no token, and what lies under /page/
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses requests of other pages, and of those without a token where there are tokens.

    Whose a request is stands in `request.state.who` behind it.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, secret: Secret) -> None:
        self._app, self._tokens, self._secret = app, tokens, secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        try:
            _check_origin(scope["method"], headers)
            scope.setdefault("state", {})["who"] = self._who(scope["path"], headers)
        except Refused as error:
            await problem(error)(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    def _who(self, path: str, headers: Headers) -> TokenScope | None:
        if not self._tokens:
            return TokenScope(name=LOCAL, all=True)
        kind, _, token = headers.get("authorization", "").partition(" ")
        who = None
        if kind.lower() in ("bearer", "token"):
            who = self._tokens.scope_of(token.strip())
        elif not kind and (session := _session(headers)) is not None:
            who = self._secret.scope_of(session, self._tokens)
        if who is None and not (path in _OPEN or path.startswith("/page/")):
            text = "a token is needed: Authorization: Bearer TOKEN"
            raise Refused(401, text, {"WWW-Authenticate": "Bearer"})
        return who


def _session(headers: Headers) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None else None


def _check_origin(method: str, headers: Headers) -> None:
    """Raise Refused where the page of another site has sent what changes something."""
    if method in _READS:
        return
    origin = headers.get("origin")
    if origin is not None and urllib.parse.urlsplit(origin).netloc != headers.get("host"):
        raise Refused(403, "a page of another site may not ask for this")
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Refused(403, "a page of another site may not ask for this")


class Patience:
    """Ends requests whose client sends nothing, or takes nothing, for so many seconds."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        more = True

        async def patiently() -> Message:
            nonlocal more
            if not more:  # all has come; what comes next is that the client has gone
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._seconds)
            except TimeoutError:
                raise Refused(
                    408, "nothing has come for too long", {"Connection": "close"}
                ) from None
            more = message.get("more_body", False)
            return message

        async def taken(message: Message) -> None:
            try:
                await asyncio.wait_for(send(message), self._seconds)
            except TimeoutError:
                raise OSError("nothing was taken for too long") from None

        await self._app(scope, patiently, taken)


async def refused(request: Request, error: Exception) -> Response:
    """Return the answer to a refusal that was raised."""
    assert isinstance(error, Refused)
    return problem(error)


async def http_error(request: Request, error: Exception) -> Response:
    """Return the answer to what Starlette has refused."""
    assert isinstance(error, HTTPException)
    return problem(Refused(error.status_code, error.detail, dict(error.headers or {})))


async def broken(request: Request, error: Exception) -> Response:
    """Return the answer to a fault of the server's own, which says nothing of its inside."""
    return problem(Refused(500, "the server has failed at this"))
