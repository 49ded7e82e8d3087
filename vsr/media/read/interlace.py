"""Fields and telecine, found by looking at the pictures, not by believing the flags.

ffmpeg's `idet` filter compares each field with its neighbours in time. Combing in most
frames means interlaced; fields that repeat in about every second frame, at the rate of
NTSC, mean film that was telecined (2:3 pulldown).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from enum import Enum
from fractions import Fraction

import av
from av.filter import Graph
from av.filter.context import FilterContext

from vsr.machine import codec_threads
from vsr.media.format.decoder import decoded
from vsr.media.source.kinds.base import Source
from vsr.media.source.opening import open_source
from vsr.timing import to_fraction

Filters = tuple[tuple[str, str], ...]  # ffmpeg's names and arguments

_LOOK = 240  # frames at each place
_PLACES = (0.0, 60.0)  # seconds: titles are often unlike the film
_COMBED = 0.3  # share of the judged frames from which a film counts as interlaced
_REPEATED = 0.15  # share of frames with a repeated field; 2:3 pulldown makes 0.4 of it
_NTSC = (Fraction(30000, 1001), Fraction(60000, 1001))
# No interlaced system has other sizes; looking at all of the web's progressive film costs time.
_LINES = (480, 486, 512, 576, 608, 1080, 1088)


class ScanMode(Enum):
    """How the pictures were scanned."""

    PROGRESSIVE = "progressive"
    INTERLACED = "interlaced"
    FIELDS = "interlaced, a frame for each field"
    TELECINED = "telecined"


def detect_scan(source: Source) -> ScanMode:
    """Look at the beginning, and a minute on, of the source's video."""
    if source.only_pictures:
        return ScanMode.PROGRESSIVE
    if not source.rereadable:  # which cannot be looked at before it is read
        return ScanMode.INTERLACED if source.video.interlaced else ScanMode.PROGRESSIVE
    if source.video.height not in _LINES and not source.video.interlaced:
        return ScanMode.PROGRESSIVE
    combed = judged = repeated = seen = 0.0
    for place in _PLACES:
        if place and (source.duration is None or source.duration < 2 * place):
            break
        last: dict[str, str] = {}
        for frame in _judged(source, place):
            last = dict(frame.metadata)
        counts = {key.rpartition("idet.")[2]: float(value) for key, value in last.items()
                  if "idet." in key and "current" not in key}  # fmt: skip
        if not counts:
            continue
        found = counts["multiple.tff"] + counts["multiple.bff"]
        combed += found
        judged += found + counts["multiple.progressive"]
        repeated += counts["repeated.top"] + counts["repeated.bottom"]
        seen += counts["repeated.top"] + counts["repeated.bottom"] + counts["repeated.neither"]
    if judged < 10 or combed / judged < _COMBED:
        return ScanMode.PROGRESSIVE
    near_ntsc = source.video.rate is not None and any(
        abs(source.video.rate / rate - 1) < Fraction(1, 200) for rate in _NTSC
    )
    if near_ntsc and repeated / seen > _REPEATED:
        return ScanMode.TELECINED
    return ScanMode.INTERLACED


def _judged(source: Source, place: float) -> Iterator[av.VideoFrame]:
    graph: Graph | None = None
    # What is damaged is the reader's to tell; here it only ends the look.
    with contextlib.suppress(av.FFmpegError, OSError):
        for frame in pictures_at(source, place, _LOOK):
            graph = graph or graph_of(frame, (("idet", ""),))
            graph.vpush(frame)
            yield from pulled(graph)


def pictures_at(source: Source, place: float, count: int) -> Iterator[av.VideoFrame]:
    """Yield `count` pictures at most from the second `place` on, for those who only look.

    A file that cannot be sought is read from its beginning. Raises FFmpegError, OSError.
    """
    with open_source(source.path) as container:
        stream = container.streams[source.video.index]
        assert isinstance(stream, av.VideoStream)
        stream.thread_type = "AUTO"
        if place:
            with contextlib.suppress(av.FFmpegError):
                container.seek(int(place * 1_000_000))
        yield from itertools.islice(decoded(container, stream, lambda packet, error: None), count)


def graph_of(picture: av.VideoFrame, filters: Filters) -> Graph:
    """Return an ffmpeg filter graph for pictures such as this one."""
    graph, first = graph_from(picture)
    steps = [graph.add(name, arguments) for name, arguments in filters]
    graph.link_nodes(first, *steps, graph.add("buffersink")).configure()
    return graph


def graph_from(picture: av.VideoFrame) -> tuple[Graph, FilterContext]:
    """Return a graph that is to be completed, and where pictures such as this one go into it."""
    graph = Graph()
    graph.threads = codec_threads()
    return graph, graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=to_fraction(picture.time_base) or Fraction(1, 1000),
    )


def pulled(graph: Graph) -> Iterator[av.VideoFrame]:
    """Yield all frames that a filter graph has ready."""
    while True:
        try:
            frame = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield frame


def undo(scan: ScanMode, rate: Fraction | None) -> Filters:
    """Return the ffmpeg filters, with arguments, that make the pictures progressive.

    Interlaced: bwdif, one frame for each frame at its own time, or for each field. Telecined:
    the fields are matched again and four frames come for five, the film's own.
    """
    if scan is ScanMode.INTERLACED:
        return (("bwdif", "mode=send_frame:deint=all"),)
    if scan is ScanMode.FIELDS:
        return (("bwdif", "mode=send_field:deint=all"),)
    if scan is ScanMode.TELECINED and rate is not None:
        return (
            ("fps", str(rate)),  # fieldmatch wants to be told that the rate is constant
            ("fieldmatch", "combmatch=full"),
            ("bwdif", "mode=send_frame:deint=interlaced"),
            ("decimate", ""),
        )
    return ()
