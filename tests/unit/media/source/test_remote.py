"""Addresses: what they hold comes whole, and nothing but what was asked for."""

from __future__ import annotations

import base64
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import vsr
from tests.support import judge
from vsr.cli import cli
from vsr.errors import InputError, OutputExists, UsageError
from vsr.jobs.plan.scratch import WorkFolder

ROOT = Path(__file__).parents[4]


def upscale(url: str, output: Path | None, *clips: str, patience: float = 5) -> vsr.Result:
    parts = tuple(vsr.Clip.parse(clip) for clip in clips)
    return vsr.upscale(
        url,
        output,
        vsr.UpscaleOptions(
            model=vsr.ModelOptions(name="nearest"),
            size=vsr.SizeOptions(scale=Fraction(1)),
            source=vsr.SourceOptions(patience=patience, clips=parts),
            encode=vsr.EncodeOptions(codec="ffv1"),
        ),
    )


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the files of a folder, in parts where it is asked to; badly where it is told to."""

    folder: Path
    asked: list[str]
    break_at: int | None = None  # bytes after which the first answer breaks off
    hang: bool = False  # after the first bytes
    cut: bool = False  # every answer breaks off after its first bytes
    leads_to: dict[str, str] = {}  # noqa: RUF012 (each test's own)
    login: str | None = None  # user:password that is asked for
    once: list[str] = []  # noqa: RUF012 (paths that are answered once)
    tag: str | None = None  # of the file as it is now
    changed: bytes | None = None  # what the file becomes after its first answer

    def do_GET(self) -> None:  # noqa: PLR0912
        self.asked.append(f"{self.path} {self.headers.get('Range', '')}".strip())
        if self.path == "/endless.ts":
            self._endless()
            return
        if to := type(self).leads_to.get(self.path):
            self.send_response(302)
            self.send_header("Location", to)
            self.end_headers()
            return
        if (login := type(self).login) is not None:
            told = self.headers.get("Authorization", "")
            if told != f"Basic {base64.b64encode(login.encode()).decode()}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="x"')
                self.end_headers()
                return
        if self.path in type(self).once:
            type(self).once.remove(self.path)
        elif type(self).once is not Handler.once:
            self.path = "/second"
        name = urllib.parse.unquote_to_bytes(urllib.parse.urlsplit(self.path).path)[1:]
        path = self.folder / os.fsdecode(name)
        if not path.is_file():
            self.send_error(404)
            return
        data, begin = path.read_bytes(), 0
        if given := self.headers.get("Range"):
            begin = int(given.removeprefix("bytes=").partition("-")[0])
        if given and type(self).tag and self.headers.get("If-Range") not in (None, type(self).tag):
            given, begin = None, 0
        self.send_response(206 if given else 200)
        if (tag := type(self).tag) is not None:
            self.send_header("ETag", tag)
        if given:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if type(self).hang:
            self.wfile.write(data[:10])
            time.sleep(1)
        elif type(self).cut:
            self.wfile.write(data[begin : begin + 10] if not begin else b"")
        elif (at := type(self).break_at) is not None:
            type(self).break_at = None
            self.wfile.write(data[begin : begin + at])
            if (changed := type(self).changed) is not None:
                path.write_bytes(changed)
                type(self).tag = type(self).tag and '"2"'
        else:
            self.wfile.write(data[begin:])

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write((self.folder / "part.ts").read_bytes())
                time.sleep(0.02)
        except OSError:
            pass

    def log_message(self, *arguments: Any) -> None: ...


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, type[Handler], Path]]:
    """A server's address, its handler and its folder."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = type("Own", (Handler,), {"folder": folder, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", handler, folder
        server.shutdown()
        thread.join()


def film(path: Path, *arguments: str, seconds: int = 2) -> Path:
    return judge.make(
        path, f"testsrc2=s=64x48:r=25:d={seconds}", "-map", "0", "-map", "1", "-c:v", "libx264",
        "-pix_fmt", "yuv420p", "-g", "25", *arguments,
        inputs=["-f", "lavfi", "-i", f"anoisesrc=d={seconds}:a=0.1:r=48000"],
    )  # fmt: skip


