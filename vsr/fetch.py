"""Bytes from an address into a file, taken up again where the line broke."""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_CHUNK = 1 << 18
_TRIES = 4  # without a byte in between
_PAUSE = 0.5  # seconds before the second try; doubled each time
_SCHEMES = frozenset({"http", "https"})
_SAFE = "%/:=&?~+!$,;'@()*[]"  # what stands in an address for itself


class BadAddress(OSError):
    """An address that leads to what is not asked."""


class BrokenOff(OSError):
    """The line ended before all had come."""


def without_login(text: str) -> str:
    """Return addresses without what stands before their @: nothing that is shown has a password."""
    return re.sub(r"(?<=://)[^/?#\s]*@", "", text)


def quoted(url: str) -> str:
    """Return an address as servers take it: spaces and letters of all kinds are written as %20."""
    parts = urllib.parse.urlsplit(url.strip())
    login, at, host = parts.netloc.rpartition("@")
    if not host.isascii():
        host = host.encode("idna").decode()
    path, query = (
        urllib.parse.quote(
            re.sub("%(?![0-9A-Fa-f]{2})", "%25", part),
            safe=_SAFE,
            # bytes that the locale has no letters for, as they were typed
            errors="surrogateescape",
        )
        for part in (parts.path, parts.query)
    )
    return urllib.parse.urlunsplit((parts.scheme, f"{login}{at}{host}", path, query, ""))


@dataclass(frozen=True)
class Lines:
    """How servers are connected to where not every server may be: by `connect`, and no proxy.

    `connect` takes a host, a port and seconds, and raises OSError for what may not be.
    """

    connect: Callable[[str, int, float], socket.socket]

    def plain(self, host: str, **more: Any) -> http.client.HTTPConnection:
        """Return a connection for HTTP."""
        return _Line(self.connect, None, host, **more)

    def safe(self, host: str, **more: Any) -> http.client.HTTPConnection:
        """Return a connection for HTTPS."""
        return _Line(self.connect, ssl.create_default_context(), host, **more)


class _Line(http.client.HTTPConnection):
    def __init__(
        self, connect: Callable[[str, int, float], socket.socket], context: ssl.SSLContext | None,
        host: str, **more: Any,
    ) -> None:  # fmt: skip
        self.default_port = 443 if context is not None else 80
        super().__init__(host, **more)
        self._by, self._context = connect, context

    def connect(self) -> None:
        """Connect."""
        self.sock = self._by(self.host, self.port, self.timeout or 30.0)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._lines.plain, req)


class _Safe(urllib.request.HTTPSHandler):
    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._lines.safe, req)


def _handlers(lines: Lines | None) -> tuple[urllib.request.BaseHandler, ...]:
    if lines is not None:
        return (_Plain(lines), _Safe(lines))
    return (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
    )


