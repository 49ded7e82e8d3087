"""Promise: what must not be had is refused, nothing is written elsewhere, and nothing is told.

`python -m tests.unit.server.test_hostile` prints what was tried, and what was answered.
"""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SAMPLES
from tests.support.server import Answer, Server, serving

_MINE = {"Authorization": "Bearer a-token-of-mine-alone"}
_OTHERS = {"Authorization": "Bearer a-token-of-others-too"}
_ALL = {"Authorization": "Bearer a-token-that-sees-all"}
_SHORT = {"source": "bunny.mp4", "model": "bicubic", "scale": 2, "clip": ["0f-1f"]}
_SECRET = "a film of somebody else's"

_TRAVERSALS = [
    "../outside.mp4",
    "a/../../outside.mp4",
    "./../outside.mp4",
    "..//outside.mp4",
    "..%2foutside.mp4",
    "%2e%2e/outside.mp4",
    "..\\outside.mp4",
    "..%c0%afoutside.mp4",
    "....//outside.mp4",
    "{folder}/outside.mp4",
    "/proc/self/cwd/../outside.mp4",
    "/proc/self/root/{folder}/outside.mp4",
    "file://{folder}/outside.mp4",
    "~/outside.mp4",
    "outside.mp4\0.mkv",
    "linked.mp4",
    "linked/outside.mp4",
    ".hidden/film.mp4",
    "/etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "-",
    "list.m3u8",
    "a",
    "%05d.png",
    "concat:bunny.mp4|../outside.mp4",
    "\ud800.mp4",
    "x" * 100_000,
]
_SSRF = [
    "http://127.0.0.1/a.mp4",
    "http://localhost:8080/a.mp4",
    "http://2130706433/a.mp4",
    "http://0x7f.1/a.mp4",
    "http://0177.0.0.1/a.mp4",
    "http://127.1/a.mp4",
    "http://0/a.mp4",
    "http://[::1]/a.mp4",
    "http://[::ffff:127.0.0.1]/a.mp4",
    "http://[64:ff9b::7f00:1]/a.mp4",
    "http://[2002:7f00:1::]/a.mp4",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/a.mp4",
    "http://192.168.1.1/a.mp4",
    "http://100.64.0.1/a.mp4",
    "http://[fe80::1%25eth0]/a.mp4",
    "http://[fd00::1]/a.mp4",
    "http://metadata.google.internal/a.mp4",
    "http://router/a.mp4",
    "http://user:secret@example.com/a.mp4",
    "http://example.com:22/a.mp4",
    "http://example.com:99999/a.mp4",
    "https:///a.mp4",
    "http://[::1/a.mp4",
    "ftp://example.com/a.mp4",
    "gopher://example.com/a.mp4",
    "rtsp://example.com/a.mp4",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with _server(tmp_path_factory.mktemp("hostile")) as found:
        yield found


def _server(folder: Path) -> Any:
    roots = folder / "roots"
    (roots / "a").mkdir(parents=True)
    (roots / ".hidden").mkdir()
    shutil.copy(SAMPLES / "bunny.mp4", roots)
    shutil.copy(SAMPLES / "bunny.mp4", roots / ".hidden" / "film.mp4")
    shutil.copy(SAMPLES / "bunny.mp4", folder / "outside.mp4")
    (roots / "linked.mp4").symlink_to(folder / "outside.mp4")
    (roots / "linked").symlink_to(folder)
    (roots / "list.m3u8").write_text(f"#EXTM3U\n{folder}/outside.mp4\n")
    tokens = folder / "tokens"
    lines = (("me", _MINE, ""), ("others", _OTHERS, ""), ("boss", _ALL, "all"))
    tokens.write_text("".join(f"{n} {h['Authorization'][7:]} {a}\n" for n, h, a in lines))
    limits = ("--patience", "1.5", "--allow-urls", "--tokens", str(tokens))
    return serving(folder, *limits, VSR_SERVER_TOKEN="is-not-used-beside-a-file")


def _post(server: Server, input: dict[str, Any], **more: Any) -> Answer:
    return server.ask("POST", "/v1/jobs", {"input": input, **more}, headers=_MINE)


def _says_nothing(server: Server, answer: Answer) -> None:
    text = answer.body.decode() + str(answer.headers)
    for secret in (str(server.folder), "Traceback", "site-packages", "a-token", "/home"):
        assert secret not in text, text


@pytest.mark.parametrize("path", _TRAVERSALS, ids=lambda path: ascii(path)[:40])
def test_no_source_lies_outside(server: Server, path: str) -> None:
    answer = _post(server, {**_SHORT, "source": path.replace("{folder}", str(server.folder))})
    assert answer.status == 422
    _says_nothing(server, Answer(422, answer.headers, answer.json["detail"].encode()))


def test_no_result_is_written_elsewhere(server: Server) -> None:
    for name in (
        "../x.mkv",
        "/tmp/x.mkv",
        "a/b.mkv",
        "..",
        "-",
        "x",
        "%05d.png",
        "a\0.mkv",
        "~.x/",
    ):
        assert _post(server, {**_SHORT, "output": name}).status == 422, name
    given = {
        "models_dir": "/tmp", "mirror": "http://127.0.0.1", "encoder_option": ["stats=/tmp/x"],
        "device": "cuda:7", "workers": 64, "restart": True, "overwrite": True, "follow": 5.0,
        "model": "../outside.safetensors", "for": "../../etc/passwd", "crop": "a;b",
        "pipe_format": "y4m",
    }  # fmt: skip
    for option, value in given.items():
        assert _post(server, {**_SHORT, option: value}).status == 422, option
    for text in (
        "mirror=http://127.0.0.1",
        "model=/etc/passwd",
        "models-dir=/tmp",
        "clip=0-1",
        "x",
    ):
        asked = {"source": "bunny.mp4", "compare": [text]}
        assert _post(server, asked, task="preview").status == 422, text


@pytest.mark.parametrize("address", _SSRF)
def test_no_address_leads_inside(server: Server, address: str) -> None:
    assert _post(server, {**_SHORT, "source": address}).status == 422
    assert _post(server, _SHORT, webhook=address).status == 422


def test_a_token_is_needed_and_is_never_told(server: Server) -> None:
    wrong: list[dict[str, str]] = [
        {}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "},
        {"Authorization": "Basic bWU6"},
        {"Authorization": "Bearer a-token-of-mine-alon"}, {"Authorization": "Bearer \xff"},
        {"Authorization": "Bearer is-not-used-beside-a-file"},
        {"Cookie": "vsr_session=boss.99999999999.00"}, {"Cookie": "vsr_session=boss"},
        {"Cookie": "vsr_session=boss.x." + "0" * 64},
    ]  # fmt: skip
    for headers in wrong:
        for path in ("/v1/jobs", "/metrics", "/v1/files", "/v1/webhooks/default/secret"):
            answer = server.ask("GET", path, headers=headers)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), headers
    assert server.ask("GET", "/v1/jobs?token=a-token-of-mine-alone").status == 401
    assert server.ask("GET", "/healthz").status == 200
    assert server.ask("GET", "/").status == 200


