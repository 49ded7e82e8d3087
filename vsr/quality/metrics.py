"""The comparison: two films, frame pair by frame pair."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from vsr.engine.device import prepare_cpu
from vsr.errors import FfmpegError, UsageError
from vsr.events import Finished, Note, OncePerNote, Progress, Sink, Started, Timed, silent
from vsr.flow import Scope
from vsr.frame import Range
from vsr.media.format.colour_tags import name_of
from vsr.media.read.reader import read_frames
from vsr.media.source.image_list import is_many
from vsr.media.source.kinds.base import Source
from vsr.media.source.kinds.table import probe_source
from vsr.media.source.local_name import STDIN, comes_once, local_source
from vsr.media.source.probe import probe
from vsr.media.source.remote import is_address
from vsr.media.vmaf import vmaf_ffmpeg
from vsr.options import DeviceOptions, Metric, MetricsOptions
from vsr.quality.meter import OF_LIBVMAF, Meter, fits
from vsr.quality.optical_flow import FLOW_SIDE, Flow, dis
from vsr.quality.pairs import FramePairs
from vsr.quality.psnr_ssim import MS_SSIM_SIDE, SSIM_SIDE
from vsr.quality.report import KINDS, Report, score_of

DEFAULT: tuple[Metric, ...] = ("psnr", "ssim", "vmaf")
_MOVING: frozenset[Metric] = frozenset({"warping", "tof"})
_LONGEST_V1 = 216  # pixels of the longer side that VMAF v1 and CAMBI take at least
_EXTRA = 16  # pixels a side that a result may have more, of an odd source times its scale
_AHEAD = 2  # frames of each film that are decoded ahead
# Pixels of the shorter side.
_SMALLEST: dict[Metric, int] = {
    "ssim": SSIM_SIDE, "ms-ssim": MS_SSIM_SIDE, "vmaf": 32, "vmaf1": 160, "cambi": 160,
    "warping": FLOW_SIDE, "tof": FLOW_SIDE,
}  # fmt: skip


def metrics(
    ref: Path | str,
    out: Path | str,
    options: MetricsOptions | None = None,
    *,
    flow: Flow | None = None,
    sink: Sink = silent,
) -> Report:
    """Compare the film or picture `out` with the reference `ref`.

    Frames are paired by their pts; what has no partner is counted. Both may be folders or
    patterns of pictures. `flow`: motion from elsewhere than OpenCV, see `vsr.quality.optical_flow`.
    `sink` hears of progress and notes. Raises InputError, UsageError (sizes that differ, no
    pair at all, OpenCV that is missing), FfmpegError (no libvmaf, where it was asked for).
    """
    options = options or MetricsOptions()
    once = OncePerNote(Timed(sink))
    prepare_cpu(DeviceOptions())
    began = time.monotonic()
    sources = _opened(ref, out, options)
    _check_sizes(*sources, options)
    wanted, skipped = _wanted(options, sources[0])
    flow = flow or (dis() if _MOVING & set(wanted) else None)
    for note in (*_notes(*sources, options), *(f"skipped {text}" for text in skipped)):
        once(Note(text=note))
    once(_started(*sources, wanted))
    meter, pairs = _measure(sources, Meter(wanted, options, flow), options, once)
    if pairs.first_alone is not None:
        once(Note(text=_left_out(pairs)))
    video, times = sources[0].video, tuple(meter.times)
    scores = {name: score_of(name, column, times) for name, column in meter.values.items()}
    for metric in dict.fromkeys(KINDS[n].metric for n, score in scores.items() if score is None):
        skipped.append(f"{metric}: takes two frames that have something in common")
        once(Note(text=f"skipped {skipped[-1]}"))
    notes = tuple(once.notes)
    took = time.monotonic() - began
    once(Finished(output=sources[1].path, frames=pairs.count, seconds=took, notes=notes))
    return Report(
        ref=sources[0].path,
        out=sources[1].path,
        width=video.width,
        height=video.height,
        bits=video.layout.bits,
        pairs=pairs.count,
        only_ref=pairs.only_ref,
        only_out=pairs.only_out,
        scores=tuple(score for score in scores.values() if score is not None),
        skipped=tuple(skipped),
        notes=notes,
        times=times,
        values={name: meter.values[name] for name, score in scores.items() if score is not None},
    )


def _measure(
    sources: tuple[Source, Source], meter: Meter, options: MetricsOptions, sink: Sink
) -> tuple[Meter, FramePairs]:
    """Put both films through the meter, each decoded in a thread of its own."""
    with meter, Scope() as scope:
        ref_frames, out_frames = (
            scope.ahead(read_frames(source, options.colour, sink=sink), depth=_AHEAD, name=name)
            for source, name in zip(sources, ("vsr-ref", "vsr-out"), strict=True)
        )
        pairs = FramePairs(ref_frames, out_frames, align=options.align)
        for ref, out in pairs:
            meter.add(ref, out)
            sink(Progress(frames=pairs.count))
        if not pairs.count:
            raise UsageError(
                f"{sources[1].path}: none of its {pairs.only_out} frames is shown at the time of "
                f"one of the {pairs.only_ref} of {sources[0].path}; "
                "<metrics.align> lets both begin together"
            )
        meter.finish()
    return meter, pairs


# --- before the first frame ---


def _opened(ref: Path | str, out: Path | str, options: MetricsOptions) -> tuple[Source, Source]:
    """Return what is in both. Of a film and pictures, the pictures take the film's rate."""
    paths = (_local(ref), _local(out))
    many = [is_many(path) for path in paths]
    films = [None if m else probe(p, options.colour) for p, m in zip(paths, many, strict=True)]
    rate = options.fps or next((f.video.rate for f in films if f is not None), None)
    first, second = (
        film or probe_source(path, options.colour, fps=rate)
        for film, path in zip(films, paths, strict=True)
    )
    return first, second


