"""The page of `vsr report`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from vsr.frame import Range
from vsr.media.format.colour_tags import name_of
from vsr.media.source.kinds.base import Source
from vsr.media.source.streams import StreamInfo
from vsr.quality.report import KINDS
from vsr.report.film_look import WorstFrame
from vsr.report.page import (
    bytes_in_words,
    command_block,
    document,
    picture_data,
    table,
    text,
    time_in_words,
)
from vsr.report.plots import Series, figure
from vsr.report.run_report import RunReport, quality_series
from vsr.timing import clock

_QUALITY = 85  # of its pictures
# What is drawn together: the result's before the source's.
_TOGETHER = (("flicker_out", "flicker_ref"), ("warping_out", "warping_ref"))
_RATHER_SMALL = Fraction(1, 1000)  # seconds: to which Matroska rounds


def report_page(report: RunReport) -> str:
    """Return the page."""
    source, result = report.source.path.name, report.result.path.name
    body = [
        f'<p class="quiet">{text(_summary(report))}</p>',
        *_said("Warnings", report.warnings, "warning"),
        "<h2>What came in, and what went out</h2>",
        _films(report),
        _streams(report),
        *_tags(report),
        *_plots(report),
        *_worst(report),
        *_said("Notes", report.notes, ""),
        *_again(report),
    ]
    return document(
        f"Report on {result}",
        f"{text(source)} → {text(result)}",
        body,
        scripts=("copy.js",),
    )


def _summary(report: RunReport) -> str:
    record = report.record
    if record is None:
        return (
            "What vsr said while it made this is not known here: the result was made by another "
            "user, on another machine, or was changed since."
        )
    rate = (record.frames - record.before) / record.seconds if record.seconds else 0.0
    again = f", {record.before} of them by earlier runs" if record.before else ""
    return (
        f"{record.description}; {record.frames} frames in {clock(record.seconds)}"
        f" ({rate:.3g} frames a second){again}"
    )


def _said(heading: str, texts: tuple[str, ...], kind: str) -> Iterator[str]:
    if texts:
        named = f' class="{kind}"' if kind else ""
        yield f"<h2>{heading}</h2><ul>"
        yield from (f"<li{named}>{text(one)}</li>" for one in texts)
        yield "</ul>"


def _films(report: RunReport) -> str:
    one, other = report.source, report.result
    rows = [
        ["File", *(text(film.path) for film in (one, other))],
        ["Container", *(_container(film) for film in (one, other))],
        ["Picture", *(_picture(film) for film in (one, other))],
        ["Colour", *(_colour(film) for film in (one, other))],
        ["Frames", str(report.timing.before), f"{report.timing.after}; {_in_step(report)}"],
        ["Chapters", str(one.chapters), str(other.chapters)],
    ]
    return table(("What", "Source", "Result"), rows, name="films", caption="Source and result")


def _container(film: Source) -> str:
    return text(f"{film.format}, {bytes_in_words(film.size)}")


def _picture(film: Source) -> str:
    video = film.video
    shape = video.sample_aspect_ratio or 1
    more = f", pixels {shape} as wide as high" if shape != 1 else ""
    turned = f", shown turned by {video.rotation} degrees" if video.rotation else ""
    return text(f"{video.codec}, {video.width}×{video.height}, {video.layout.name}{more}{turned}")


def _colour(film: Source) -> str:
    colour = film.video.colour
    range_ = "full" if colour.range is Range.FULL else "limited"
    hdr = ", HDR" if colour.hdr else ""
    return text(f"{name_of(colour.matrix)}, {range_} range{hdr}")


def _in_step(report: RunReport) -> str:
    furthest = report.timing.furthest
    if furthest is None:
        return "their times cannot be compared one by one"
    if furthest == 0:
        return "each at exactly its time"
    about = f"within {float(furthest) * 1000:.3g} ms of its time"
    rounded = ", as the container rounds" if furthest <= _RATHER_SMALL else ""
    return f"each {about}{rounded}"


def _streams(report: RunReport) -> str:
    rows = []
    for fate in report.streams:
        one = fate.before or fate.after
        assert one is not None
        same = fate.before is not None and fate.after is not None
        became = _stream(fate.after) if fate.after is not None else "—"
        said = "".join(f'<br><span class="quiet">{text(why)}</span>' for why in fate.why)
        state = f'<strong class="warning">{fate.fate}</strong>' if not same else fate.fate
        rows.append(
            [
                f"#{one.index} {one.kind}",
                _stream(fate.before) if fate.before is not None else "—",
                became,
                f"{state}{said}",
            ]
        )
    head = ("Stream", "In the source", "In the result", "What became of it")
    return table(head, rows, name="streams", caption="Streams")


def _stream(stream: StreamInfo) -> str:
    words = (stream.codec, stream.language, stream.title)
    return text(", ".join(word for word in words if word) or "unknown")


def _tags(report: RunReport) -> Iterator[str]:
    if not report.tags:
        yield "<p>The tags of the file are all the same.</p>"
        return
    rows = [
        [text(tag.name), text(tag.before or "—"), text(tag.after or "—")] for tag in report.tags
    ]
    yield table(("Tag", "Source", "Result"), rows, name="tags", caption="Tags that differ")


def _plots(report: RunReport) -> Iterator[str]:
    cuts = report.look.cuts if report.look is not None else []
    drawn = [
        figure("Time that a frame took", [report.pace], cuts),
        figure("Size of each frame", [report.sizes], cuts),
    ]
    if report.look is not None and report.look.work:
        work = Series(name="a frame", unit="", times=report.look.times, values=report.look.work)
        drawn.append(figure("Share of each frame that reuse left to do", [work], cuts))
    if report.invented is not None:
        drawn.append(
            figure("Share of each frame's detail that is invented", [report.invented], cuts)
        )
    if report.quality is not None:
        drawn += _of_quality(quality_series(report.quality, report.source.begin), cuts)
    if not any(drawn):
        return
    yield "<h2>Frame by frame</h2>"
    if report.quality is not None:
        yield f"<p>{text(_compared(report))}</p>"
    if cuts:
        yield f"<p>{len(cuts)} cuts, as dotted lines.</p>"
    yield from drawn


def _compared(report: RunReport) -> str:
    """Say what the numbers mean: a source is no better picture than its result."""
    quality = report.quality
    assert quality is not None
    if report.compared_with == str(report.source.path):
        return (
            "The result, brought to the size of its source, is compared with the source. That "
            "tells how true it stayed, not how good it looks; docs/metrics.md says more."
        )
    return f"The result is compared with {report.compared_with}."


def _of_quality(series: dict[str, Series], cuts: list[float]) -> Iterator[str]:
    for name in series:
        pair = next((pair for pair in _TOGETHER if name in pair), (name,))
        if name == pair[0]:
            both = [_plainly(series[other]) for other in pair if other in series]
            title = both[0].name if len(both) == 1 else KINDS[name].metric
            yield figure(title.capitalize() if title.islower() else title, both, cuts)


def _plainly(series: Series) -> Series:
    """Return it under a name that says source and result, as this page does."""
    name = series.name.replace("OUT", "the result").replace("REF", "the source")
    return replace(series, name=name)


def _worst(report: RunReport) -> Iterator[str]:
    if not report.worst:
        return
    kind = KINDS[report.worst_by]
    yield f"<h2>Worst frames, by {text(kind.meaning)}</h2>"
    for frame in report.worst:
        yield from _worst_frame(frame, kind.unit)


def _worst_frame(frame: WorstFrame, unit: str) -> Iterator[str]:
    at = time_in_words(frame.seconds)
    source, result = (picture_data(picture, _QUALITY) for picture in (frame.source, frame.result))
    yield f"<h3>{at}: {frame.value:.4g} {unit}</h3>"
    yield '<div class="three">'
    yield _figure(f'<img src="{source}" alt="the source at {at}">', "Source, enlarged by bicubic")
    yield _figure(f'<img src="{result}" alt="the result at {at}">', "Result")
    if frame.heat is not None and frame.share is not None:
        drawn = picture_data(frame.heat, 60)
        both = (
            f'<div class="over"><img class="under" src="{result}" alt="the result at {at}, grey">'
            f'<img src="{drawn}" alt="where detail is invented at {at}"></div>'
        )
        yield _figure(both, f"Invented: {frame.share:.0%} of the detail")
    yield "</div>"


def _figure(content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption>{text(caption)}</figcaption></figure>"


def _again(report: RunReport) -> Iterator[str]:
    if report.command is not None and report.record is not None:
        yield f"<h2>To do it again</h2><p>With vsr {text(report.record.vsr)}:</p>"
        yield command_block(report.command)
