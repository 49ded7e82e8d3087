"""Closed captions that ride on pictures (ATSC A/53: CEA-608 and CEA-708), three bytes each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
from av.codec.context import CodecContext
from av.packet import PacketSideData, packet_sidedata_type_from_literal
from av.sidedata.sidedata import Type as SideDataType

from vsr.events import Sink, WarningNote
from vsr.frame import Frame, Layout
from vsr.media.format.hdr import side_data
from vsr.media.format.pixel_formats import pix_fmt_of
from vsr.timing import to_fraction

# Whose pictures may carry captions; of others none are asked for, see `hdr.side_data`.
CAPTIONED = frozenset({"mpeg2video", "h264", "hevc", "vvc", "av1"})
_A53 = packet_sidedata_type_from_literal("a53_cc")
_TRIPLET = 3
_MOST = 31 * _TRIPLET  # bytes that a picture can count
_VALID = 4  # the bit of a triplet without which it is padding


def captions_of(picture: av.VideoFrame) -> bytes:
    """Return the triplets (cc_data) that the decoder found beside the picture."""
    return side_data(picture, SideDataType.A53_CC) or b""


class CaptionQueue:
    """Carries captions past filters that hold pictures back, drop or repeat them.

    The captions of a picture that is dropped go out with the next; each goes out once.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Fraction | None, bytes]] = deque()  # by time, in seconds
        self._due = b""

    def noted(self, pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Yield the pictures that go into the filters, and keep their captions."""
        for picture in pictures:
            if captions := captions_of(picture):
                self._waiting.append((_seconds(picture), captions))
            yield picture

    def due_with(self, picture: av.VideoFrame | None) -> bytes:
        """Take the captions that a picture behind the filters has to carry; None: all there are."""
        now = None if picture is None else _seconds(picture)
        while self._waiting and (now is None or (self._waiting[0][0] or now) <= now):
            self._due += _without_padding(self._waiting.popleft()[1])
        taken, self._due = self._due[:_MOST], self._due[_MOST:]
        return taken


def _seconds(picture: av.VideoFrame) -> Fraction | None:
    base = to_fraction(picture.time_base)
    return None if picture.pts is None or base is None else picture.pts * base


def _without_padding(captions: bytes) -> bytes:
    triplets = (captions[n : n + _TRIPLET] for n in range(0, len(captions), _TRIPLET))
    return b"".join(one for one in triplets if one[0] & _VALID)


def carrier(width: int, height: int, layout: Layout, captions: bytes) -> av.VideoFrame:
    """Make an empty picture of `pix_fmt_of(layout)` that encoders find the captions beside.

    PyAV gives frames no side data, but decoders copy it from their packets.
    """
    decoder = CodecContext.create("rawvideo", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.width, decoder.height, decoder.pix_fmt = width, height, pix_fmt_of(layout)
    samples = sum(rows * columns for rows, columns in layout.plane_sizes(width, height))
    packet = av.Packet(samples * layout.dtype.itemsize)
    beside = PacketSideData(_A53, len(captions))  # type: ignore[call-arg]
    beside.update(captions)
    packet.set_sidedata(beside)
    (picture,) = decoder.decode(packet)
    picture.pict_type = 0  # or each would become a keyframe
    return picture


def missed(frames: Iterator[Frame], codec: str, name: str, sink: Sink) -> Iterator[Frame]:
    """Yield `frames`; say of the film `name`, once, that `codec` does not hold their captions."""
    for frame in frames:
        if frame.captions:
            text = f"its closed captions do not fit {codec}: left out"
            sink(WarningNote(text=f"{name}: {text}; h264 or h265 would keep them"))
            yield frame
            break
        yield frame
    yield from frames
