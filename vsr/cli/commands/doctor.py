"""`vsr doctor`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from vsr.cli.options import for_people
from vsr.cli.standard import printable
from vsr.cli.work import WorkCommand
from vsr.version import __version__

if TYPE_CHECKING:
    from vsr.doctor import Finding

_SCHEMA = 1  # grows when a reader of --json would have to change


@click.command(cls=WorkCommand, needs=("vsr.doctor",))
@click.option(
    "--json", "as_json", is_flag=True,
    help="Print it as JSON, without names of folders and users, to be pasted into a report.",
)  # fmt: skip
@click.pass_context
def doctor(context: click.Context, /, *, as_json: bool) -> None:
    """Look at this machine: what it has, what works, and what to do about the rest.

    Tries each encoder and each engine on a few small frames, which takes about ten seconds.
    Nothing is fetched, and nothing stays. The exit code is 1 if something is broken.
    """
    from vsr.doctor import examine

    found = []
    for finding in examine():
        found.append(finding)
        if not as_json:
            click.echo("\n".join(found_lines(finding)))
    broken = sum(finding.state == "broken" for finding in found)
    if as_json:
        told = [{**one.as_dict(), "text": for_people(one.as_dict()["text"])} for one in found]
        page = {"schema": _SCHEMA, "vsr": __version__, "broken": broken, "findings": told}
        click.echo(json.dumps(page, indent=1, ensure_ascii=False))
    else:
        click.echo(f"{broken} things are broken" if broken else "nothing is broken")
    context.exit(1 if broken else 0)


def found_lines(finding: Finding) -> Iterator[str]:
    """Yield a finding as people read it."""
    state = {"good": "", "advice": "  advice", "broken": "  BROKEN"}[finding.state]
    yield f"{finding.area:10}{state:9} {printable(for_people(finding.text))}"
    if finding.advice is not None:
        yield f"{'':19} -> {printable(for_people(finding.advice))}"
