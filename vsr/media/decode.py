"""Packets to pictures, past whatever is damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av
from av.container import InputContainer


def decoded(
    container: InputContainer,
    stream: av.VideoStream,
    damaged: Callable[[av.Packet[av.VideoStream], av.FFmpegError], None],
) -> Iterator[av.VideoFrame]:
    """All pictures of `stream`; `damaged` hears of each packet that cannot be decoded.

    Raises av.FFmpegError or OSError when the file itself cannot be read on.
    """
    # The flush packet at the end is empty, and drains the decoder. A packet without a dts is
    # not it: Matroska's first keyframe has none. Theora has empty packets with one, which
    # say that the last picture stays.
    for packet in container.demux(stream):
        if not packet.size and packet.pts is not None:
            continue
        try:
            yield from packet.decode()
        except av.FFmpegError as error:
            damaged(packet, error)
            if not packet.size:
                yield from _drained(stream)


def _drained(stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """What the decoder still holds after it has stumbled over the last packets."""
    for _ in range(64):
        try:
            frames = stream.codec_context.decode(None)
        except av.EOFError:
            return
        except av.FFmpegError:
            continue
        yield from frames
