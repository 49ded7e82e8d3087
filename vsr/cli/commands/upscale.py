"""`vsr upscale`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsr.cli.graceful_stop import GracefulStop
from vsr.cli.help.sections import SectionOption
from vsr.cli.options import tree_options, upscale_options
from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.settings import SettledCommand, note_of, settled_options
from vsr.cli.terminal import in_a_line
from vsr.errors import UsageError, VsrError
from vsr.fetch import without_login
from vsr.media.format.containers import STDOUT
from vsr.options import UpscaleOptions

if TYPE_CHECKING:
    from vsr.jobs.batch.run_batch import Outcome
    from vsr.jobs.run.upscale import Result

_NAMED = 8  # files that are named one by one


@click.command(
    cls=SettledCommand,
    needs=("vsr.jobs.batch.run_batch", "vsr.report.run_record", "vsr.runners.local"),
    examples=("vsr upscale episode.mkv", "vsr upscale old.mp4 -o new.mkv --height 1080 -m x4plus"),
)
@click.argument(
    "sources", metavar="IN...", nargs=-1, required=True, type=click.Path(allow_dash=True)
)
@click.option(
    "-o",
    "--output",
    cls=SectionOption,
    common=True,
    type=click.Path(),
    help="The result; its suffix chooses the container. A folder, if there are several; or "
    "numbered pictures, out/%05d.png.  [default: beside the source]",
)
@upscale_options
@click.option(
    "--separate", is_flag=True, help="Write a result for each --clip: out_1.mp4, out_2.mp4, ..."
)
@click.option("--apart", is_flag=True, hidden=True, help="The former name of --separate.")
@tree_options(UpscaleOptions, only="encode.overwrite")
@tree_options(UpscaleOptions, only="jobs.restart")
@listening
@click.option("--json", "as_json", is_flag=True, help="Print each result as a line of JSON.")
@click.pass_context
def upscale(
    context: click.Context,
    /,
    *,
    sources: tuple[str, ...],
    output: str | None,
    separate: bool,
    apart: bool,
    quiet: bool,
    progress: ProgressKind,
    as_json: bool,
    **values: Any,
) -> None:
    """Upscale the video or picture IN and keep everything else that is in it.

    Sound, subtitles, fonts, chapters and tags are copied; timestamps stay what they
    were. The result's name is printed at the end, and appears only when the result is
    complete. Of several files, one that fails does not stop the others; the exit code is
    then that of the first failure. Results of vsr's among several files are skipped; one that
    is named alone is done.

    IN may be a folder, or numbered pictures such as shots/%05d.png: each file is done on its
    own, into a folder or to numbered names again, or all pictures become the film OUTPUT at
    --fps. A film whose OUTPUT is numbered becomes a picture for each frame.
    """
    from vsr.jobs.batch.run_batch import Batch
    from vsr.report.run_record import RunRecorder
    from vsr.runners.local import runner_for

    options, settled = settled_options(values, sources)
    _check_no_output(sources, output)
    if apart:
        click.echo("vsr: --apart is called --separate now", err=True)
    batch = Batch(sources, output, options, separate=separate or apart)
    runner = runner_for(options.device)
    tally = _Tally(single=batch.total == 1, as_json=as_json, address=batch.address)
    with (
        Listener(quiet=quiet, progress=progress) as terminal,
        GracefulStop(terminal, batch.address) as stop,
    ):
        if (note := note_of(settled)) is not None:
            terminal(note)
        # Of --separate results each has options of its own, which are not known here.
        sink = stop if separate or apart else RunRecorder(stop, options)
        for outcome in batch.run(sink, stop=stop.asked, runner=runner):
            stop.ended()
            tally.add(outcome, terminal)
    for folder in tally.folders:
        click.echo(folder)
    if batch.total > 1 and not quiet:
        kind = {0: "films", batch.total: "pictures"}.get(batch.pictures, "files")
        more = f", {tally.skipped} skipped" if tally.skipped else ""
        terminal.remark(f"{tally.done} of {batch.total} {kind} done{more}")
    if tally.failed:
        context.exit(tally.failed[0].exit_code)


@dataclass(kw_only=True)
class _Tally:
    """What became of the files so far, each said as it is done."""

    single: bool  # whether there is one alone, whose failure is that of the command
    as_json: bool
    address: str | None = None  # of the result, if that is no file
    done: int = 0
    skipped: int = 0
    failed: list[VsrError] = field(default_factory=list)
    folders: dict[Path, None] = field(default_factory=dict)  # that results lie in, each once

    def add(self, outcome: Outcome, terminal: Listener) -> None:
        """Count an outcome, and say what has to be said of it. Raises the only one's error."""
        if outcome.error is not None:
            if self.single:
                raise outcome.error
            terminal.error(f"{in_a_line(outcome.error)}{_untried(outcome.untried)}")
            self.failed.append(outcome.error)
        elif outcome.is_skipped:
            self.skipped += 1
        elif outcome.result is not None:
            self.done += 1
            to_pipe = outcome.result.output == STDOUT
            if self.as_json:
                terminal.result(_json(outcome.source, outcome.result), err=to_pipe)
            elif outcome.among is not None:
                self.folders[outcome.among] = None
            elif not to_pipe:
                terminal.result(self.address or str(outcome.result.output))


def _check_no_output(sources: tuple[str, ...], output: str | None) -> None:
    """Refuse `vsr upscale film.mp4 out.mp4`: the second name was meant for the result."""
    if output is None and len(sources) == 2:
        source, other = map(Path, sources)
        if (
            source.exists()
            and other.suffix
            and not os.path.lexists(other)
            and "%" not in other.name
        ):
            raise UsageError(f"{other}: there is no such file; <output> names the result")


def _untried(names: tuple[str, ...]) -> str:
    """Return what was not begun, in words; a folder's files follow on each other."""
    if not names:
        return ""
    shown = ", ".join(names) if len(names) <= _NAMED else f"{names[0]} to {names[-1]}"
    return f"; not tried: {shown} ({len(names)})"


def _json(source: Path | str, result: Result) -> str:
    return json.dumps(
        {
            "source": without_login(str(source)),
            "output": str(result.output),
            "frames": result.frames,
            "width": result.width,
            "height": result.height,
            "seconds": round(result.seconds, 3),
            "notes": result.notes,
        }
    )
