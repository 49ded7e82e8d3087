"""Decodes the video of a file into frames, one after the other."""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from fractions import Fraction

import av
from av.filter import Graph

from vsr.errors import InputError
from vsr.events import Note, Sink
from vsr.frame import Frame
from vsr.media.format.captions import CAPTIONED, CaptionQueue, captions_of
from vsr.media.format.colour_tags import UnreadColours, describe, tags_of
from vsr.media.format.pixel_formats import planes_of, working_format
from vsr.media.read.interlace import Filters, graph_of, pulled
from vsr.media.source.kinds.base import Source
from vsr.media.source.spans import WHOLE, Span
from vsr.options import ColourOptions
from vsr.timing import rescale, to_fraction

_AHEAD = 10  # seconds; a file whose clock jumps so far is mended
_EARLY = 64  # pictures that may wait for the first timestamp

_Timed = tuple[av.VideoFrame, int, int]  # with pts and duration


def read_frames(
    source: Source,
    colour: ColourOptions,
    *,
    filters: Filters = (),
    spans: Sequence[Span] = (WHOLE,),
    seeks: bool = True,
    context: int = 0,
    sink: Sink,
) -> Generator[Frame, None, None]:
    """Yield every frame of the source's video, in order, with strictly rising pts.

    Planes are the decoder's own memory. pts are in `source.video.time_base`, less
    `source.start`; of several `spans`, as each span places them. Damaged data is passed
    over with a note, as a player would. Without `seeks` decoding begins at the film's beginning
    each time, for filters that remember what was long ago. Up to `context` frames before and
    behind each span, as far as it allows, come with it and are marked. Raises InputError when
    nothing can be read any more.
    """
    for span in spans:
        start = span.start - span.lead if seeks and span.start is not None else None
        with closing(timed_pictures(source, filters, start=start, sink=sink)) as pictures:
            fresh = True
            timed = _around(pictures, span, context)
            if span.stays and span.end is not None:
                timed = _staying(timed, span.end)
            for (picture, pts, duration), marked in timed:
                frame = _frame(picture, source, colour, span.moved(pts), duration)
                yield dataclasses.replace(frame, fresh=fresh, context=marked)
                fresh = False


def _around(pictures: Iterator[_Timed], span: Span, context: int) -> Iterator[tuple[_Timed, bool]]:
    """Yield those of a span, and the ones next to it, which are marked."""
    early: deque[_Timed] = deque(maxlen=context)
    late = 0
    standing: av.VideoFrame | None = None
    for timed in pictures:
        picture, pts, _ = timed
        if span.start is not None and pts < span.start:
            if span.stands:
                standing = picture
            elif pts >= span.start - span.lead:
                early.append(timed)
            continue
        if standing is not None and span.start is not None:
            until = pts if span.end is None else min(pts, span.end)
            if until > span.start:
                yield (standing, span.start, until - span.start), False
            standing = None
        if span.end is not None and pts >= span.end:
            if late == context or pts >= span.end + span.tail:
                return
            late += 1
            yield timed, True
        else:
            while early:
                yield early.popleft(), True
            yield timed, False


def _staying(pictures: Iterator[tuple[_Timed, bool]], end: int) -> Iterator[tuple[_Timed, bool]]:
    """Yield the same, the last one that is not marked until `end`."""
    before: _Timed | None = None  # which waits to be known for the last one
    for timed, marked in pictures:
        if before is not None:
            yield (_until(before, end) if marked else before), False
        before = None if marked else timed
        if marked:
            yield timed, True
    if before is not None:
        yield _until(before, end), False


def _until(timed: _Timed, end: int) -> _Timed:
    picture, pts, _ = timed
    return picture, pts, end - pts


def timed_pictures(
    source: Source, filters: Filters, *, start: int | None, sink: Sink
) -> Generator[_Timed, None, None]:
    """Yield the decoder's pictures with pts and duration, from somewhere before the pts `start`
    on.
    """
    pictures = source.decode(start, sink)
    if source.video.codec in CAPTIONED:
        shown = _captioned(pictures, filters)
    else:
        shown = _filtered(pictures, filters)
    timed = _rising(source, shown, sink)
    video, end = source.video, -(1 << 62)
    # MP4 and MOV have no durations, but steps of the order in which pictures are decoded.
    says_durations = "mp4" not in source.format
    before: _Timed | None = None
    for picture, pts, duration in timed:
        if before is not None:
            stays = before[2] if before[2] and says_durations else pts - before[1]
            yield before[0], before[1], stays
        before = picture, pts, duration
        end = max(end, pts + duration)
    if before is None:
        return
    picture, pts, duration = before
    if video.end is not None and not says_durations:
        end = min(end, video.end - round(source.start / video.time_base))
        duration = end - pts if end > pts else duration
    yield picture, pts, duration or _usual(video.rate, video.time_base)


