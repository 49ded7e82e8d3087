"""Finished parts of a picture become one file, by stream copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av

from vsr.errors import OutputError, VsrError
from vsr.media.probe import LENIENT, reason
from vsr.timing import to_fraction


def join(
    parts: Sequence[Path],
    target: Path,
    *,
    container: str,
    time_base: Fraction,
    last_duration: int,
    muxer_options: Mapping[str, str],
) -> None:
    """Write the pictures of `parts`, which follow each other in time, into `target`.

    Every pts is kept, in `time_base`. The order of decoding is worked out anew, because each
    part's encoder began with a clock of its own. Raises OutputError.
    """
    order = [packet.pts for packet in _packets(parts, time_base) if packet.pts is not None]
    stamps = sorted(order)
    shown = {a: b - a for a, b in pairwise(stamps)} | {stamps[-1]: last_duration}
    # By how many pictures decoding has to run ahead of showing, so that none comes too late.
    place = {pts: n for n, pts in enumerate(stamps)}
    late = max(n - place[pts] for n, pts in enumerate(order))
    lead = stamps[late] - stamps[0]
    try:
        with (
            av.open(str(parts[0].absolute()), **LENIENT) as first,
            av.open(
                str(target.absolute()), "w", format=container, options=dict(muxer_options)
            ) as output,
        ):
            template = first.streams.video[0]
            stream = output.add_stream_from_template(template, opaque=True)
            stream.time_base = time_base
            for n, packet in enumerate(_packets(parts, time_base)):
                assert packet.pts is not None
                packet.dts = stamps[n - late] if n >= late else stamps[n] - lead
                packet.duration = shown[packet.pts]
                packet.stream = stream
                output.mux(packet)
    except VsrError:
        raise  # of the parts
    except (av.FFmpegError, OSError) as error:
        raise OutputError(f"{target.parent.parent}: writing failed ({reason(error)})") from error


def _packets(parts: Sequence[Path], time_base: Fraction) -> Iterator[av.Packet[av.VideoStream]]:
    """All packets, in the order of decoding, with pts in `time_base`."""
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
                    packet.pts = round(packet.pts * base / time_base)
                    packet.dts = packet.pts
                    packet.time_base = time_base
                    yield packet
        except (av.FFmpegError, OSError, IndexError) as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"{part}: cannot be read back ({reason(error)})") from error
