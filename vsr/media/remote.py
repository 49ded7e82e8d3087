"""Addresses: what they hold is recorded first, and is then a file like any other.

So a line that breaks costs no work on the picture, live streams can be read as often as
needed, and what came from somewhere else can make vsr read nothing but itself. A file is
fetched byte for byte; playlists (HLS, DASH) and live streams are recorded by the ffmpeg
program, which may use the network's protocols and no others.
"""

from __future__ import annotations

import http.client
import re
import urllib.parse
from fractions import Fraction
from pathlib import Path

import ffmpeg

from vsr.errors import FfmpegError, InputError, UsageError
from vsr.events import Downloading, Note, Sink
from vsr.fetch import fetch, open_address
from vsr.media.ffmpeg import run

_WEB = frozenset({"http", "https"})
_LIVE = frozenset({"rtmp", "rtmps", "rtsp", "srt", "udp", "rtp", "tcp"})
_PROTOCOLS = "http,https,httpproxy,tls,tcp,udp,rtp,rtmp,rtmps,srt,crypto,data"
_PLAYLIST_TYPES = re.compile(r"mpegurl|dash\+xml", re.IGNORECASE)
_PLAYLIST_HEAD = re.compile(rb"\s*(#EXTM3U|<\?xml[^>]*>\s*<MPD|<MPD)")
_AGAIN = {
    "reconnect": "1",
    "reconnect_streamed": "1",
    "reconnect_on_network_error": "1",
    "reconnect_delay_max": "10",
}


def is_address(text: str) -> bool:
    """Whether it names something elsewhere. Raises UsageError for a kind that is not read."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    if match is None:
        return False
    if match[1].lower() not in _WEB | _LIVE:
        known = ", ".join(sorted(_WEB | _LIVE))
        raise UsageError(f"{match[1]}://: is not read; addresses begin with one of {known}")
    return True


def name_of_address(url: str) -> str:
    """A file's name for what is at `url`."""
    parts = urllib.parse.urlsplit(url)
    last = urllib.parse.unquote(parts.path.rstrip("/").rpartition("/")[2])
    return re.sub(r"[^\w. -]", "_", last).strip(". ") or parts.hostname or "stream"


def record(url: str, folder: Path, *, limit: Fraction | None, patience: float, sink: Sink) -> Path:
    """What is at `url`, as a file in `folder`.

    `limit`: seconds after which a live stream has been recorded for long enough. `patience`:
    seconds without a byte. Raises InputError.
    """
    name = name_of_address(url)
    whole = urllib.parse.urlsplit(url).scheme.lower() in _WEB
    playlist = False
    try:
        if whole:
            with open_address(url, timeout=patience) as answer:
                kind = answer.headers.get_content_type()
                endless = answer.length is None and limit is not None
                playlist = bool(
                    _PLAYLIST_TYPES.search(kind) or _PLAYLIST_HEAD.match(answer.read(200))
                )
                whole = not (playlist or endless)
        if not whole:
            path = folder / f"{Path(name).stem}.nut"
            _record(url, path, playlist=playlist, limit=limit, patience=patience, sink=sink)
            return path
        path = folder / name

        def progress(done: int, total: int | None) -> None:
            sink(Downloading(name=name, done=done, total=total or done))

        fetch(url, path, timeout=patience, progress=progress)
        return path
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise InputError(f"{url}: cannot be fetched ({error})") from error


def _record(
    url: str,
    path: Path,
    *,
    playlist: bool,
    limit: Fraction | None,
    patience: float,
    sink: Sink,
) -> None:
    sink(Note(text=f"{name_of_address(url)}: is recorded first"))
    options = {"protocol_whitelist": _PROTOCOLS}
    scheme = urllib.parse.urlsplit(url).scheme.lower()
    if scheme in _WEB:
        options |= _AGAIN
    if scheme == "rtsp":
        options["rtsp_transport"] = "tcp"  # no packet is lost
    if playlist:
        options["seg_max_retry"] = "5"
    source = ffmpeg.input(url, **options)
    output = {"codec": "copy", "f": "nut"}
    if limit is not None:
        output["t"] = str(float(limit))
    try:
        # ffmpeg's own choice: the largest picture and the best sound of a playlist.
        run([source], path, output, patience=patience)
    except FfmpegError as error:
        if not (path.exists() and path.stat().st_size > 0):
            raise InputError(f"{url}: cannot be read ({error})") from error
        sink(Note(text=f"{name_of_address(url)}: the stream broke off; what came is used"))
    if not (path.exists() and path.stat().st_size > 0):
        raise InputError(f"{url}: nothing came for {patience:g} s")
