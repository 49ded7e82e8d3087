"""`vsr cluster`: the machines that share a film."""

from __future__ import annotations

from pathlib import Path

import click

from vsr.cli.commands.doctor import found_lines
from vsr.cli.help.hints import HintingGroup
from vsr.cli.work import WorkCommand


@click.group(cls=HintingGroup)
def cluster() -> None:
    """Look at the machines of a cluster, which can share a film.

    The cluster is Ray's; `vsr upscale --cluster` shares a film among its machines.
    """


@cluster.command(cls=WorkCommand, needs=("vsr.runners.installed",))
@click.argument("address", default="auto", metavar="[auto|HOST:PORT]")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Try whether all nodes see this folder, and how fast they write to it.",
)
@click.pass_context
def doctor(context: click.Context, /, *, address: str, folder: Path | None) -> None:
    """Ask each node what it has, and whether it can share a film with this machine.

    The exit code is 1 if a node cannot.
    """
    from vsr.runners.installed import check_ray

    check_ray()
    from vsr.doctor.cluster import examine_cluster

    broken = 0
    for finding in examine_cluster(address, folder):
        broken += finding.state == "broken"
        click.echo("\n".join(found_lines(finding)))
    click.echo(f"{broken} things are broken" if broken else "nothing is broken")
    context.exit(1 if broken else 0)