def test_a_browser_has_a_session_that_cannot_be_another_ones(server: Server) -> None:
    given = server.ask("POST", "/v1/session", headers=_MINE).headers["set-cookie"]
    assert "HttpOnly" in given
    assert "SameSite=strict" in given
    value = given.partition(";")[0]
    assert server.ask("GET", "/v1/session", headers={"Cookie": value}).json["name"] == "me"
    other = value.replace("=me.", "=boss.")
    assert server.ask("GET", "/v1/jobs", headers={"Cookie": other}).status == 401
    assert server.ask("POST", "/v1/session").status == 401


def test_what_is_anothers_is_not_there(server: Server) -> None:
    job = _post(server, _SHORT).json
    server.ended(job["id"], _MINE)
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "5"}
    place = server.ask("POST", "/v1/uploads", headers={**_MINE, **tus}).headers["location"]
    for path in job["urls"].values():
        method = "POST" if path.endswith("cancel") else "GET"
        answer = server.ask(method, path, headers=_OTHERS)
        assert (answer.status, answer.json["detail"]) == (404, "there is no such job"), path
    gone = server.ask("GET", "/v1/jobs/00000000000000000000000000", headers=_OTHERS)
    assert gone.json["detail"] == "there is no such job"
    assert server.ask("DELETE", job["urls"]["get"], headers=_OTHERS).status == 404
    assert server.ask("GET", "/v1/jobs", headers=_OTHERS).json["results"] == []
    assert server.ask("HEAD", place, headers={**_OTHERS, **tus}).status == 404
    id = place.rpartition("/")[2]
    for source in (place, f"upload:{id}", f"/v1/files/{id}", f"upload:../jobs/{job['id']}"):
        asked = {"input": {**_SHORT, "source": source}}
        assert server.ask("POST", "/v1/jobs", asked, headers=_OTHERS).status == 422
    taken = server.ask("PUT", f"/v1/jobs/{job['id']}", {"input": _SHORT}, headers=_OTHERS)
    assert taken.status == 409
    assert _SECRET not in taken.body.decode()
    assert server.ask("GET", job["urls"]["get"], headers=_ALL).status == 200
    server.ask("DELETE", place, headers={**_MINE, **tus})


