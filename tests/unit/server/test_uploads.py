"""Promise: an upload is what was sent, over whatever breaks, or it is nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.server import Answer, Server, serving

_TUS = {"Tus-Resumable": "1.0.0"}
_BYTES = {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("uploads")
    with serving(folder, "--max-uploads", "4", "--max-upload", "0.01", "--patience", "2") as found:
        yield found


def _begin(server: Server, length: int, **metadata: str) -> str:
    told = ",".join(f"{n} {base64.b64encode(v.encode()).decode()}" for n, v in metadata.items())
    headers = {**_TUS, "Upload-Length": str(length)} | ({"Upload-Metadata": told} if told else {})
    answer = server.ask("POST", "/v1/uploads", headers=headers)
    assert answer.status == 201, answer.body
    return answer.headers["location"]


def _patch(server: Server, place: str, offset: int, data: bytes, **more: str) -> Answer:
    headers = {**_TUS, **_BYTES, "Upload-Offset": str(offset), **more}
    return server.ask("PATCH", place, body=data, headers=headers)


def _offset(server: Server, place: str) -> int:
    return int(server.ask("HEAD", place, headers=_TUS).headers["upload-offset"])


def _stored(server: Server, place: str) -> bytes:
    (file,) = (server.data / "uploads" / place.rpartition("/")[2]).glob("*.mkv")
    return file.read_bytes()


@contextmanager
def _breaking(server: Server, place: str, offset: int, data: bytes) -> Iterator[None]:
    """Send less than is promised; the line breaks at the end."""
    head = (
        f"PATCH /v1/uploads/{place.rpartition('/')[2]} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n"
        f"Upload-Offset: {offset}\r\nContent-Length: {len(data) + 1}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(head.encode() + data)
        yield


def _reached(server: Server, place: str, offset: int) -> int:
    """Return how far it is once that is further than `offset`, and nobody writes any more."""
    until = time.monotonic() + 60
    while (reached := _offset(server, place)) == offset:
        assert time.monotonic() < until
        time.sleep(0.05)
    while _patch(server, place, reached, b"").status in (409, 423):
        assert time.monotonic() < until
        reached = _offset(server, place)
    return reached


def test_pieces_make_the_whole_over_broken_lines_and_a_killed_server(server: Server) -> None:
    data = os.urandom(6_000_000)
    place = _begin(server, len(data), filename="film.mkv", sha256=hashlib.sha256(data).hexdigest())
    offset = 0
    for size in (700_000, 1_200_000):
        with _breaking(server, place, offset, data[offset : offset + size]):
            pass
        offset = _reached(server, place, offset)
    with _breaking(server, place, offset, data[offset : offset + 2_500_000]):
        while _offset(server, place) == offset:  # some of it is on the disk
            time.sleep(0.05)
        server.kill()
    server.start()
    offset = _reached(server, place, offset)
    answer = _patch(server, place, offset, data[offset:])
    assert (answer.status, answer.headers["upload-offset"]) == (204, str(len(data)))
    assert _stored(server, place) == data
    assert server.ask("DELETE", place, headers=_TUS).status == 204
    assert server.ask("HEAD", place, headers=_TUS).status == 404


def test_what_does_not_fit_is_refused_and_changes_nothing(server: Server) -> None:
    place = _begin(server, 10, filename="film.mkv")
    assert _patch(server, place, 0, b"12345").status == 204
    wrong: list[tuple[int, bytes, dict[str, str], int]] = [
        (0, b"x", {}, 409),
        (6, b"x", {}, 409),
        (5, b"123456", {}, 413),
        (5, b"x", {"Tus-Resumable": "0.2.2"}, 412),
        (5, b"x", {"Content-Type": "application/json"}, 415),
        (5, b"x", {"Upload-Offset": "-5"}, 400),
        (5, b"x", {"Upload-Offset": "5e0"}, 400),
        (5, b"x", {"Upload-Checksum": "sha256 AAAA"}, 400),
        (5, b"x", {"Upload-Checksum": "md5 AAAA"}, 400),
    ]
    for offset, data, headers, status in wrong:
        assert _patch(server, place, offset, data, **headers).status == status, (data, headers)
        assert _offset(server, place) == 5
    other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    right = base64.b64encode(hashlib.sha256(b"678").digest()).decode()
    checked = _patch(server, place, 5, b"678", **{"Upload-Checksum": f"sha256 {other}"})
    assert (checked.status, _offset(server, place)) == (460, 5)
    checked = _patch(server, place, 5, b"678", **{"Upload-Checksum": f"sha256 {right}"})
    assert (checked.status, _offset(server, place)) == (204, 8)
    assert _stored(server, place) == b"12345678"
    server.ask("DELETE", place, headers=_TUS)


def test_an_upload_that_is_another_file_is_thrown_away(server: Server) -> None:
    place = _begin(server, 3, filename="a.mkv", sha256=hashlib.sha256(b"abc").hexdigest())
    assert _patch(server, place, 0, b"abd").status == 460
    assert _offset(server, place) == 0
    assert server.ask("POST", "/v1/jobs", {"input": {"source": place}}).status == 422
    assert _patch(server, place, 0, b"abc").status == 204
    server.ask("DELETE", place, headers=_TUS)


def test_uploads_have_limits(server: Server) -> None:
    too_large = {**_TUS, "Upload-Length": str(10**7 + 1)}
    assert server.ask("POST", "/v1/uploads", headers=too_large).status == 413
    places = [_begin(server, 5, filename="a.mkv") for _ in range(4)]
    more = server.ask("POST", "/v1/uploads", headers={**_TUS, "Upload-Length": "5"})
    assert (more.status, more.headers["retry-after"]) == (429, "60")
    for place in places:
        server.ask("DELETE", place, headers=_TUS)
    _begin(server, 0, filename="empty.mkv")


def test_a_silent_upload_is_ended_and_keeps_what_has_come(server: Server) -> None:
    place = _begin(server, 10, filename="slow.mkv")
    head = (
        f"PATCH /v1/uploads/{place.rpartition('/')[2]} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n"
        "Upload-Offset: 0\r\nContent-Length: 10\r\n\r\nabc"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as line:
        line.sendall(head.encode())
        assert line.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert _offset(server, place) == 3
    server.ask("DELETE", place, headers=_TUS)


def test_a_form_brings_a_file_as_replicates_clients_send_it(server: Server, bunny: Path) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="content"; filename="bunny.mp4"\r\n'
        b"Content-Type: video/mp4\r\n\r\n" + bunny.read_bytes() + b"\r\n--b--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = server.ask("POST", "/v1/files", body=body, headers=headers)
    assert answer.status == 201, answer.body
    file = answer.json
    assert (file["name"], file["size"]) == ("bunny.mp4", bunny.stat().st_size)
    asked = {"source": file["urls"]["get"], "model": "bicubic", "scale": 2, "clip": ["0f-1f"]}
    job = server.job(asked)
    assert server.ask("DELETE", file["urls"]["get"]).status == 409  # it is still needed
    assert server.ended(job["id"])["status"] == "succeeded"
    assert server.ask("GET", "/v1/files").json["results"][0]["id"] == file["id"]
    assert server.ask("DELETE", file["urls"]["get"]).status == 204
