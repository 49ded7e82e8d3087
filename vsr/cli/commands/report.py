"""`vsr report`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.values import ParsedValue
from vsr.cli.work import WorkCommand
from vsr.errors import InputError, UsageError
from vsr.jobs.store.job_status import JobStatus, job_of
from vsr.options import METRICS, Metric


def _metrics(text: str) -> tuple[Metric, ...]:
    names = {name.strip() for name in text.split(",") if name.strip()}
    known: tuple[Metric, ...] = tuple(name for name in METRICS if name in names)
    if not known or len(known) < len(names):
        raise UsageError(f"{text}: must be of {', '.join(METRICS)}")
    return known


@click.command(
    cls=WorkCommand,
    needs=("vsr.report.job_page", "vsr.report.report_json", "vsr.report.report_page"),
)
@click.argument("first", metavar="JOB|SRC", type=click.Path(path_type=Path))
@click.argument("second", metavar="[OUT]", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The page.  [default: OUT_report.html beside the result]",
)
@click.option(
    "--metric",
    type=ParsedValue("NAME,...", _metrics),
    metavar="NAME,...",
    help=f"Measure these of {', '.join(METRICS)}.  [default: psnr,ssim; flicker where the "
    "temporal filter was on]",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    help="Measure OUT against this film, in place of its source.",
)
@click.option(
    "--worst",
    type=click.IntRange(0, 20),
    default=4,
    metavar="N",
    help="Show so many of the worst frames.",
)
@click.option(
    "--invention",
    is_flag=True,
    help="Say of each frame how much of its detail is invented; about as slow as a metric.",
)
@click.option("--quick", is_flag=True, help="Look at no pictures: streams, tags, times and sizes.")
@click.option("--overwrite", is_flag=True, help="Replace the page if it is there already.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, and write no page.")
@listening
def report(
    *,
    first: Path,
    second: Path | None,
    output: Path | None,
    metric: tuple[Metric, ...] | None,
    reference: Path | None,
    worst: int,
    invention: bool,
    quick: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    progress: ProgressKind,
) -> None:
    """Show what `vsr upscale` has made of SRC, as a page or JSON.

    Tells what came in and went out, stream by stream; times, sizes and quality frame by
    frame; the worst frames as pictures, with what was invented in them; what was said on the
    way, and the command to do it again. Given only JOB, the result of a run on this machine
    or of a job that is not done, it finds the source by itself. docs/report.md describes
    the JSON.
    """
    from vsr.report.job_page import job_json, job_page
    from vsr.report.report_json import as_json as report_as_json
    from vsr.report.report_page import report_page
    from vsr.report.run_report import run_report

    job = None if second is not None else _job(first)
    if job is not None:
        path = output or job.output.with_name(f"{job.output.stem}_report.html")
        _check(path, None, overwrite=overwrite, wanted=not as_json)
        told = json.dumps(job_json(job), indent=1) if as_json else job_page(job)
        _tell(told, path, as_json=as_json)
        return
    source, result = (first, second) if second is not None else (_source_of(first), first)
    path = output or result.with_name(f"{result.stem}_report.html")
    _check(path, result, overwrite=overwrite, wanted=not as_json)
    with Listener(quiet=quiet, progress=progress) as terminal:
        found = run_report(
            source,
            result,
            measure=metric,
            reference=reference,
            quick=quick,
            worst=worst,
            invention=invention,
            sink=terminal,
        )
        page = json.dumps(report_as_json(found), indent=1) if as_json else report_page(found)
    _tell(page, path, as_json=as_json)


def _job(output: Path) -> JobStatus | None:
    """Return the job of that result that is not done; None where there is none."""
    try:
        return job_of(output)
    except UsageError:
        return None


def _source_of(output: Path) -> Path:
    from vsr.report.run_record import record_of

    if not output.exists():
        raise InputError(f"{output}: there is no such file")
    record = record_of(output)
    if record is None:
        raise UsageError(f"{output}: no run of vsr's is known that made it; name its source first")
    return Path(record.source)


def _check(path: Path, result: Path | None, *, overwrite: bool, wanted: bool) -> None:
    from vsr.report.page import check_page

    if wanted:
        check_page(path, result, overwrite=overwrite)


def _tell(made: str, path: Path, *, as_json: bool) -> None:
    from vsr.report.page import write_page

    if as_json:
        click.echo(made)
        return
    write_page(path, made)
    click.echo(path)
