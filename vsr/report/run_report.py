"""`vsr report`: what a run has made of a film, found in both files and in what the run said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from vsr.errors import UsageError, worded
from vsr.events import Note, Sink, WarningNote, silent
from vsr.media.read.keyframes import Keyframes, keyframes
from vsr.media.source.kinds.base import Source
from vsr.media.source.kinds.table import probe_source
from vsr.options import (
    DEFAULT_MODEL,
    Metric,
    MetricsOptions,
    ModelOptions,
    UpscaleOptions,
    from_dict,
)
from vsr.quality.metrics import metrics
from vsr.quality.report import KINDS, Report
from vsr.report.film_look import FilmLook, WorstFrame, look_at, worst_frame, worst_times
from vsr.report.invention import invented_shares
from vsr.report.plots import Series
from vsr.report.run_record import RunRecord, record_of
from vsr.report.settings import command, shown_names
from vsr.report.streams import StreamFate, TagChange, changed_tags, fates, tags

_USUAL: tuple[Metric, ...] = ("psnr", "ssim")


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How the times of source and result compare."""

    before: int  # frames
    after: int
    furthest: Fraction | None  # seconds that a frame lies from where it was; None: not comparable


@dataclass(frozen=True, kw_only=True, eq=False)
class RunReport:
    """All that is told of a run. Times of series are seconds on the film's own clock."""

    source: Source
    result: Source
    streams: tuple[StreamFate, ...]
    tags: tuple[TagChange, ...]
    timing: Timing
    record: RunRecord | None
    command: str | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    sizes: Series  # kB of each frame of the result
    pace: Series  # seconds that each frame took
    look: FilmLook | None
    invented: Series | None  # share of each frame's detail; None: not asked for, or unknown
    quality: Report | None
    compared_with: str
    worst: tuple[WorstFrame, ...]
    worst_by: str  # a key of KINDS; "" where nothing was measured


def run_report(
    source: Path,
    output: Path,
    *,
    measure: Sequence[Metric] | None = None,
    reference: Path | None = None,
    quick: bool = False,
    worst: int = 4,
    invention: bool = False,
    sink: Sink = silent,
) -> RunReport:
    """Look at a film and at what was made of it.

    `measure`: metrics; None: PSNR and SSIM, and flicker where the temporal filter was on. They
    compare the result, brought to the size of the source, with the source; or the result with
    `reference`. `quick`: look at no pictures at all. `worst`: how many of the worst frames are
    shown. `invention`: say of each frame how much of it is invented. Raises InputError, UsageError,
    FfmpegError.
    """
    record = record_of(output)
    options = _options(record)
    before = probe_source(source, options.colour, fps=options.source.fps,
                          stream=options.source.stream)  # fmt: skip
    after = probe_source(output, MetricsOptions().colour)
    notes = tuple(_told(record.notes)) if record is not None else ()
    warnings = tuple(_told(record.warnings)) if record is not None else ()
    indexes = keyframes(before), keyframes(after)
    whole = not options.source.clips
    heard = _Heard(sink)
    look = None if quick else look_at(before, options, sink)
    quality = None
    if not quick:
        quality = _measured((before, after), reference, measure, options, heard)
    invented = None
    if invention and not quick:
        invented = _invented((before, after), options, heard)
    name = _first(quality)
    return RunReport(
        source=before,
        result=after,
        streams=tuple(fates(before, after, (*warnings, *notes))),
        tags=tuple(changed_tags(tags(before), tags(after))),
        timing=_timing(before, after, indexes, comparable=whole),
        record=record,
        command=command(source, options, output) if record is not None else None,
        notes=(*notes, *heard.notes),
        warnings=(*warnings, *heard.warnings),
        sizes=_sizes(after),
        pace=_pace(record, indexes[1], after),
        look=look,
        invented=invented,
        quality=quality,
        compared_with=str(reference or source),
        worst=tuple(_worst((before, after), indexes, quality, name, worst) if whole else ()),
        worst_by=name,
    )


