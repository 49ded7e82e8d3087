"""How coarsely a film was quantised, as its decoder knows it: read, not guessed."""

from __future__ import annotations

import itertools
import struct
from contextlib import suppress
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import PictureType

from vsr.media.format.hdr import side_data
from vsr.media.source.kinds.base import Source
from vsr.media.source.opening import open_source

_HEADER = struct.Struct("@IQQii")  # of AVVideoEncParams: blocks, offset, size, kind, qp
_PLACES = 4  # of a film that are looked at
_DELTA = 16  # bytes into a block, where its difference from the frame's qp stands


def mean_quantiser(source: Source, frames: int = 48) -> float | None:
    """Return mean qp of some `frames` pictures from all over a film, but for its intra pictures if
    there are others.

    In the codec's own scale. None for codecs whose decoder does not tell: h264, mpeg2video, mpeg4
    and vp9 do.
    """
    intra: list[float] = []
    other: list[float] = []
    with open_source(source.path) as container:
        stream = cast("av.VideoStream", container.streams[source.video.index])
        stream.codec_context.options = {"export_side_data": "venc_params"}
        length = source.duration or 0.0
        # Of a short one the first pictures are those of everywhere.
        count = _PLACES if length * float(source.video.rate or 0) > frames else 1
        for place in range(count):
            with suppress(av.FFmpegError, OSError):  # what can be read tells enough
                if place:
                    container.seek(int(length * place / count * av.time_base))
                for picture in itertools.islice(container.decode(stream), frames // count):
                    if (qp := _of(picture)) is not None:
                        (intra if picture.pict_type == PictureType.I else other).append(qp)
    found = other or intra
    return float(np.mean(found)) if found else None


def _of(picture: av.VideoFrame) -> float | None:
    if (data := side_data(picture, Type.VIDEO_ENC_PARAMS)) is None:
        return None
    raw = bytes(data)
    count, offset, size, _, qp = _HEADER.unpack_from(raw)
    deltas = [struct.unpack_from("@i", raw, offset + n * size + _DELTA)[0] for n in range(count)]
    return float(qp + (np.mean(deltas) if deltas else 0.0))
