"""`vsr jobs`."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import click

from vsr.cli.graceful_stop import GracefulStop, for_shell
from vsr.cli.help.hints import HintingGroup
from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.terminal import size
from vsr.cli.work import WorkCommand
from vsr.jobs.store import job_status
from vsr.jobs.store.job_status import JobStatus
from vsr.jobs.store.registry import stores
from vsr.timing import clock


@click.group(cls=HintingGroup, invoke_without_command=True)
@click.pass_context
def jobs(context: click.Context) -> None:
    """List the films that were begun and are not done, or go on with one.

    What is finished of a film lies beside its output in a hidden folder. The command that
    began it goes on with it; so does `vsr jobs resume`.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@jobs.command("list")
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each job.")
def list_(folders: tuple[Path, ...] = (), *, as_json: bool = False) -> None:
    """List the jobs that were begun here, and those whose output is in a FOLDER.

    Jobs of `vsr serve` that it cannot read are named, too: of the servers of this machine, and
    of one whose data is in a FOLDER.
    """
    from vsr.server.store.jobs import unreadable

    found = list(job_status.jobs(folders))
    for job in found:
        click.echo(_as_json(job) if as_json else _line(job))
    torn = 0
    for data in dict.fromkeys([*stores("servers"), *(one.absolute() for one in folders)]):
        for name, why in unreadable(data / "jobs").items():
            torn += 1
            at = _shown(data / "jobs" / name)
            click.echo(f"{at}: a job of vsr serve that cannot be read ({why}); is kept", err=True)
    if not found and not torn and not as_json:
        click.echo("no jobs", err=True)


@jobs.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(output: Path, as_json: bool) -> None:
    """Show how far the job has come whose result is OUTPUT."""
    job = job_status.job_of(output)
    if as_json:
        click.echo(_as_json(job))
        return
    click.echo(_line(job))
    click.echo(f"  from {_shown(job.source)}")
    click.echo(f"  kept in {_shown(job.store)}")
    click.echo(f"  vsr jobs resume {for_shell(job.output)}")


@jobs.command(
    cls=WorkCommand, needs=("vsr.jobs.run.upscale", "vsr.report.run_record", "vsr.runners.local")
)
@click.argument("output", type=click.Path(path_type=Path))
@listening
def resume(output: Path, quiet: bool, progress: ProgressKind) -> None:
    """Go on with the job whose result is OUTPUT, with the options that it was begun with."""
    from vsr.jobs.run.upscale import upscale
    from vsr.report.run_record import RunRecorder
    from vsr.runners.local import runner_for

    job = job_status.job_of(output)
    kept = dataclasses.replace(job.options.jobs, restart=False)
    options = dataclasses.replace(job.options, jobs=kept)
    with Listener(quiet=quiet, progress=progress) as terminal, GracefulStop(terminal) as stop:
        result = upscale(
            job.source,
            job.output,
            options,
            sink=RunRecorder(stop, options),
            stop=stop.asked,
            runner=runner_for(options.device),
        )
    click.echo(result.output)


@jobs.command(cls=WorkCommand)
@click.argument("output", type=click.Path(path_type=Path))
def remove(output: Path) -> None:
    """Throw away what is finished of the job whose result is OUTPUT."""
    job = job_status.job_of(output)
    job_status.remove(job)
    done = f"{job.done} of {job.segments} segments"
    click.echo(f"{done} of {_shown(job.output)} thrown away", err=True)


def _shown(path: Path | str) -> str:
    """Return a name on one line."""
    return for_shell(Path(path)) if "\n" in str(path) else str(path)


def _state(job: JobStatus) -> str:
    return f"running (process {job.process})" if job.process is not None else "stopped"


def _line(job: JobStatus) -> str:
    ago = clock(max(time.time() - job.touched, 0))
    percent = 100 * job.done // max(job.segments, 1)
    return (
        f"{_shown(job.output)}: {_state(job)}, "
        f"{job.done} of {job.segments} segments ({percent} %), "
        f"{size(job.bytes)}, {ago} ago"
    )


def _as_json(job: JobStatus) -> str:
    return json.dumps(
        {
            "output": str(job.output),
            "source": str(job.source),
            "store": str(job.store),
            "state": "running" if job.process is not None else "stopped",
            "process": job.process,
            "done": job.done,
            "parts": job.segments,
            "bytes": job.bytes,
            "touched": job.touched,
        }
    )