def _rising(source: Source, pictures: Iterator[av.VideoFrame], sink: Sink) -> Iterator[_Timed]:
    """Yield the pictures with pts that rise, and the durations that they come with, or 0."""
    video = source.video
    offset = round(source.start / video.time_base)
    last_pts, last_duration, started = -(1 << 62), 0, False
    for picture, stamp in _stamped(pictures):
        base = to_fraction(picture.time_base) or video.time_base
        if stamp is not None:
            pts = rescale(stamp, base, video.time_base) - offset
        else:
            pts = last_pts + max(last_duration, 1) if last_duration else 0
        if pts <= last_pts:
            said = "timestamps run backwards; each such frame follows at once"
            sink(Note(text=f"{source.path.name}: {said}"))
            pts = last_pts + 1
        elif not source.rereadable and started and (pts - last_pts) * video.time_base > _AHEAD:
            said = "the clock jumps ahead, and the picture stands still for as long"
            sink(Note(text=f"{source.path.name}: {said}; in a file it is mended"))
        started = True
        own = rescale(picture.duration or 0, base, video.time_base)
        last_pts, last_duration = pts, own or _usual(video.rate, video.time_base)
        yield picture, pts, own


def _stamped(
    pictures: Iterator[av.VideoFrame],
) -> Iterator[tuple[av.VideoFrame, int | None]]:
    """Yield each picture with its pts; before the first known one they are counted back from it.

    ffmpeg hands out what lies before zero in Matroska without any timestamp.
    """

    def stamp(picture: av.VideoFrame) -> int | None:
        return picture.pts if picture.pts is not None else picture.dts

    early = list(itertools.islice(pictures, 1))
    while early and stamp(early[-1]) is None and len(early) < _EARLY:
        if (picture := next(pictures, None)) is None:
            break
        early.append(picture)
    known = stamp(early[-1]) if early else None
    for n, picture in enumerate(early, start=1):
        back = (len(early) - n) * (picture.duration or 0)
        yield picture, None if known is None else known - back
    for picture in pictures:
        yield picture, stamp(picture)


def _usual(rate: Fraction | None, time_base: Fraction) -> int:
    """Return how long a frame is shown of which nothing is known."""
    return rescale(1, 1 / rate, time_base) if rate else 0


def _filtered(pictures: Iterator[av.VideoFrame], filters: Filters) -> Iterator[av.VideoFrame]:
    """Put frames through an ffmpeg filter graph, made anew where the pictures change their kind."""
    if not filters:
        yield from pictures
        return
    graph: Graph | None = None
    kind = None
    for picture in pictures:
        if (new := (picture.width, picture.height, picture.format.name)) != kind:
            if graph is not None:
                graph.vpush(None)
                yield from pulled(graph)
            kind, graph = new, graph_of(picture, _counted(filters, picture))
        assert graph is not None
        graph.vpush(picture)
        yield from pulled(graph)
    if graph is not None:
        graph.vpush(None)
        yield from pulled(graph)


def _counted(filters: Filters, first: av.VideoFrame) -> Filters:
    """Have those that give frames their number count from the first picture's time, not zero."""
    if first.pts is None or not any(name == "decimate" for name, _ in filters):
        return filters
    base, start = to_fraction(first.time_base), first.pts
    return (("setpts", f"PTS-{start}"), *filters, ("settb", str(base)), ("setpts", f"PTS+{start}"))


def _captioned(pictures: Iterator[av.VideoFrame], filters: Filters) -> Iterator[av.VideoFrame]:
    """Yield what comes through the filters, the captions of each picture as its `opaque`."""
    if not filters:
        for picture in pictures:
            picture.opaque = captions_of(picture)
            yield picture
        return
    queue = CaptionQueue()
    before: av.VideoFrame | None = None
    for picture in _filtered(queue.noted(pictures), filters):
        if before is not None:
            before.opaque = queue.due_with(before)
            yield before
        before = picture
    if before is not None:
        before.opaque = queue.due_with(None)
        yield before


def _frame(
    picture: av.VideoFrame, source: Source, colour: ColourOptions, pts: int, duration: int
) -> Frame:
    pix_fmt = picture.format.name
    try:
        working, layout = working_format(pix_fmt)
    except ValueError as error:
        raise InputError(f"{source.path}: pixel format {pix_fmt} cannot be read") from error
    try:
        look, _ = describe(
            tags_of(picture, source.video.siting),
            layout,
            width=picture.width,
            height=picture.height,
            pix_fmt=pix_fmt,
            options=colour,
        )
    except UnreadColours as error:
        raise InputError(f"{source.path}: {error}") from error
    captions = picture.opaque
    if working != pix_fmt:
        picture = picture.reformat(format=working)
    planes = planes_of(picture, layout)
    if layout.alpha and not source.video.layout.alpha and source.video.codec == "rawvideo":
        planes, layout = planes[:-1], layout.replace(alpha=False)  # it is unused
    return Frame(
        planes=source.video.hidden.cut_off(planes, layout),
        layout=layout,
        colour=look,
        pts=pts,
        duration=duration,
        time_base=source.video.time_base,
        captions=captions if isinstance(captions, bytes) else b"",
    )
