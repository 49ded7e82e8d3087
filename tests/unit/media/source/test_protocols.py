"""Promise 8: a media file makes vsr read nothing but itself."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

import vsr
from tests.support import judge
from vsr.errors import InputError
from vsr.media.source.probe import probe

HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile {}\n"
DASH = (
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation>'
    "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>"
)


@pytest.fixture
def other(tmp_path: Path, bunny: Path) -> Path:
    path = tmp_path / "other.ts"
    judge.ffmpeg("-i", str(bunny), "-t", "1", "-c", "copy", str(path))
    return path


@pytest.mark.parametrize("text", [HLS, CONCAT, DASH], ids=["hls", "concat", "dash"])
@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts", "film"])
def test_a_playlist_under_another_name_is_refused(
    tmp_path: Path, other: Path, text: str, name: str
) -> None:
    film = tmp_path / name
    film.write_text(text.format(other.name))
    with pytest.raises(InputError):
        probe(film)


@pytest.mark.parametrize(("text", "suffix"), [(HLS, ".m3u8"), (CONCAT, ".ffconcat")])
def test_a_playlist_that_is_named_as_one_is_read(
    tmp_path: Path, other: Path, text: str, suffix: str
) -> None:
    playlist = tmp_path / f"list{suffix}"
    playlist.write_text(text.format(other.name))
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), encode=vsr.EncodeOptions(preset="ultrafast")
    )
    result = vsr.upscale(playlist, tmp_path / "o.mp4", options)
    assert result.frames == len(judge.packets(other, "v:0"))


@pytest.mark.parametrize("text", [HLS, CONCAT])
@pytest.mark.parametrize("suffix", [".m3u8", ".ffconcat", ".mp4"])
def test_no_file_reaches_the_network(tmp_path: Path, text: str, suffix: str) -> None:
    called = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.0)

        def listen() -> None:
            try:
                server.accept()[0].close()
                called.set()
            except TimeoutError:
                pass

        thread = threading.Thread(target=listen)
        thread.start()
        film = tmp_path / f"film{suffix}"
        film.write_text(text.format(f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"))
        with pytest.raises(InputError):
            probe(film)
        thread.join()
    assert not called.is_set()