def test_other_pages_and_other_names_are_refused(server: Server) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "a b"):
        answer = server.ask("GET", "/v1/jobs", headers={**_MINE, "Host": host})
        assert answer.status == 400, host
    for origin in (
        "https://evil.example", "null", f"http://localhost:{server.port}", "file://",
        f"http://127.0.0.1:{server.port + 1}", f"http://127.0.0.1.evil:{server.port}",
    ):  # fmt: skip
        headers = {**_MINE, "Origin": origin}
        asked = {"input": _SHORT}
        assert server.ask("POST", "/v1/jobs", asked, headers=headers).status == 403, origin
    same = {**_MINE, "Origin": server.base}
    assert server.ask("POST", "/v1/jobs", {"input": {}}, headers=same).status == 422
    cross = {**_MINE, "Sec-Fetch-Site": "cross-site"}
    assert server.ask("POST", "/v1/jobs", {"input": {}}, headers=cross).status == 403
    answer = server.ask("GET", "/v1/jobs", headers=same)
    assert "access-control-allow-origin" not in answer.headers


def test_bodies_that_are_too_large_or_none_are_refused(server: Server) -> None:
    typed = {**_MINE, "Content-Type": "application/json"}
    bodies: dict[bytes, int] = {
        b"x" * (2 << 20): 413, b"": 400, b"{": 400, b"[]": 422, b'"a"': 422, b"\xff\xfe": 400,
        b"[" * 100_000: 400, b'{"input": NaN}': 400, b'{"input": {"crf": 1e999}}': 400,
        b'{"input": ' + b"9" * 10_000 + b"}": 400, b'{"input": [], "task": "x"}': 422,
        b'{"input": {"source": {"a": 1}}}': 422, b'{"input": {}, "webhook": 5}': 422,
    }  # fmt: skip
    for body, status in bodies.items():
        answer = server.ask("POST", "/v1/jobs", body=body, headers=typed)
        assert answer.status == status, (body[:40], answer.body)
        _says_nothing(server, answer)
    plain = {**_MINE, "Content-Type": "text/plain"}
    assert server.ask("POST", "/v1/jobs", body=b"{}", headers=plain).status == 415