def _local(name: Path | str) -> Path:
    if isinstance(name, str) and is_address(name):
        raise UsageError(f"{name}: metrics are taken of files; fetch it first")
    path = local_source(name)
    if path == STDIN or comes_once(path):
        shown = "standard input" if path == STDIN else path
        raise UsageError(f"{shown}: metrics are taken of files; save it to one")
    return path


def _check_sizes(ref: Source, out: Source, options: MetricsOptions) -> None:
    want, have = ((s.video.width, s.video.height) for s in (ref, out))
    if not fits(have, want, options):
        both = f"{out.path}: is {have[0]}x{have[1]}, and {ref.path} is {want[0]}x{want[1]}"
        more = [h - w for h, w in zip(have, want, strict=True)]
        if all(0 <= n <= _EXTRA for n in more):
            raise UsageError(
                f"{both}; <metrics.crop> cuts off what was added to make its sides even"
            )
        raise UsageError(
            f"{both}; <metrics.resize> bicubic, nearest or lanczos brings it to that size"
        )


def _wanted(options: MetricsOptions, ref: Source) -> tuple[list[Metric], list[str]]:
    """Return (metrics, which are left out of the usual ones and why).

    Raises UsageError, FfmpegError for one that was asked for and cannot be.
    """
    wanted: list[Metric] = []
    skipped: list[str] = []
    for metric in dict.fromkeys(options.metrics or DEFAULT):
        try:
            _check_possible(metric, ref)
        except (UsageError, FfmpegError) as error:
            if options.metrics is not None:
                raise
            skipped.append(str(error))
        else:
            wanted.append(metric)
    return wanted, skipped


def _check_possible(metric: Metric, ref: Source) -> None:
    side, least = min(ref.video.width, ref.video.height), _SMALLEST.get(metric, 1)
    if side < least:
        size = f"{ref.video.width}x{ref.video.height}"
        raise UsageError(f"{metric}: takes at least {least} pixels a side, and REF is {size}")
    if metric in ("vmaf1", "cambi") and max(ref.video.width, ref.video.height) < _LONGEST_V1:
        size = f"{ref.video.width}x{ref.video.height}"
        raise UsageError(
            f"{metric}: takes at least {_LONGEST_V1} pixels of the longer side, and REF is {size}"
        )
    if metric in OF_LIBVMAF:
        try:
            vmaf_ffmpeg()
        except FfmpegError as error:
            raise FfmpegError(f"{metric}: {error}") from error


def _started(ref: Source, out: Source, wanted: list[Metric]) -> Started:
    sizes = [f"{s.video.width}x{s.video.height} {s.video.layout.name}" for s in (ref, out)]
    return Started(
        source=ref.path,
        output=out.path,
        frames=ref.video.frames,
        width=ref.video.width,
        height=ref.video.height,
        store=None,
        description=f"REF {sizes[0]}, OUT {sizes[1]}: {', '.join(wanted)}",
    )


def _notes(ref: Source, out: Source, options: MetricsOptions) -> Iterator[str]:
    """Yield what the user should know before he believes a number."""
    for source in (ref, out):
        video = source.video
        yield from (f"{source.path.name}: {guess}" for guess in video.guesses)
        if video.interlaced:
            yield f"{source.path.name}: is interlaced; compared as it is coded"
        if video.transparent or video.hidden_alpha:
            yield f"{source.path.name}: its transparency is not looked at"
    looks = [_coding(source) for source in (ref, out)]
    if looks[0] != looks[1]:
        yield f"OUT is {looks[1]}, REF {looks[0]}: OUT is converted, without rounding"
    one, other = (source.video for source in (ref, out))
    if (one.width, one.height) != (other.width, other.height):
        how = f"is brought to {one.width}x{one.height} by {options.resize}"
        if options.resize is None:
            how = f"of {other.width}x{other.height} is cut at its right and bottom"
        yield f"OUT {how}"
    if one.rotation != other.rotation or one.display_matrix != other.display_matrix:
        yield "REF and OUT are shown turned in different ways; they are compared as coded"


def _coding(source: Source) -> str:
    """Return how its code values are to be read."""
    video = source.video
    if video.layout.family == "rgb":
        return f"RGB {video.layout.bits} bit"
    colour = "grey" if video.layout.family == "gray" else name_of(video.colour.matrix)
    range_ = "full range" if video.colour.range is Range.FULL else "limited range"
    return f"{colour} {range_} {video.layout.bits} bit"


def _left_out(pairs: FramePairs) -> str:
    assert pairs.first_alone is not None
    return (
        f"{pairs.count} pairs; {pairs.only_ref} frames of REF and {pairs.only_out} of OUT have no "
        f"partner at their time and are left out, the first at {float(pairs.first_alone):.3f} s"
    )
