"""What a source may make the demuxers do: read itself, and nothing else.

A playlist or a concat script is a text that names other files or addresses. Under a
film's name it would make vsr read whatever it names, so the demuxers that follow such
names are not allowed for it, and no protocol but plain files is. A playlist that the
user names as one may name files, still nothing on the network.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av

_FOLLOWING = frozenset(
    {"concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vobsub", "lavfi"}
)
PLAYLISTS = frozenset({".m3u8", ".m3u", ".ffconcat"})


def input_options(path: Path) -> dict[str, str]:
    """Return options for ffmpeg's demuxers, as PyAV and the ffmpeg program both take them."""
    options = {"protocol_whitelist": "file"}
    if path.suffix.lower() in PLAYLISTS:
        options["protocol_whitelist"] = "file,crypto,data"
    else:
        options["format_whitelist"] = _contained()
    return options


@cache
def _contained() -> str:
    return ",".join(sorted(av.formats_available - _FOLLOWING))