def _raw(server: Server, data: bytes) -> bytes:
    """Send bytes; returns the first line of the answer, or nothing where the line is cut."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        try:
            line.sendall(data)
            return line.recv(4096).partition(b"\r\n")[0]
        except (BrokenPipeError, ConnectionResetError):
            return b""


def test_heads_that_are_large_or_slow_are_ended(server: Server) -> None:
    begin = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    many = begin + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 100) for n in range(2000)) + b"\r\n"
    for data in (many, begin + b"X: " + b"a" * 200_000 + b"\r\n\r\n", b"GET /" + b"a" * 200_000):
        assert not _raw(server, data).startswith(b"HTTP/1.1 200")
    for half in (b"", b"GET /hea", begin, begin + b"X: "):
        assert _raw(server, half) == b""  # 1.5 s later
    both = b"Host: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert b" 20" not in _raw(server, b"POST /v1/jobs HTTP/1.1\r\n" + both)
    assert server.ask("GET", "/healthz").status == 200


def test_paths_of_the_api_lead_nowhere_else(server: Server) -> None:
    for path in ("/page/../settings.py", "/page/%2e%2e/settings.py", "/page/..%2fsettings.py",
                 "/page//etc/passwd", "/v1/jobs/..%2f..%2fsecret", "/v1/jobs/../../secret",
                 "/v1/files/..%2f..%2fsecret", "/page/%00", "/v1/jobs/%2e%2e/output",
                 "/page/....//settings.py", "/page/..\\settings.py"):  # fmt: skip
        answer = server.ask("GET", path, headers=_ALL)
        assert answer.status == 404, path
        _says_nothing(server, answer)


def test_names_are_shown_as_text(server: Server) -> None:
    name = '<img src=x onerror=alert(1)>"\r\nX: y.mp4'
    shutil.copy(SAMPLES / "bunny.mp4", server.roots / name.replace("\r\n", ""))
    form = (
        b'--b\r\nContent-Disposition: form-data; name="content"; filename="<script>.mp4"\r\n\r\n'
        + (SAMPLES / "bunny.mp4").read_bytes()
        + b"\r\n--b--\r\n"
    )
    headers = {**_MINE, "Content-Type": "multipart/form-data; boundary=b"}
    file = server.ask("POST", "/v1/files", body=form, headers=headers).json
    for source in (name.replace("\r\n", ""), f"upload:{file['id']}"):
        job = _post(server, {**_SHORT, "source": source}).json
        done = server.ended(job["id"], _MINE)
        assert done["status"] == "succeeded", done
        for kind in ("get", "events", "output"):
            answer = server.ask("GET", job["urls"][kind], headers=_MINE)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-type"].partition(";")[0] in (
                "application/json", "text/event-stream", "video/mp4",
            )  # fmt: skip
            assert "x" not in answer.headers
        assert answer.headers["content-disposition"].startswith("attachment; ")


def test_nothing_was_written_elsewhere(server: Server) -> None:
    """Last of all, of what was tried before."""
    there = {path.name for path in server.folder.iterdir()}
    assert there <= {"roots", "data", "tokens", "outside.mp4", "state", "cache", "config"}
    for path in server.data.rglob("*"):
        assert not path.is_symlink()
        inside = path.relative_to(server.data).parts[0]
        assert inside in ("jobs", "uploads", "secret", "lock")
    roots = {path.name for path in server.roots.iterdir() if not path.name.startswith("<")}
    assert roots == {"a", ".hidden", "bunny.mp4", "linked.mp4", "linked", "list.m3u8"}
    assert list((server.roots / "a").iterdir()) == []
    assert (server.data / "secret").stat().st_mode & 0o77 == 0


def _main() -> None:
    """Show how each of the addresses and paths is answered."""
    with tempfile.TemporaryDirectory() as name, _server(Path(name)) as server:
        for source in (*_TRAVERSALS, *_SSRF):
            given = source.replace("{folder}", name)
            answer = _post(server, {**_SHORT, "source": given})
            print(answer.status, json.dumps(given)[:60], answer.json["detail"])


if __name__ == "__main__":
    _main()
