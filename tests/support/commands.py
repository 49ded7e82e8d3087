"""The command line, walked."""

from __future__ import annotations

from collections.abc import Iterator

import click

from vsr.cli import cli
from vsr.cli.work import WorkCommand


def commands(
    command: click.Command = cli, *path: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command, and those within it, with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, *path, name)


def load_everything() -> None:
    """Import what any command needs, as before a fork."""
    for _, command in commands():
        if isinstance(command, WorkCommand):
            command.load()
