"""Sources whose clock jumps: recordings joined end to end, receivers that lost the signal.

MPEG-TS and its kin may start their clock anew at any moment. The demuxer hands the jumps
through, so pictures would be squeezed to nothing or stand still for hours. ffmpeg's own
copy mends them, in all streams by the same amount; so a source that jumps is copied once,
to NUT, which holds any codec and keeps the time base.
"""

from __future__ import annotations

from pathlib import Path

import av
import ffmpeg

from vsr.errors import FfmpegError, InputError
from vsr.media.ffmpeg import file_argument, run
from vsr.media.probe import SourceInfo, open_source
from vsr.media.trust import input_options

_BACK = -0.1  # seconds from one dts of a stream to its next
_AHEAD = 10.0  # ffmpeg's own threshold


def clock_jumps(source: SourceInfo) -> bool:
    """Whether the source's clock jumps; reads all of it, without decoding."""
    if not source.any_start or source.pipe is not None:
        return False
    last: dict[int, float] = {}
    with open_source(source.path) as container:
        try:
            for packet in container.demux():
                if packet.dts is None or packet.time_base is None:
                    continue
                now = float(packet.dts * packet.time_base)
                step = now - last.get(packet.stream_index, now)
                if not _BACK <= step <= _AHEAD:
                    return True
                last[packet.stream_index] = now
        except (av.FFmpegError, OSError):
            return False  # damage is the reader's to tell
    return False


def mended(source: SourceInfo, folder: Path) -> Path:
    """A copy of the source's streams, the picture first, in `folder`, whose clock runs on.

    Raises InputError where the source is too damaged for that.
    """
    path = folder / "mended.nut"
    whole = ffmpeg.input(file_argument(source.path), **input_options(source.path))
    streams = [whole[str(source.video.index)]]
    others = source.of_kind("video", "audio", "subtitle")
    streams += [whole[str(s.index)] for s in others if s.index != source.video.index]
    try:
        run(streams, path, {"codec": "copy", "f": "nut"})
    except FfmpegError as error:
        raise InputError(f"{source.path}: its clock jumps, and cannot be mended") from error
    return path