def open_address(
    url: str,
    *,
    timeout: float,
    begin: int = 0,
    validator: str | None = None,
    lines: Lines | None = None,
) -> http.client.HTTPResponse:
    """Return the server's answer, from byte `begin` on if it can, and if `validator` still holds.

    `user:password@` before the host is sent as basic authentication. `lines`: how to connect.
    Raises OSError, ValueError.
    """
    request = _request(url)
    if begin:
        request.add_header("Range", f"bytes={begin}-")
        if validator is not None:
            request.add_header("If-Range", validator)
    opener = urllib.request.OpenerDirector()  # of nothing but HTTP
    for handler in (
        *_handlers(lines),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    try:
        answer = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()  # it is an open answer, too
        raise
    except urllib.error.URLError as error:
        if isinstance(error.reason, BadAddress):
            raise error.reason from None
        raise
    if not isinstance(answer, http.client.HTTPResponse):
        raise BadAddress(f"{without_login(url)}: is no address of a file")
    return answer


def _request(url: str) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(quoted(url))
    login, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(
        urllib.parse.urlunsplit(parts._replace(netloc=host)), headers={"User-Agent": "vsr"}
    )
    if login:
        told = base64.b64encode(urllib.parse.unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {told}")
    return request


class _Redirects(urllib.request.HTTPRedirectHandler):
    """To HTTP only, with the login for the same server only."""

    def redirect_request(  # noqa: PLR0917 (urllib's own)
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme.lower()
        if scheme not in _SCHEMES:
            fp.close()
            raise BadAddress(f"leads on to {scheme}://, which is not read")
        own = _request(newurl)
        new = super().redirect_request(req, fp, code, msg, headers, own.full_url)
        if new is not None:
            same = (new.type, new.host) == (req.type, req.host)
            login = own.get_header("Authorization") or (
                req.get_header("Authorization") if same else None
            )
            if login:
                new.add_unredirected_header("Authorization", login)
        return new


@dataclass(kw_only=True)
class _KnownFile:
    """What earlier answers told of the file."""

    validator: str | None = None  # for If-Range
    total: int | None = None  # bytes


def fetch(
    url: str,
    target: Path,
    *,
    begun: tuple[http.client.HTTPResponse, bytes] | None = None,
    most: int | None = None,
    timeout: float = 30.0,
    lines: Lines | None = None,
    progress: Callable[[int, int | None], None],
) -> None:
    """Complete the file `target` with what is missing of `url`.

    `begun`: an answer that is open already, and what was read of it; `target` is then not
    there. Stops at more than `most` bytes. `timeout`: seconds without a byte until the line
    counts as broken; it is then tried again, from the beginning if the file has changed.
    `lines`: how to connect. `progress` hears how much is here, and of how much.
    Raises OSError (also urllib's), http.client.HTTPException or ValueError.
    """
    tries, seen = 0, _KnownFile()
    while True:
        have = _size(target)
        try:
            answer, head = begun or _answer(url, have, seen, timeout, lines)
            begun = None
            with answer:
                _take(answer, head, target, seen, most, progress)
            return
        except (urllib.error.HTTPError, http.client.InvalidURL, BadAddress):
            raise  # the server's word, or a bad address: no use in asking again
        except (OSError, http.client.HTTPException):
            tries = tries + 1 if _size(target) <= have else 1
            if tries == _TRIES:
                raise
            time.sleep(_PAUSE * 2 ** (tries - 1))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _answer(
    url: str, have: int, seen: _KnownFile, timeout: float, lines: Lines | None
) -> tuple[http.client.HTTPResponse, bytes]:
    answer = open_address(
        url, timeout=timeout, begin=have, validator=seen.validator, lines=lines
    )  # fmt: skip
    return answer, b""


def _take(  # noqa: PLR0917 (only called above)
    answer: http.client.HTTPResponse,
    head: bytes,
    target: Path,
    seen: _KnownFile,
    most: int | None,
    progress: Callable[[int, int | None], None],
) -> None:
    have = _size(target) if answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0
    total = have + len(head) + answer.length if answer.length is not None else None
    if have and not _goes_on(answer, have, seen):
        target.unlink()
        raise BrokenOff("the file was changed while it was fetched")
    tag = answer.headers.get("ETag", "")
    seen.validator = tag if tag.startswith('"') else answer.headers.get("Last-Modified")
    seen.total = total
    with target.open("ab" if have else "wb") as file:
        try:
            while chunk := head or answer.read(_CHUNK):
                head = b""
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
                if most is not None and have > most:
                    return  # not the file that was promised; the caller finds out
        except http.client.IncompleteRead as error:
            raise BrokenOff(f"the line broke after {have} bytes") from error
    if total is not None and have < total:
        raise BrokenOff(f"the line broke after {have} of {total} bytes")


def _goes_on(answer: http.client.HTTPResponse, have: int, seen: _KnownFile) -> bool:
    """Return whether a part of a file is the part that is missing, of the same file."""
    told = re.match(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if told is None:
        return True
    same = seen.total is None or told[2] == "*" or int(told[2]) == seen.total
    return int(told[1]) == have and same