class _Heard:
    """A sink that keeps the notes of the looking itself, which are not the run's."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def __call__(self, event: Any) -> None:
        if isinstance(event, Note):
            warns = isinstance(event, WarningNote)
            (self.warnings if warns else self.notes).extend(_told([event.text]))
        else:
            self._sink(event)


def _options(record: RunRecord | None) -> UpscaleOptions:
    """Return the options of the run; where nothing is known of it, none that change anything."""
    if record is None:
        return UpscaleOptions()
    try:
        return from_dict(UpscaleOptions, record.options)
    except UsageError:  # of another version
        return UpscaleOptions(model=ModelOptions(name=DEFAULT_MODEL))


def _told(texts: Sequence[str]) -> list[str]:
    """Return messages with the options as the command line names them."""
    return [worded(text, shown_names()) for text in texts]


def _timing(
    before: Source, after: Source, indexes: tuple[Keyframes, Keyframes], *, comparable: bool
) -> Timing:
    one, other = (
        [pts * film.video.time_base for pts in index.frames]
        for film, index in zip((before, after), indexes, strict=True)
    )
    furthest = None
    if comparable and len(one) == len(other):
        shift = one[0] - other[0]  # a film that is moved as a whole stays in step
        furthest = max(abs(a - b - shift) for a, b in zip(one, other, strict=True))
    return Timing(before=len(one), after=len(other), furthest=furthest)


def _sizes(film: Source) -> Series:
    """Return how much each frame of a film takes."""
    base, found = film.video.time_base, list[tuple[float, float]]()
    with film.open() as container:
        stream: Any = container.streams[film.video.index]
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                found.append((float(packet.pts * base - film.begin), packet.size / 1000))
    found.sort()
    return Series(
        name="frames of the result",
        unit="kB",
        times=[time for time, _ in found],
        values=[size for _, size in found],
    )


def _pace(record: RunRecord | None, index: Keyframes, film: Source) -> Series:
    """Return how long frames took, as far as the run was watched."""
    times, values = list[float](), list[float]()
    base, frames = film.video.time_base, index.frames
    pairs = pairwise(record.pace) if record is not None else ()
    for (first, began), (last, ended) in pairs:
        place = min(int(last), len(frames)) - 1
        times.append(float(frames[place] * base - film.begin))
        values.append((ended - began) / max(last - first, 1))
    return Series(name="a frame took", unit="s", times=times, values=values)


def _measured(
    films: tuple[Source, Source],
    reference: Path | None,
    measure: Sequence[Metric] | None,
    options: UpscaleOptions,
    sink: Sink,
) -> Report | None:
    """Compare; None where the run took parts of the film that cannot be paired with it."""
    if reference is None and not _is_paired(options, sink):
        return None
    wanted = tuple(measure) if measure else _USUAL
    if measure is None and options.temporal.filter != "off":
        wanted = (*wanted, "flicker")
    against = films[0] if reference is None else probe_source(reference, options.colour)
    sizes = [(film.video.width, film.video.height) for film in (against, films[1])]
    given = MetricsOptions(
        metrics=wanted,
        resize=None if sizes[0] == sizes[1] else "bicubic",
        align=bool(options.source.clips),
        colour=options.colour,
    )
    return metrics(reference or films[0].path, films[1].path, given, sink=sink)


def _is_paired(options: UpscaleOptions, sink: Sink) -> bool:
    """Return whether frames of the result show what those of the source do, all of it."""
    why = None
    if len(options.source.clips) > 1:
        why = "several clips were joined"
    elif options.source.crop is not None:
        why = "edges were cut off"
    if why is not None:
        sink(Note(text=f"{why}: nothing is measured against the source"))
    return why is None


def _invented(films: tuple[Source, Source], options: UpscaleOptions, sink: Sink) -> Series | None:
    """Return the share of each frame that is invented; None where that cannot be told."""
    if not _is_paired(options, sink):
        return None
    align = bool(options.source.clips)
    found = invented_shares(films, options.colour, align=align, sink=sink)
    if found is None:
        sink(Note(text="the result is not larger than its source: nothing of it is invented"))
        return None
    times, shares = found
    return Series(name="of the detail", unit="", times=times, values=shares)


def _first(quality: Report | None) -> str:
    """Return by which number the worst frames are found."""
    names = [score.name for score in quality.scores if KINDS[score.name].best] if quality else []
    return names[0] if names else ""


def _worst(
    films: tuple[Source, Source],
    indexes: tuple[Keyframes, Keyframes],
    quality: Report | None,
    name: str,
    count: int,
) -> list[WorstFrame]:
    if quality is None or not name:
        return []
    times, values = [float(time) for time in quality.times], quality.values[name]
    chosen = worst_times(times, values, count, low_is_bad=KINDS[name].best == "high")
    found = (
        worst_frame(films, indexes, quality.times[n], values[n], UpscaleOptions().colour)
        for n in chosen
    )
    begin = float(films[0].begin)
    return [replace(one, seconds=one.seconds - begin) for one in found if one is not None]


def quality_series(quality: Report, begin: Fraction) -> dict[str, Series]:
    """Return what was measured, by the names of KINDS."""
    times = [float(time - begin) for time in quality.times]
    return {
        score.name: Series(
            name=KINDS[score.name].meaning,
            unit=KINDS[score.name].unit,
            times=times,
            values=quality.values[score.name],
        )
        for score in quality.scores
    }
