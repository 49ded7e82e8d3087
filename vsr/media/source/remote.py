"""Addresses: what they hold is recorded first, and is then a file like any other.

So a line that breaks costs no work on the picture, live streams can be read as often as
needed, and what came from somewhere else can make vsr read nothing but itself. A file is
fetched byte for byte; playlists (HLS, DASH) and live streams are recorded by the ffmpeg
program, which may use the network's protocols and no others.
"""

from __future__ import annotations

import dataclasses
import http.client
import os
import re
import urllib.error
import urllib.parse
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from urllib.error import HTTPError

import ffmpeg

from vsr.errors import FfmpegError, InputError, UsageError, VsrError
from vsr.events import Downloading, Note, Sink, WarningNote
from vsr.fetch import fetch, open_address, quoted, without_login
from vsr.media.ffmpeg import run
from vsr.media.format.encryption import drm_of_playlist
from vsr.media.source.protocols import PLAYLISTS

_WEB = frozenset({"http", "https"})
_OBJECTS = frozenset({"s3"})  # which are copied before they are read
_LIVE = frozenset({"rtmp", "rtmps", "rtsp", "srt", "udp", "rtp", "tcp"})
_PROTOCOLS = "http,https,httpproxy,tls,tcp,udp,rtp,rtmp,rtmps,srt,crypto,data"
_PLAYLIST_TYPES = re.compile(r"mpegurl|dash\+xml", re.IGNORECASE)
_PLAYLIST_HEAD = re.compile(rb"\s*(#EXTM3U|<\?xml[^>]*>\s*<MPD|<MPD)")
_HEAD = 200  # bytes that tell a playlist
_PLAYLIST_BYTES = 1 << 22
_NAME_BYTES = 120  # of the 255 that a name may have; a label and a suffix come to it
_SUFFIX = 8
_AGAIN = {
    "reconnect": "1",
    "reconnect_streamed": "1",
    "reconnect_on_network_error": "1",
    "reconnect_delay_max": "10",
}


def is_address(text: str) -> bool:
    """Return whether it names something elsewhere. Raises UsageError for a kind that is not
    read.
    """
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    if match is None:
        return False
    if match[1].lower() not in _WEB | _LIVE | _OBJECTS:
        known = ", ".join(sorted(_WEB | _LIVE | _OBJECTS))
        raise UsageError(f"{match[1]}://: is not read; addresses begin with one of {known}")
    return True


def name_of_address(url: str) -> str:
    """Return a file's name for what is at `url`; never that of a playlist, which may name files
    here.
    """
    parts = urllib.parse.urlsplit(url)
    last = urllib.parse.unquote(parts.path.rstrip("/").rpartition("/")[2])
    # Letters that were typed where names are not UTF-8 came as bytes.
    last = last.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    name = re.sub(r"[^\w. -]", "_", last).strip(". ") or parts.hostname or "stream"
    while Path(name).suffix.lower() in PLAYLISTS:
        name = Path(name).stem
    suffix = Path(name).suffix if len(Path(name).suffix) <= _SUFFIX else ""
    stem = name.removesuffix(suffix).encode("utf-8", "replace")[:_NAME_BYTES]
    name = stem.decode("utf-8", "ignore").strip(". ") + suffix
    return os.fsdecode(name.encode())  # these bytes, also where names are not UTF-8


@dataclass(frozen=True, kw_only=True)
class WantedSeconds:
    """How much is wanted of a source that may never end, and how long it is waited for. Seconds."""

    patience: float  # without a byte
    limit: Fraction | None = None  # to record; None: to the end
    counted: bool = False  # in frames, which nobody can count ahead
    glance: Fraction | None = None  # of what never ends, no more than this

    @property
    def is_part(self) -> bool:
        """Whether it may be less than all."""
        return self.counted or self.limit is not None or self.glance is not None


def record(url: str, folder: Path, wanted: WantedSeconds, *, sink: Sink) -> Path:
    """Return what is at `url`, as a file in `folder`.

    Raises InputError, and UsageError for frames of what is live.
    """
    try:
        return _taken(url, folder, wanted, sink)
    except VsrError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error
        if isinstance(error, urllib.error.URLError) and not isinstance(error, HTTPError):
            reason = error.reason  # type: ignore[assignment]
        raise InputError(without_login(f"{url}: cannot be fetched ({reason})")) from error


