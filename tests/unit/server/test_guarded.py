"""Promise: an address that a client names leads to nothing that is not public, whatever it says."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SAMPLES
from vsr.fetch import BadAddress, open_address
from vsr.server.refusals import Refused
from vsr.server.work import fetched
from vsr.server.work.guarded import checked, connect, lines


@contextmanager
def _http(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers[self.path]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://here.example:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a name server answers, name by name."""
    known = {"here.example": "127.0.0.1"}

    def answer(host: str, port: int, **more: Any) -> list[Any]:
        kind = socket.AF_INET6 if ":" in known.get(host, host) else socket.AF_INET
        return [(kind, socket.SOCK_STREAM, 6, "", (known.get(host, host), port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return known


def test_a_name_that_leads_inside_is_not_connected_to(names: dict[str, str]) -> None:
    for number in (
        "127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:10.0.0.1", "0.0.0.0", "fd00::1",
        "64:ff9b::a00:1", "2002:a00:1::", "224.0.0.1", "100.64.1.1",
    ):  # fmt: skip
        names["innocent.example"] = number
        assert checked("http://innocent.example/a.mp4", (), "source")  # its text tells nothing
        with pytest.raises(BadAddress, match="not public"):
            connect("innocent.example", 80, (), 1.0)


def test_what_was_checked_is_what_is_connected_to(
    names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers otherwise the second time is asked once."""
    asked: list[str] = []
    before = socket.getaddrinfo

    def counted(host: str, *args: Any, **more: Any) -> Any:
        asked.append(host)
        return before(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    with _http({"/a": (200, {}, b"film")}) as base:
        with open_address(f"{base}/a", timeout=5, lines=lines(["here.example"])) as answer:
            assert answer.read() == b"film"
        assert asked == ["here.example"]


def test_a_redirect_inside_is_not_followed(names: dict[str, str]) -> None:
    names["inside.example"] = "10.0.0.1"
    there = {"/a": (302, {"Location": "http://inside.example/b"}, b"")}
    with _http(there) as base, pytest.raises(BadAddress, match="not public"):
        open_address(f"{base}/a", timeout=5, lines=lines(["here.example"]))


def test_no_proxy_is_asked(names: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with (
        _http({"/a": (200, {}, b"film")}) as base,
        open_address(f"{base}/a", timeout=5, lines=lines(["here.example"])) as answer,
    ):
        assert answer.read() == b"film"


def test_a_film_is_fetched_by_a_process_of_its_own(tmp_path: Path) -> None:
    film = (SAMPLES / "bunny.mp4").read_bytes()
    with _http({"/a.mp4": (200, {}, film)}) as base:
        url = base.replace("here.example", "127.0.0.1") + "/a.mp4"
        target = tmp_path / "a.mp4"
        for most, near, code in ((10**9, (), 3), (1000, ("127.0.0.1",), 3)):
            words = fetched.command(url, target, most, near)
            done = subprocess.run(words, capture_output=True, check=False)
            assert done.returncode == code
            assert list(tmp_path.iterdir()) == []
        words = fetched.command(url, target, 10**9, ("127.0.0.1",))
        assert subprocess.run(words, capture_output=True, check=True)
    assert target.read_bytes() == film


def test_an_address_that_is_none_is_refused() -> None:
    for url in ("http://", "http:///a", "https://a b/c", "http://x.example:0x50/", "//x.example/a"):
        with pytest.raises(Refused):
            checked(url, (), "source")
