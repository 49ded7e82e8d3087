"""A client of `vsr serve`: sends a film, waits for its job, fetches the result.

A line that breaks is taken up again: an upload by tus, events behind the last one, the result by
its missing bytes. Nothing is sent to another server than the one that was named.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vsr.errors import InputError, OutputError, UsageError, VsrError, cause
from vsr.jobs.store import atomic_write

_TUS = {"Tus-Resumable": "1.0.0"}
_TIMEOUT = 60.0  # seconds
_TRIES = 8  # of what brings nothing
_FOLLOWED = 16  # ... of a job that is followed: some five minutes, for a machine that starts anew
_PAUSE = 0.5  # seconds before the second try; doubled each time
_CHUNK = 1 << 18
_AGAIN = frozenset({408, 423, 429, 502, 503, 504})
Heard = Callable[[int, int], None]  # bytes that are done, of how many


class Unanswered(VsrError, OSError):
    """The server cannot be reached, or its answer is none of vsr's."""


class Denied(VsrError):
    """The server has refused something."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, headers or {}


@dataclass(frozen=True)
class Answer:
    """An answer that is read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def job(self) -> dict[str, Any]:
        """The object in it. Raises Unanswered."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Unanswered("the server's answer is none of vsr's; is the address right?")
        return found


class Client:
    """A server, by its address. Raises UsageError for what is no address."""

    def __init__(self, address: str, token: str | None = None) -> None:
        parts = urllib.parse.urlsplit(address.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"--server {address}: is no address such as http://nas:8787")
        self._parts = parts
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    # --- jobs ---

    def find(self, id: str) -> dict[str, Any] | None:
        """Return the job of that id, if there is one."""
        try:
            return self.ask("GET", f"/v1/jobs/{id}").job
        except Denied as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise

    def put(self, id: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Take a job on, once. Raises Denied."""
        body = json.dumps(asked).encode()
        return self.ask("PUT", f"/v1/jobs/{id}", body, {"Content-Type": "application/json"}).job

    def events(self, id: str) -> Iterator[dict[str, Any]]:
        """Yield a job's events from the first to the last, over lines that break."""
        last, tries = "0", 0
        while True:
            before = last
            try:
                with closing(self._open("GET", f"/v1/jobs/{id}/events", None,
                                        {"Last-Event-ID": last})[0]) as answer:  # fmt: skip
                    for number, event in _events(answer):
                        last = number
                        yield event
                        if event.get("event") == "status" and event.get("status") in _ENDED:
                            return
            except Denied as error:
                if error.status not in _AGAIN:
                    raise
            except (OSError, http.client.HTTPException):
                pass
            tries = 0 if last != before else tries + 1
            _pause(
                tries, "the server has gone; the same command waits for its job again", _FOLLOWED
            )

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request, again if need be; returns the answer. Raises Denied, Unanswered."""
        for tries in range(1, _TRIES + 1):
            try:
                answer, told = self._open(method, path, body, headers or {})
                with closing(answer):
                    return Answer(answer.status, told, answer.read())
            except Denied as error:
                if error.status not in _AGAIN or tries == _TRIES:
                    raise
            except (OSError, http.client.HTTPException) as error:
                if tries == _TRIES:
                    raise Unanswered(f"{self._parts.netloc}: {_said(error)}") from error
            _pause(tries, "")
        raise AssertionError

    # --- files ---

    def upload(self, path: Path, known: str | None, remember: Callable[[str], None],
               heard: Heard) -> str:  # fmt: skip
        """Send a file, or what is missing of it; returns its id.

        `known`: where an earlier run has sent it to; `remember` hears of a new place.
        """
        total, tries = path.stat().st_size, 0
        place = known
        while True:
            offset = self._offset(place) if place is not None else None
            if offset is None:
                place = self._begun(path, total)
                remember(place)
                offset = 0
            if offset == total:
                return place.rpartition("/")[2]  # type: ignore[union-attr]
            assert place is not None
            before = offset
            try:
                with path.open("rb") as file:
                    file.seek(offset)
                    self._send(place, file, offset, total, heard)
                tries = 0
            except Denied as error:
                if error.status not in _AGAIN | {400, 409}:
                    raise
                tries = tries + 1
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, FileNotFoundError):
                    raise InputError(f"{path}: cannot be read ({cause(error)})") from error
                there = self._offset(place)
                tries = tries + 1 if there == before else 1
            _pause(tries, "the upload comes no further")

    def _begun(self, path: Path, total: int) -> str:
        name = base64.b64encode(path.name.encode("utf-8", "replace")).decode()
        headers = {**_TUS, "Upload-Length": str(total), "Upload-Metadata": f"filename {name}"}
        place = self.ask("POST", "/v1/uploads", b"", headers).headers.get("location", "")
        return urllib.parse.urlsplit(place).path

    def _offset(self, place: str) -> int | None:
        try:
            told = self.ask("HEAD", place, None, _TUS).headers
        except Denied as error:
            if error.status in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE):
                return None
            raise
        return int(told["upload-offset"])

    def _send(self, place: str, file: BinaryIO, offset: int, total: int, heard: Heard) -> None:
        def pieces() -> Iterator[bytes]:
            done = offset
            while piece := file.read(min(_CHUNK, total - done)):
                yield piece
                done += len(piece)
                heard(done, total)

        headers = {
            **_TUS,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(total - offset),
        }
        answer, _ = self._open("PATCH", place, pieces(), headers)
        answer.close()

    def fetch(self, id: str, target: Path, heard: Heard) -> None:
        """Fetch a job's result, or what is missing of it. Raises OutputError, Denied."""
        part, tries = target.with_name(f".vsr-{id}.part"), 0
        while True:
            have, said = part.stat().st_size if part.exists() else 0, "the line broke"
            try:
                if self._fetched(id, part, have, heard):
                    atomic_write.rename(part, target)
                    atomic_write.remove(_tag(part))
                    return
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, OutputError | Denied):
                    raise
                said = _said(error)
            more = part.exists() and part.stat().st_size > have
            tries = 1 if more else tries + 1
            _pause(tries, f"the result cannot be fetched ({said})")

    def _fetched(self, id: str, part: Path, have: int, heard: Heard) -> bool:
        """Fetch as far as the line lasts; returns whether all is here."""
        headers = {}
        if have and (tag := remembered(_tag(part))) is not None:
            headers = {"Range": f"bytes={have}-", "If-Range": tag}
        try:
            answer, told = self._open("GET", f"/v1/jobs/{id}/output", None, headers)
        except Denied as error:
            if headers and error.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                if error.headers.get("content-range") == f"bytes */{have}":
                    return True  # all was here
                atomic_write.remove(part)
                return False
            raise
        with closing(answer):
            is_rest = answer.status == http.HTTPStatus.PARTIAL_CONTENT
            have = have if is_rest else 0
            total = have + int(told["content-length"])
            try:
                if not is_rest:
                    atomic_write.remove(part)  # before it says that it is of this result
                    atomic_write.write(_tag(part), told.get("etag", ""))
                file = part.open("r+b" if is_rest else "wb")
            except OSError as error:
                raise OutputError(f"{part}: cannot be written ({cause(error)})") from error
            with file:
                file.seek(have)
                while piece := answer.read(_CHUNK):
                    try:
                        file.write(piece)
                    except OSError as error:
                        raise OutputError(f"{part}: cannot be written ({cause(error)})") from error
                    have += len(piece)
                    heard(have, total)
            return have == total

    # --- requests ---

    def _open(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None,
        headers: Mapping[str, str],
    ) -> tuple[http.client.HTTPResponse, Mapping[str, str]]:
        """Return the answer to one request. Raises Denied, OSError, HTTPException."""
        parts = self._parts
        is_safe = parts.scheme == "https"
        kind = http.client.HTTPSConnection if is_safe else http.client.HTTPConnection
        line = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT)
        sent = {"User-Agent": "vsr", **self._headers, **headers}
        if method in ("POST", "PUT") and body is not None:
            sent.setdefault("Content-Length", str(len(body)))  # type: ignore[arg-type]
        try:
            line.request(method, parts.path + path, body, sent)
            answer = line.getresponse()
        except BaseException:
            line.close()
            raise
        told = {name.lower(): value for name, value in answer.getheaders()}
        if answer.status >= 300:
            with closing(answer):
                raise Denied(answer.status, _detail(answer.status, answer.read(_CHUNK)), told)
        return answer, told