def _taken(url: str, folder: Path, wanted: WantedSeconds, sink: Sink) -> Path:
    name, timeout = name_of_address(url), wanted.patience
    if urllib.parse.urlsplit(url).scheme.lower() not in _WEB:
        playlist, live = False, True
    else:
        # What is looked at is what is kept: a second answer could be another.
        with open_address(url, timeout=timeout) as answer:
            head = answer.read(_HEAD)
            kind = answer.headers.get_content_type()
            playlist = bool(_PLAYLIST_TYPES.search(kind) or _PLAYLIST_HEAD.match(head))
            if playlist:
                text = head + answer.read(_PLAYLIST_BYTES)
                _check_keys(url, text)
                live = _never_ends(answer.geturl(), text, timeout)
            else:
                live = answer.length is None and wanted.is_part
                if not live:
                    path = folder / name

                    def progress(done: int, total: int | None) -> None:
                        sink(Downloading(name=name, done=done, total=total or done))

                    begun = (answer, head)
                    fetch(url, path, begun=begun, timeout=timeout, progress=progress)
                    return path
    if live and wanted.counted:
        raise UsageError(
            f"{without_login(url)}: is live, and its frames have no numbers; give times"
        )
    if live and (glance := wanted.glance) is not None:
        wanted = dataclasses.replace(wanted, limit=glance)
        sink(Note(text=f"{name}: is live; only its first {float(glance):g} s are looked at"))
    path = folder / f"{Path(name).stem}.nut"
    _record(url, path, wanted, playlist=playlist, sink=sink)
    return path


def _check_keys(url: str, text: bytes) -> None:
    """Raise InputError for a playlist of what is protected by DRM."""
    if (drm := drm_of_playlist(text)) is not None:
        raise InputError(
            f"{without_login(url)}: is encrypted (DRM: {drm}); vsr cannot read it without a key"
        )


def _never_ends(url: str, text: bytes, timeout: float) -> bool:
    """Return whether a playlist grows on; of a list of playlists, whether the first one does."""
    if b"<MPD" in text:
        return re.search(rb"type\s*=\s*[\"']dynamic", text) is not None
    if b"#EXT-X-STREAM-INF" in text:
        lines = text.decode("utf-8", "replace").splitlines()
        first = next((line for line in lines if line.strip() and not line.startswith("#")), None)
        if first is None:
            return False
        with open_address(urllib.parse.urljoin(url, first.strip()), timeout=timeout) as answer:
            text = answer.read(_PLAYLIST_BYTES)
            _check_keys(url, text)
    return b"#EXT-X-ENDLIST" not in text


def _record(url: str, path: Path, wanted: WantedSeconds, *, playlist: bool, sink: Sink) -> None:
    sink(Note(text=f"{name_of_address(url)}: is recorded first"))
    options = {"protocol_whitelist": _PROTOCOLS}
    scheme = urllib.parse.urlsplit(url).scheme.lower()
    if scheme in _WEB:
        options |= _AGAIN
    if scheme == "rtsp":
        options["rtsp_transport"] = "tcp"  # no packet is lost
    if playlist:
        options["seg_max_retry"] = "5"
    source = ffmpeg.input(quoted(url) if scheme in _WEB else url, **options)
    output = {"codec": "copy", "f": "nut"}
    if wanted.limit is not None:
        output["t"] = str(float(wanted.limit))
    try:
        # ffmpeg's own choice: the largest picture and the best sound of a playlist.
        run([source], path, output, patience=wanted.patience)
    except FfmpegError as error:
        if not (path.exists() and path.stat().st_size > 0):
            raise InputError(without_login(f"{url}: cannot be read ({error})")) from error
        sink(WarningNote(text=f"{name_of_address(url)}: the stream broke off; what came is used"))
    if not (path.exists() and path.stat().st_size > 0):
        raise InputError(f"{without_login(url)}: nothing came for {wanted.patience:g} s")
