"""Finished parts of a picture become one file, by stream copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import av

from vsr.errors import OutputError, VsrError
from vsr.media.format.hdr import HdrMetadata, light_boxes, put_boxes
from vsr.media.source.opening import LENIENT, reason
from vsr.media.source.views import Views
from vsr.timing import rescale, to_fraction

_MOST_LEAD = 1  # seconds that decoding runs ahead of showing for the sake of durations alone


@dataclass(frozen=True, kw_only=True)
class JoinedVideo:
    """What is said of the picture that parts are joined to."""

    time_base: Fraction
    rate: Fraction | None  # frames per second, as the source calls it
    last_duration: int  # of the last frame, in ticks
    hdr: HdrMetadata | None = None  # what the container is told of the light
    views: Views | None = None  # and of how the picture is to be seen


def join(
    parts: Sequence[Path],
    target: Path,
    video: JoinedVideo,
    *,
    container: str,
    muxer_options: Mapping[str, str],
) -> None:
    """Write the pictures of `parts`, which follow each other in time, into `target`.

    Every pts is kept, in the video's time base. The order of decoding is worked out anew, because
    each part's encoder began with a clock of its own. Durations are those of the parts where
    `container` can say them (Matroska), elsewhere each frame stands until the next and the
    last for the video's `last_duration`. Raises OutputError.
    """
    sight = video.views.boxes() if video.views is not None else b""
    beside = light_boxes(video.hdr) if video.hdr is not None else b""
    if container in SAYS_DURATIONS:
        beside += sight
    order = _Order(parts, video)
    try:
        with (
            _template(parts[0], target, beside) as template,
            av.open(
                str(target.absolute()), "w", format=container, options=dict(muxer_options)
            ) as output,
        ):
            stream = output.add_stream_from_template(template, opaque=True)
            stream.time_base = video.time_base
            if template.codec_context.name == "prores":  # whose tag alone tells its kinds apart
                stream.codec_context.codec_tag = template.codec_context.codec_tag
            if template.sample_aspect_ratio:  # AV1's decoder says 1:1, whatever the part does
                stream.codec_context.sample_aspect_ratio = template.sample_aspect_ratio
            if video.rate is not None:
                stream.codec_context.framerate = video.rate
            for packet in order.packets(says_durations=container in SAYS_DURATIONS):
                packet.stream = stream
                output.mux(packet)
        if container not in SAYS_DURATIONS:
            # Their own muxers would say it in Apple's terms, too, which ffmpeg reads without half.
            put_boxes(target, sight)
    except VsrError:
        raise  # of the parts
    except (av.FFmpegError, OSError) as error:
        raise OutputError(f"{target.parent.parent}: writing failed ({reason(error)})") from error


class _Order:
    """The order in which the pictures of all parts are decoded, and how long each is shown."""

    def __init__(self, parts: Sequence[Path], video: JoinedVideo) -> None:
        self._parts, self._base = parts, video.time_base
        self._pts = [p.pts for p in _packets(parts, video.time_base) if p.pts is not None]
        self._steps = _steps(self._pts, video.last_duration)
        self._decoding = _decoding(self._pts, self._steps, video.time_base)

    def packets(self, *, says_durations: bool) -> Iterator[av.Packet[av.VideoStream]]:
        """Yield all packets, with a dts and a duration."""
        pts, steps, decoding = self._pts, self._steps, self._decoding
        last = max(range(len(pts)), key=pts.__getitem__)
        for n, packet in enumerate(_packets(self._parts, self._base)):
            packet.dts = decoding[n]
            if says_durations:
                packet.duration = steps[n] if n == last else packet.duration or steps[n]
            elif n + 1 < len(pts):
                packet.duration = decoding[n + 1] - decoding[n]
            else:  # whichever picture is decoded last, the film ends where that shown last does
                whole = last == n or decoding[last + 1] - decoding[last] == steps[last]
                packet.duration = steps[n] if whole else pts[last] + steps[last] - pts[n]
            yield packet


@contextmanager
def _template(part: Path, target: Path, beside: bytes) -> Iterator[av.VideoStream]:
    """Open the stream of `part`; where there are boxes `beside` it, in a file that holds both.

    That has one packet, and is removed again.
    """
    with ExitStack() as stack:
        stream = stack.enter_context(av.open(str(part.absolute()), **LENIENT)).streams.video[0]
        kind = _IN_MP4.get(stream.codec_context.codec.canonical_name)
        if beside and kind is not None:
            told = target.with_name("beside.mp4")
            stack.callback(told.unlink, missing_ok=True)
            with av.open(str(told.absolute()), "w", format=kind) as output:
                copy = output.add_stream_from_template(stream, opaque=True)
                packet = next(stream.container.demux(stream))
                packet.stream = copy
                output.mux(packet)
            put_boxes(told, beside)
            stream = stack.enter_context(av.open(str(told.absolute()))).streams.video[0]
        yield stream


_IN_MP4 = {"h264": "mp4", "hevc": "mp4", "av1": "mp4", "vp9": "mp4", "ffv1": "mp4", "prores": "mov"}
SAYS_DURATIONS = frozenset({"matroska", "webm"})


def _steps(order: Sequence[int], last_duration: int) -> list[int]:
    """Return how long each picture stands until the next is shown."""
    steps = [max(last_duration, 1)] * len(order)
    shown = sorted(range(len(order)), key=order.__getitem__)
    for n, after in pairwise(shown):
        steps[n] = order[after] - order[n]
    return steps


def _decoding(order: Sequence[int], steps: Sequence[int], time_base: Fraction) -> list[int]:
    """Return the dts of each packet: rising, and none behind its pts.

    MP4 says no durations; whoever reads it takes the step from one dts to the next. So that is
    made each picture's own duration, which works where decoding runs ahead far enough. Before a
    picture that stands for many seconds it would be too far: there the steps are the next best,
    and no picture seems to last beyond the end of the film.
    """
    begin = min(order)
    ends = list(accumulate(steps))
    wished = [begin + end - step for end, step in zip(ends, steps, strict=True)]
    # By how many pictures decoding has to run ahead, so that none comes too late.
    place = {n: at for at, n in enumerate(sorted(range(len(order)), key=order.__getitem__))}
    late = max(n - place[n] for n in range(len(order)))
    usual = sorted(steps)[len(steps) // 2]
    most = max(round(_MOST_LEAD / time_base), late * usual)
    lead = min(most, max(wish - pts for wish, pts in zip(wished, order, strict=True)))
    result, latest = [0] * len(order), max(order) + 1
    for n in reversed(range(len(order))):
        latest = min(latest - 1, order[n])
        result[n] = min(wished[n] - lead, latest)
    return result


def _packets(parts: Sequence[Path], time_base: Fraction) -> Iterator[av.Packet[av.VideoStream]]:
    """Yield all packets, in the order of decoding, with pts and duration in `time_base`."""
    extradata: bytes | None = None
    for number, part in enumerate(parts):
        try:
            with av.open(str(part.absolute()), **LENIENT) as container:
                stream = container.streams.video[0]
                own = bytes(stream.codec_context.extradata or b"")
                if number and own != extradata:
                    raise OutputError(f"{part}: was encoded in another way than those before it")
                extradata = own
                base = to_fraction(stream.time_base) or time_base
                for packet in container.demux(stream):
                    if not packet.size or packet.pts is None:
                        continue
                    packet.pts = rescale(packet.pts, base, time_base)
                    packet.dts = packet.pts
                    packet.duration = rescale(packet.duration or 0, base, time_base)
                    packet.time_base = time_base
                    yield packet
        except (av.FFmpegError, OSError, IndexError) as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"{part}: cannot be read back ({reason(error)})") from error