def same_pictures(output: Path, source: Path) -> bool:
    return [f.digest for f in judge.frames(output)] == [f.digest for f in judge.frames(source)]


def test_a_file_comes_byte_for_byte_though_the_line_breaks(
    web: tuple[str, type[Handler], Path], tmp_path: Path
) -> None:
    address, handler, folder = web
    font = tmp_path / "a.ttf"
    font.write_bytes(b"\0\1\0\0" + bytes(300_000))
    source = film(
        folder / "my film.mkv", "-attach", str(font), "-metadata:s:t", "mimetype=font/ttf",
        "-c:a", "flac",
    )  # fmt: skip
    handler.break_at = 100_000
    output = tmp_path / "out.mkv"
    upscale(f"{address}/my%20film.mkv", output)
    assert same_pictures(output, source)
    assert judge.packets(output, "a:0") == judge.packets(source, "a:0")
    assert "a.ttf" in judge.describe(output)
    assert "/my%20film.mkv bytes=100000-" in handler.asked
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_the_result_is_named_after_the_address(
    web: tuple[str, type[Handler], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _, folder = web
    film(folder / "clip.mkv")
    monkeypatch.chdir(tmp_path)
    result = upscale(f"{address}/clip.mkv?token=a/b", None, "0-0.2")
    assert result.output == tmp_path / "clip_1x_0-0.2.mkv"


def test_hls_is_recorded_and_loses_nothing(
    web: tuple[str, type[Handler], Path], tmp_path: Path
) -> None:
    address, _, folder = web
    source = film(tmp_path / "whole.ts", "-c:a", "mp2")
    judge.ffmpeg("-i", str(source), "-c", "copy", "-hls_time", "1", "-hls_list_size", "0",
                 str(folder / "list.m3u8"))  # fmt: skip
    output = tmp_path / "out.mkv"
    upscale(f"{address}/list.m3u8", output)
    assert same_pictures(output, source)
    want, got = judge.packets(source, "a:0"), judge.packets(output, "a:0")
    assert [p.digest for p in got] == [p.digest for p in want]
    picture = judge.packets(source, "v:0")[0].pts, judge.packets(output, "v:0")[0].pts
    shift = got[0].pts - want[0].pts - (picture[1] - picture[0])
    assert abs(shift) <= Fraction(2, 1000)


def test_a_live_stream_is_recorded_for_as_long_as_wanted(
    web: tuple[str, type[Handler], Path], tmp_path: Path
) -> None:
    address, _, folder = web
    film(folder / "part.ts", "-c:a", "mp2", seconds=1)
    output = tmp_path / "out.mkv"
    upscale(f"{address}/endless.ts", output, "0.2+0.6")
    assert len(judge.frames(output)) == 15


def test_a_live_stream_over_rtmp(tmp_path: Path) -> None:
    source = film(tmp_path / "a.flv", "-c:a", "aac")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"rtmp://127.0.0.1:{port}/live/x"
    command = [judge.PROGRAM, "-loglevel", "error", "-re", "-i", str(source), "-c", "copy",
               "-f", "flv", "-listen", "1", url]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sender:
        time.sleep(0.5)
        output = tmp_path / "out.mkv"
        try:
            upscale(url, output)
        finally:
            sender.kill()
    assert same_pictures(output, source)


def test_a_stream_that_stalls_is_given_up(
    web: tuple[str, type[Handler], Path], tmp_path: Path
) -> None:
    address, handler, folder = web
    film(folder / "a.mkv")
    handler.hang = True
    with pytest.raises(InputError, match="cannot be fetched"):
        upscale(f"{address}/a.mkv", tmp_path / "out.mkv", patience=0.1)


@pytest.mark.parametrize("name", ["list.m3u8", "all.m3u8"])
def test_a_playlist_with_drm_is_called_so(
    web: tuple[str, type[Handler], Path], tmp_path: Path, name: str
) -> None:
    """At once, and by the one that it leads to."""
    address, _, folder = web
    key = 'METHOD=SAMPLE-AES,URI="skd://a",KEYFORMAT="com.apple.streamingkeydelivery"'
    (folder / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-KEY:{key}\n#EXTINF:1,\ns.ts\n#EXT-X-ENDLIST\n"
    )
    (folder / "all.m3u8").write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\nlist.m3u8\n")
    with pytest.raises(InputError, match=r"is encrypted \(DRM: FairPlay\)"):
        upscale(f"{address}/{name}", tmp_path / "o.mkv")


@pytest.mark.parametrize("name", ["gone.mkv", "gone.m3u8"])
def test_what_is_not_there_is_told_in_a_line(
    web: tuple[str, type[Handler], Path], tmp_path: Path, name: str
) -> None:
    with pytest.raises(InputError, match="404") as error:
        upscale(f"{web[0]}/{name}", tmp_path / "out.mkv")
    assert "\n" not in str(error.value)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    with pytest.raises(InputError, match="cannot be"):
        upscale(f"rtmp://127.0.0.1:{port}/{name}", tmp_path / "out.mkv")
    assert [p.name for p in tmp_path.iterdir()] == ["web"]


@pytest.mark.parametrize("kind", ["hls", "ffconcat", "nested"])
def test_what_comes_from_elsewhere_cannot_read_here(
    web: tuple[str, type[Handler], Path], tmp_path: Path, kind: str
) -> None:
    address, _, folder = web
    secret = film(tmp_path / "secret.ts", "-c:a", "aac")
    lines = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
    if kind == "hls":
        name, text = "a.m3u8", lines.format(f"file://{secret}")
    elif kind == "ffconcat":
        name, text = "a.mkv", f"ffconcat version 1.0\nfile '{secret}'\n"
    else:
        name, text = "a.m3u8", lines.format(f"concat:{secret}|{secret}")
    (folder / name).write_text(text)
    with pytest.raises(InputError):
        upscale(f"{address}/{name}", tmp_path / "out.mkv", patience=2)
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("name", ["x.m3u8", "x.ffconcat", "x.M3U", "x.m3u8.m3u8"])
def test_a_playlist_that_comes_second_cannot_read_here(
    web: tuple[str, type[Handler], Path], tmp_path: Path, name: str
) -> None:
    address, handler, folder = web
    secret = film(tmp_path / "secret.ts", "-c:a", "aac")
    (folder / name).write_bytes(bytes(300))
    lines = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n"
    concat = f"ffconcat version 1.0\nfile '{secret}'\n"
    (folder / "second").write_text(concat if "ff" in name else lines)
    handler.once = [f"/{name}"]
    with pytest.raises(InputError):
        upscale(f"{address}/{name}", tmp_path / "out.mkv", patience=2)
    (folder / name).write_text(concat)  # at once
    with pytest.raises(InputError):
        upscale(f"{address}/second?{name}", tmp_path / "out.mkv", patience=2)
    assert not (tmp_path / "out.mkv").exists()


def test_a_link_for_once_and_a_playlists_name_are_enough(
    web: tuple[str, type[Handler], Path], tmp_path: Path
) -> None:
    address, handler, folder = web
    source = film(folder / "film.m3u8.mkv")
    source = source.rename(folder / "film.m3u8")
    handler.once = ["/film.m3u8"]
    upscale(f"{address}/film.m3u8", tmp_path / "out.mkv")
    assert handler.asked == ["/film.m3u8"]
    assert len(judge.frames(tmp_path / "out.mkv")) == 50


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("ftp://127.0.0.1:9/a.mkv", "leads on to ftp"),
        ("file:///etc/passwd", "not allowed"),
        ("data:,x", "not allowed"),
    ],
)
def test_an_address_leads_to_addresses_of_the_web_only(
    web: tuple[str, type[Handler], Path], tmp_path: Path, to: str, words: str
) -> None:
    address, handler, folder = web
    film(folder / "b.mkv")
    handler.leads_to = {"/a.mkv": to, "/ok.mkv": "/b.mkv"}
    with pytest.raises(InputError, match=words) as error:
        upscale(f"{address}/a.mkv", tmp_path / "out.mkv")
    assert "\n" not in str(error.value)
    upscale(f"{address}/ok.mkv", tmp_path / "out.mkv")
    assert len(judge.frames(tmp_path / "out.mkv")) == 50


