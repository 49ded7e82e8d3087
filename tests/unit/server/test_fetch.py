"""What a client fetches is one result, whatever lay there of another. The server is a fake."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vsr.server import client
from vsr.server.client import Client, Unanswered

_A, _B = b"a" * 1000, b"b" * 1500


class Results(ThreadingHTTPServer):
    """A server whose results are `bytes` with tags, by job; it may break each answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.there: dict[str, tuple[bytes, str]] = {}
        self.most = 10000  # bytes in an answer, before the line breaks
        self.sent = 0


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Results)
        data, tag = server.there[self.path.split("/")[3]]
        asked, start = self.headers.get("Range"), 0
        if asked and self.headers.get("If-Range", tag) == tag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.end_headers()
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        piece = data[start:][: server.most]
        server.sent += len(piece)
        self.wfile.write(piece)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Results]:
    monkeypatch.setattr(client, "_PAUSE", 0.0)
    monkeypatch.setattr(client, "_TRIES", 2)
    with Results() as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def fetch(server: Results, job: str, target: Path) -> bytes:
    Client(f"http://127.0.0.1:{server.server_port}").fetch(job, target, lambda *_: None)
    assert [path.name for path in target.parent.iterdir() if path.name.endswith(".etag")] == []
    return target.read_bytes()


def break_off(server: Results, job: str, target: Path) -> None:
    """Fetch 400 bytes, and then nothing."""
    whole, server.most = server.there[job], 400

    def gone(*_: object) -> None:
        server.most = 0

    with pytest.raises(Unanswered, match="cannot be fetched"):
        Client(f"http://127.0.0.1:{server.server_port}").fetch(job, target, gone)
    server.there[job], server.most, server.sent = whole, 10000, 0


@pytest.mark.parametrize("tag", ['"1"', ""])
def test_what_broke_off_is_gone_on_with_if_it_is_certain_to_be_of_it(
    server: Results, tmp_path: Path, tag: str
) -> None:
    server.there["a"] = (_A, tag)
    break_off(server, "a", tmp_path / "out")
    assert fetch(server, "a", tmp_path / "out") == _A
    assert server.sent == (600 if tag else 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_another_job_with_the_same_target_begins_anew(server: Results, tmp_path: Path) -> None:
    server.there = {"a": (_A, '"1"'), "b": (_B, '"2"')}
    break_off(server, "a", tmp_path / "out")
    Client(f"http://127.0.0.1:{server.server_port}").fetch("b", tmp_path / "out", lambda *_: None)
    assert (tmp_path / "out").read_bytes() == _B


@pytest.mark.parametrize("other", [_B, b"b" * 300])
def test_a_job_that_was_made_anew_is_fetched_anew(
    server: Results, tmp_path: Path, other: bytes
) -> None:
    server.there["a"] = (_A, '"1"')
    break_off(server, "a", tmp_path / "out")
    server.there["a"] = (other, '"2"')
    assert fetch(server, "a", tmp_path / "out") == other


def test_a_longer_part_is_not_taken_for_a_result(server: Results, tmp_path: Path) -> None:
    server.there["a"] = (_A, '"1"')
    break_off(server, "a", tmp_path / "out")
    server.there["a"] = (b"b" * 300, '"1"')
    assert fetch(server, "a", tmp_path / "out") == b"b" * 300


def test_what_was_whole_is_not_sent_again(server: Results, tmp_path: Path) -> None:
    server.there["a"] = (_A[:400], '"1"')
    server.most = 400
    (tmp_path / ".vsr-a.part").write_bytes(_A[:400])
    (tmp_path / ".vsr-a.etag").write_text('"1"')
    assert fetch(server, "a", tmp_path / "out") == _A[:400]
    assert server.sent == 0