_ENDED = frozenset({"succeeded", "failed", "canceled", "aborted"})


def _events(answer: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    number, data = "0", ""
    for raw in answer:
        name, _, value = raw.decode("utf-8", "replace").rstrip("\r\n").partition(": ")
        if name == "id":
            number = value
        elif name == "data":
            data += value
        elif not name and data:
            yield number, json.loads(data)
            data = ""


def _detail(status: int, body: bytes) -> str:
    try:
        return f"the server says: {json.loads(body)['detail']}"
    except (ValueError, LookupError, TypeError):
        said = body[:200].decode("utf-8", "replace").strip()
        return f"the server says: {said or http.HTTPStatus(status).phrase}"


def _said(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error) or type(error).__name__


def _pause(tries: int, text: str, most: int = _TRIES) -> None:
    if tries >= most:
        raise Unanswered(text)
    time.sleep(min(_PAUSE * 2 ** max(tries - 1, 0), 30.0))


def _tag(part: Path) -> Path:
    return part.with_suffix(".etag")


def remembered(path: Path) -> str | None:
    """Return what an earlier run wrote into a small file."""
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def identity(path: Path) -> str:
    """Return what tells a file from others, and from itself after a change."""
    status = path.stat()
    return f"{os.fspath(path.resolve())} {status.st_size} {status.st_mtime_ns}"