@pytest.mark.parametrize("kind", ["endless.ts", "list.m3u8", "all.m3u8", "rtmp"])
def test_frames_of_what_never_ends_are_refused(
    web: tuple[str, type[Handler], Path], tmp_path: Path, kind: str
) -> None:
    address, _, folder = web
    film(folder / "part.ts", "-c:a", "mp2", seconds=1)
    lines = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\npart.ts\n"
    (folder / "list.m3u8").write_text(lines)
    (folder / "all.m3u8").write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8\n")
    url = f"{address}/{kind}" if kind != "rtmp" else "rtmp://127.0.0.1:9/live"
    for clip in ("0-50f", "50f+25f", "1+20f"):
        with pytest.raises(UsageError, match="is live"):
            upscale(url, tmp_path / "out.mkv", clip)
    if "m3u8" in kind:
        (folder / "list.m3u8").write_text(f"{lines}#EXT-X-ENDLIST\n")
        upscale(url, tmp_path / "out.mkv", "0-20f")
        assert len(judge.frames(tmp_path / "out.mkv")) == 20


def test_spaces_a_login_and_a_long_name(
    web: tuple[str, type[Handler], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, handler, folder = web
    film(folder / os.fsdecode("mein größter 100% film.mkv".encode()))
    film(folder / "hls.ts", "-c:a", "mp2")
    judge.ffmpeg("-i", str(folder / "hls.ts"), "-c", "copy", "-hls_list_size", "0",
                 str(folder / "list.m3u8"))  # fmt: skip
    handler.login = "me:p@ss word"
    inner = address.replace("http://", "http://me:p%40ss%20word@")
    handler.leads_to = {"/there": "/mein%20gr%C3%B6%C3%9Fter%20100%25%20film.mkv"}
    for name in ("mein größter 100% film.mkv", "there", "list.m3u8"):
        upscale(f"{inner}/{name}", tmp_path / "out.mkv")
        assert len(judge.frames(tmp_path / "out.mkv")) == 50
        (tmp_path / "out.mkv").unlink()
    for url in (f"{inner}/gone.mkv", f"{inner}/gone.m3u8", "rtmp://me:p%40ss@127.0.0.1:9/x"):
        with pytest.raises(InputError) as error:
            upscale(url, tmp_path / "out.mkv", patience=1)
        assert "ss" not in str(error.value).partition("://")[2].partition("/")[0]
        assert "me:" not in str(error.value)
    handler.login = None
    (folder / "hls.ts").rename(folder / "hls")
    monkeypatch.chdir(tmp_path)
    handler.leads_to = {f"/{'x' * 300}.mkv": "/hls"}
    result = upscale(f"{address}/{'x' * 300}.mkv", None)
    assert result.output.name == f"{'x' * 120}_1x.mkv"


@pytest.mark.parametrize("typed", ["größer.mkv", "gr%C3%B6%C3%9Fer.mkv"])
def test_letters_that_the_locale_has_not_are_fetched(
    web: tuple[str, type[Handler], Path], tmp_path: Path, typed: str
) -> None:
    address, _, folder = web
    name = os.fsdecode("größer.mkv".encode())
    film(folder / name, seconds=1)
    result = tmp_path / "result"
    result.mkdir()
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "vsr", "upscale", f"{address}/{typed}".encode(), "-m", "nearest",
         "-s", "1"],
        capture_output=True, check=False, cwd=result,
        env=os.environ | ascii_only | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [os.fsencode(path.name) for path in result.iterdir()] == ["größer_1x.mkv".encode()]


def test_a_login_is_for_its_own_server(
    web: tuple[str, type[Handler], Path], tmp_path: Path
) -> None:
    address, handler, folder = web
    film(folder / "a.mkv")
    handler.login = "me:secret"
    other = address.replace("127.0.0.1", "localhost")
    handler.leads_to = {"/a": f"{address}/a.mkv"}
    with pytest.raises(InputError, match="401"):
        upscale(f"{other.replace('http://', 'http://me:secret@')}/a", tmp_path / "out.mkv")


def test_how_much_came_is_told(web: tuple[str, type[Handler], Path], tmp_path: Path) -> None:
    address, handler, folder = web
    size = film(folder / "a.mkv").stat().st_size
    handler.cut = True
    with pytest.raises(InputError, match=f"after 10 of {size} bytes"):
        upscale(f"{address}/a.mkv", tmp_path / "out.mkv")


@pytest.mark.parametrize("tag", ['"1"', None])
def test_a_file_that_changes_meanwhile_is_not_spliced(
    web: tuple[str, type[Handler], Path], tmp_path: Path, tag: str | None
) -> None:
    address, handler, folder = web
    film(folder / "a.mkv")
    other = film(tmp_path / "b.mkv", "-c:a", "flac")
    handler.break_at, handler.tag, handler.changed = 5000, tag, other.read_bytes()
    upscale(f"{address}/a.mkv", tmp_path / "out.mkv")
    assert judge.packets(tmp_path / "out.mkv", "a:0") == judge.packets(other, "a:0")
    assert len(handler.asked) == (2 if tag else 3)


def test_a_message_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        upscale("rtmp://127.0.0.1:9/x", tmp_path / "out.mkv", patience=1)
    assert str(error.value).count("cannot be") == 1


def test_a_name_that_is_taken_is_refused_before_anything_is_asked(
    web: tuple[str, type[Handler], Path], tmp_path: Path
) -> None:
    address, handler, folder = web
    film(folder / "a.mkv")
    (tmp_path / "out.mkv").write_bytes(b"precious")
    (tmp_path / "1.png").write_bytes(b"precious")
    for name in ("out.mkv", "%d.png"):
        with pytest.raises(OutputExists):
            upscale(f"{address}/a.mkv", tmp_path / name)
    with pytest.raises(UsageError, match="must end in"):
        upscale(f"{address}/a.mkv", tmp_path / "out.xyz")
    assert handler.asked == []
    chosen = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1))
    )
    vsr.upscale(f"{address}/a.mkv", tmp_path / "new" / "%d.png", chosen)
    assert len(list((tmp_path / "new").iterdir())) == 50


@pytest.mark.parametrize("kind", ["endless.ts", "list.m3u8"])
def test_a_look_at_a_live_source_ends_and_leaves_nothing(
    web: tuple[str, type[Handler], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    address, _, folder = web
    film(folder / "part.ts", "-c:a", "mp2", seconds=8)
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\npart.ts\n")
    here = tmp_path / "here"
    here.mkdir(mode=0o500)
    monkeypatch.chdir(here)
    monkeypatch.setattr(WorkFolder, "__enter__", lambda self: pytest.fail("makes a folder"))
    done = CliRunner().invoke(cli, ["probe", f"{address}/{kind}", "-m", "nearest", "-s", "1"])
    assert done.exit_code == 0, done.output
    assert "only its first 5 s" in done.stderr
    assert "64x48" in done.stdout
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("url", ["ftp://x/a.mkv", "file:///etc/passwd", "concat://a"])
def test_other_kinds_of_address_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="addresses begin with"):
        upscale(url, tmp_path / "out.mkv")
