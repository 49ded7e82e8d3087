"""`vsr metrics`."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsr.cli.options import tree_of, tree_options
from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.work import WorkCommand
from vsr.errors import OutputError, UsageError, cause
from vsr.media.source.image_list import is_too_long
from vsr.options import MetricsOptions
from vsr.quality.report import KINDS

if TYPE_CHECKING:
    from vsr.quality.report import Report, Score


@click.command(cls=WorkCommand, needs=("vsr.quality.metrics",))
@click.argument("ref", metavar="REF", type=click.Path())
@click.argument("out", metavar="OUT", type=click.Path())
@tree_options(MetricsOptions)
@click.option(
    "--per-frame",
    metavar="FILE.csv",
    type=click.Path(path_type=Path),
    help="Write the numbers of each pair to this file.",
)
@click.option("--overwrite", is_flag=True, help="Replace that file if it is there already.")
@listening
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def metrics(
    *,
    ref: str,
    out: str,
    per_frame: Path | None,
    overwrite: bool,
    quiet: bool,
    progress: ProgressKind,
    as_json: bool,
    **values: Any,
) -> None:
    """Measure how close the film or picture OUT is to the reference REF.

    Frames are paired by their timestamps; those that have no partner are counted, named and
    left out. Both may also be folders or numbered pictures. Luma is compared as it is coded,
    in the depth, range and matrix of REF. docs/metrics.md tells what each number means.
    """  # fmt: skip
    from vsr.quality.metrics import metrics as compare

    options = tree_of(MetricsOptions, values)
    if per_frame is not None:
        _check_free(per_frame, overwrite, (ref, out))
    with Listener(quiet=quiet, progress=progress) as terminal:
        report = compare(ref, out, options, sink=terminal)
    if per_frame is not None:
        _write(report, per_frame)
    if as_json:
        click.echo(json.dumps(_as_dict(report), indent=1))
    else:
        click.echo("\n".join(_lines(report)))


def _check_free(path: Path, overwrite: bool, measured: Iterable[Path | str]) -> None:
    """Refuse an output that is there, before the work and not after it."""
    if any(is_too_long(part) for part in (*path.parts, _beside(path).name)):
        raise UsageError(f"{path}: the name is too long")
    for source in map(Path, measured):
        folder = source if source.is_dir() else source.parent if "%" in source.name else None
        inside = folder is not None and folder.exists() and path.absolute().parent.samefile(folder)
        if inside or (path.exists() and source.exists() and path.samefile(source)):
            raise UsageError(f"{path}: the numbers may not take the place of what is measured")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path.absolute().parent}: there is no such folder")
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: is there already; --overwrite replaces it")


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def _write(report: Report, path: Path) -> None:
    """Write a line for each pair; the file's name appears when it is complete."""
    beside = _beside(path)
    try:
        with open(beside, "w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(["seconds", *report.values])
            for time, row in report.rows():
                numbers = ("" if math.isnan(v) else f"{v:.8g}" for v in row.values())
                lines.writerow([f"{float(time):.6f}", *numbers])
        os.replace(beside, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({cause(error)})") from error
    finally:
        beside.unlink(missing_ok=True)


def _lines(report: Report) -> Iterator[str]:
    yield (
        f"{report.pairs} pairs, {report.width}x{report.height}, {report.bits} bit; left out: "
        f"{report.only_ref} frames of REF, {report.only_out} of OUT"
    )
    yield f"{'':14}{'mean':>10}{'worst':>10}{'at, s':>10}"
    for score in report.scores:
        yield _line(score)
    for text in report.skipped:
        yield f"skipped {text}"


def _line(score: Score) -> str:
    kind = KINDS[score.name]
    pooled = "" if score.pooled is None else f"; {_number(score.pooled).strip()} {kind.pooled}"
    unit = f", {kind.unit}" if kind.unit else ""
    return (
        f"{score.name:14}{_number(score.mean)}{_number(score.worst)}{float(score.at):>10.3f}"
        f"  {kind.meaning}{unit}{pooled}"
    )


def _number(value: float) -> str:
    """Format a number in ten columns, with as many digits as it is good for."""
    return f"{value:>10.3e}" if 0 < abs(value) < 0.001 else f"{value:>10.4f}"


def _as_dict(report: Report) -> dict[str, Any]:
    return {
        "ref": str(report.ref),
        "out": str(report.out),
        "width": report.width,
        "height": report.height,
        "bits": report.bits,
        "pairs": report.pairs,
        "only_ref": report.only_ref,
        "only_out": report.only_out,
        "scores": {
            score.name: {
                "mean": _plain(score.mean),
                "worst": _plain(score.worst),
                "at": float(score.at),
                "pooled": _plain(score.pooled),
                "frames": score.frames,
                "unit": KINDS[score.name].unit,
                "best": KINDS[score.name].best,
            }
            for score in report.scores
        },
        "skipped": report.skipped,
        "notes": report.notes,
    }


def _plain(value: float | None) -> float | str | None:
    """Replace what JSON cannot say: the infinite PSNR of equal pictures becomes the text "inf"."""
    return "inf" if value is not None and math.isinf(value) else value
