"""Packets to pictures: with the decoder that sees all of them, past whatever is damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import av
from av.codec.codec import UnknownCodecError
from av.codec.context import CodecContext
from av.container import InputContainer
from av.stream import Stream

from vsr.errors import NO_MEMORY, OutOfMemory
from vsr.machine import codec_threads, is_short_of_memory, memory
from vsr.media.format.linear_light import LINEAR, with_srgb

# VP8 and VP9 carry alpha as a second picture beside each packet. ffmpeg's own decoders
# pass it over; those of libvpx read it.
_SEES_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_BYTES_PER_PIXEL = 64  # of the source, at the peak of a run that makes it smaller (measured)
_MOST_PIXELS = 2**28  # ffmpeg itself refuses more


def most_pixels() -> int:
    """Return the largest picture that is decoded: a header may claim any size, and memory is
    finite.
    """
    return min(_MOST_PIXELS, memory() // _BYTES_PER_PIXEL)


def has_hidden_alpha(stream: av.VideoStream) -> bool:
    """Return whether the container says that alpha lies beside the picture (VP8 and VP9)."""
    return {k.lower(): v for k, v in stream.metadata.items()}.get("alpha_mode") == "1"


def decoder_of(stream: av.VideoStream) -> av.VideoCodecContext:
    """Return a decoder for the stream: its own, or the one that reads its alpha where there is
    one.
    """
    own = stream.codec_context
    own.thread_count = codec_threads()
    name = _SEES_ALPHA.get(own.codec.canonical_name) if has_hidden_alpha(stream) else None
    if name not in av.codecs_available:
        own.options = {**own.options, "max_pixels": str(most_pixels())}
        return own
    decoder = CodecContext.create(name, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = own.extradata
    decoder.width, decoder.height = own.width, own.height
    for what in ("colorspace", "color_range", "color_primaries", "color_trc"):
        setattr(decoder, what, getattr(own, what))
    decoder.options = {"max_pixels": str(most_pixels())}
    decoder.thread_count = own.thread_count
    return decoder


def loses_nothing(codec: str) -> bool:
    """Return whether what `codec`, by ffmpeg's name, holds was coded without loss: never lossy.

    Bare pictures are not counted in: they come out of a program that has decoded something.
    """
    if codec in ("rawvideo", "wrapped_avframe"):
        return False
    try:
        found = av.Codec(codec, "r")
    except UnknownCodecError:
        return False
    return found.lossless and not found.lossy


def demuxed(container: InputContainer, *streams: Stream) -> Iterator[av.Packet[Any]]:
    """Yield the packets of `streams`, or of all, each ended by an empty one.

    Streams of MPEG-TS that appear on the way are passed over; PyAV 18 fails for them at the end.
    """
    with suppress(IndexError):
        yield from container.demux(*streams)


def decoded(
    container: InputContainer,
    stream: av.VideoStream,
    heard: Callable[[av.Packet[av.VideoStream], av.FFmpegError | None], None],
) -> Iterator[av.VideoFrame]:
    """Yield all pictures of `stream`; `heard` is told of each packet before it is decoded.

    And with the error, of each that the decoder refuses.

    Raises av.FFmpegError or OSError when the file itself cannot be read on.
    """
    decoder = decoder_of(stream)
    linear = stream.codec_context.codec.canonical_name in LINEAR
    # The flush packet at the end is empty, and drains the decoder. A packet without a dts is
    # not it: Matroska's first keyframe has none. Theora has empty packets with one, which
    # say that the last picture stays.
    for packet in demuxed(container, stream):
        if not packet.size and packet.pts is not None:
            continue
        try:
            heard(packet, None)
            frames = decoder.decode(packet)
            yield from map(with_srgb, frames) if linear else frames
        except av.FFmpegError as error:
            if is_short_of_memory():  # it is not the packet that is damaged
                raise OutOfMemory(NO_MEMORY) from error
            heard(packet, error)
            if not packet.size:
                yield from _drained(decoder)


def _drained(decoder: av.VideoCodecContext) -> Iterator[av.VideoFrame]:
    """Yield what the decoder still holds after it has stumbled over the last packets."""
    for _ in range(64):
        try:
            frames = decoder.decode(None)
        except av.EOFError:
            return
        except av.FFmpegError:
            continue
        yield from frames
