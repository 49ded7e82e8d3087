"""`vsr probe`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from vsr.cli.options import upscale_options
from vsr.cli.settings import SettledCommand, note_of, settled_options
from vsr.cli.work import CommandRun
from vsr.events import Event, Note

if TYPE_CHECKING:
    from vsr.jobs.plan.plan import Plan


@click.command(
    cls=SettledCommand,
    needs=("vsr.cli.probing",),
    examples=("vsr probe episode.mkv", "vsr probe film.mp4 -m x4plus --height 1080"),
)
@click.argument("source", metavar="IN", type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="The result, as for `vsr upscale`.")
@upscale_options
@click.option(
    "--seconds",
    type=click.FloatRange(0, 86400),
    default=20.0,
    metavar="SECONDS",
    help="Make frames of the film for about this long, to say how long all of it takes and how "
    "large it becomes; 0: only look.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def probe(source: str, output: str | None, seconds: float, as_json: bool, **values: Any) -> None:
    """Show what is in the file IN and what `vsr upscale` would do with it.

    Takes the options of upscale and leaves nothing behind. Pieces of the film are made, in a
    temporary folder, to say how long the whole would take and how large it would become.
    """
    from vsr.cli.probing import as_dict, lines, lines_of_estimate, look

    options, settled = settled_options({**values, "encode__overwrite": True}, [source])
    if (note := note_of(settled)) is not None:
        _live(note)
    run = click.get_current_context().obj
    loading = run.loading if isinstance(run, CommandRun) else 0.0

    def planned(job: Plan) -> None:
        if not as_json:
            click.echo("\n".join(lines(job)))

    job, guess = look(
        source, output, options, _live, seconds=seconds, loading=loading, planned=planned
    )
    if as_json:
        click.echo(json.dumps(as_dict(job, guess), indent=2))
        return
    for line in lines_of_estimate(guess):
        click.echo(line)


def _live(event: Event) -> None:
    """Print what the user should know of the looking itself."""
    if isinstance(event, Note):
        click.echo(f"note: {event.text}", err=True)
