"""A report as JSON, which docs/report.schema.json describes."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from vsr.media.format.colour_tags import name_of
from vsr.media.source.kinds.base import Source
from vsr.report.plots import Series
from vsr.report.run_report import RunReport, quality_series
from vsr.report.streams import StreamFate

SCHEMA = 1


def as_json(report: RunReport) -> dict[str, Any]:
    """Return all of it but the pictures, as plain JSON types."""
    record, quality, look = report.record, report.quality, report.look
    begin = report.source.begin
    return {
        "schema": "vsr.report",
        "version": SCHEMA,
        "source": _film(report.source),
        "output": _film(report.result),
        "streams": [_stream_fate(fate) for fate in report.streams],
        "tags": [
            {"name": tag.name, "before": tag.before, "after": tag.after} for tag in report.tags
        ],
        "frames": {
            "source": report.timing.before,
            "output": report.timing.after,
            "furthest_seconds": _number(report.timing.furthest),
        },
        "run": None
        if record is None
        else {
            "vsr": record.vsr,
            "command": report.command,
            "description": record.description,
            "options": record.options,
            "seconds": record.seconds,
            "frames_of_earlier_runs": record.before,
            "ended": record.ended,
        },
        "notes": list(report.notes),
        "warnings": list(report.warnings),
        "cuts": None if look is None else look.cuts,
        "quality": None
        if quality is None
        else {
            "compared_with": report.compared_with,
            "pairs": quality.pairs,
            "only_source": quality.only_ref,
            "only_output": quality.only_out,
            "scores": [
                {
                    "name": score.name,
                    "mean": _number(score.mean),
                    "worst": _number(score.worst),
                    "worst_at": float(score.at - begin),
                    "pooled": _number(score.pooled),
                }
                for score in quality.scores
            ],
        },
        "worst": [
            {"seconds": w.seconds, "by": report.worst_by, "value": _number(w.value),
             "invented": w.share}
            for w in report.worst
        ],
        "per_frame": _per_frame(report),
    }  # fmt: skip


def _per_frame(report: RunReport) -> dict[str, Any]:
    series = {"kilobytes": report.sizes, "seconds": report.pace}
    if report.look is not None and report.look.work:
        series["work"] = Series(
            name="work", unit="", times=report.look.times, values=report.look.work
        )
    if report.invented is not None:
        series["invented"] = report.invented
    if report.quality is not None:
        series |= quality_series(report.quality, report.source.begin)
    return {
        name: {
            "unit": one.unit,
            "times": [round(time, 6) for time in one.times],
            "values": [_number(value) for value in one.values],
        }
        for name, one in series.items()
    }


def _number(value: float | Fraction | None) -> float | None:
    """Return a number that JSON can say."""
    return float(value) if value is not None and math.isfinite(value) else None


def _film(film: Source) -> dict[str, Any]:
    video = film.video
    return {
        "path": str(film.path),
        "format": film.format,
        "bytes": film.size,
        "duration": film.duration,
        "chapters": film.chapters,
        "video": {
            "codec": video.codec,
            "width": video.width,
            "height": video.height,
            "layout": video.layout.name,
            "matrix": name_of(video.colour.matrix),
            "range": video.colour.range.name.lower(),
            "primaries": video.colour.primaries,
            "transfer": video.colour.transfer,
            "rate": str(video.rate) if video.rate else None,
            "sample_aspect_ratio": str(video.sample_aspect_ratio or 1),
            "rotation": video.rotation,
        },
    }


def _stream_fate(fate: StreamFate) -> dict[str, Any]:
    sides = {
        name: None
        if stream is None
        else {
            "index": stream.index,
            "kind": stream.kind,
            "codec": stream.codec,
            "language": stream.language,
            "title": stream.title,
        }
        for name, stream in (("before", fate.before), ("after", fate.after))
    }
    return {**sides, "fate": fate.fate, "why": list(fate.why)}
