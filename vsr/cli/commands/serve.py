"""`vsr serve`."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vsr.cli.graceful_stop import for_shell
from vsr.cli.work import WorkCommand
from vsr.errors import UsageError
from vsr.jobs.store.registry import state_folder

if TYPE_CHECKING:
    from vsr.server.tokens import Tokens

_TOKEN = "VSR_SERVER_TOKEN"
_SHOWN = 5  # jobs that are named in a line
_GB, _HOUR, _DAY = 10**9, 3600.0, 86400.0


@click.command(
    cls=WorkCommand,
    needs=("vsr.server.settings",),
    examples=(
        "vsr serve --root /srv/films",
        "VSR_SERVER_TOKEN=$(cat token) vsr serve --host 0.0.0.0 --allow-host nas.example",
    ),
)
@click.option("--host", default="127.0.0.1", help="Listen here; elsewhere than on this machine "
              f"only with tokens ({_TOKEN}, or --tokens).")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=8787, help="0: any that is free.")
@click.option(
    "--root", "roots", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Let jobs read films in this folder; repeatable. Uploads need none.",
)  # fmt: skip
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path),
    help="Keep jobs, uploads and results here.  [default: the user's state folder]",
)  # fmt: skip
@click.option(
    "--device", "devices", multiple=True, default=("auto",),
    help="Work on this device, on one job at a time; repeatable, the same one, too.",
)  # fmt: skip
@click.option(
    "--tokens", type=click.Path(path_type=Path),
    help="A file with NAME TOKEN in each line; each sees his own jobs, one with `all` behind it "
    "all of them.",
)  # fmt: skip
@click.option(
    "--allow-host", "names", multiple=True, metavar="NAME",
    help="Answer to this name of the machine, too; repeatable.",
)  # fmt: skip
@click.option("--allow-urls", is_flag=True, help="Let sources be addresses, if they are public.")
@click.option(
    "--near-host", "near", multiple=True, metavar="NAME",
    help="Let webhooks, and sources, lead to this host, though it is not public; repeatable.",
)  # fmt: skip
@click.option("--max-queue", type=click.IntRange(1), default=1000, help="Jobs that may wait.")
@click.option("--max-uploads", type=click.IntRange(1), default=32, help="Uploads at a time.")
@click.option("--max-upload", type=click.FloatRange(0, min_open=True), default=1000.0,
              metavar="GB", help="The largest upload.")  # fmt: skip
@click.option("--free-disk", type=click.FloatRange(0), default=2.0, metavar="GB",
              help="Take nothing on where less would be left.")  # fmt: skip
@click.option("--keep", type=click.FloatRange(0, min_open=True), default=7.0, metavar="DAYS",
              help="Remove results so long after they were made.")  # fmt: skip
@click.option("--keep-uploads", type=click.FloatRange(0, min_open=True), default=24.0,
              metavar="HOURS", help="Remove uploads that nothing comes for so long.")  # fmt: skip
@click.option("--patience", type=click.FloatRange(1), default=60.0, metavar="SECONDS",
              help="End requests whose client is silent for so long.")  # fmt: skip
def serve(
    *,
    host: str,
    port: int,
    roots: tuple[Path, ...],
    data: Path | None,
    devices: tuple[str, ...],
    tokens: Path | None,
    names: tuple[str, ...],
    allow_urls: bool,
    near: tuple[str, ...],
    max_queue: int,
    max_uploads: int,
    max_upload: float,
    free_disk: float,
    keep: float,
    keep_uploads: float,
    patience: float,
) -> None:
    """Take jobs over HTTP, with a page for people who use no shell.

    docs/http-api.md has the requests; Replicate's clients speak them. What is taken on survives
    the server: killed and started again it goes on with each job where it was. It ends at
    Ctrl-C or SIGTERM, when the segments under way are done.
    """
    try:
        from vsr.server.web.run import listen, run
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is missing: pip install 'vsr-upscale[serve]'") from error
    from vsr.server.settings import Limits, ServerSettings

    known = _tokens(tokens)
    if not known and not _is_here(host):
        raise UsageError(f"--host {host}: needs tokens: --tokens FILE, or {_TOKEN}")
    settings = ServerSettings(
        data=(data or state_folder() / "server").absolute(),
        roots=tuple(root.resolve() for root in roots),
        devices=devices,
        tokens=known,
        hosts=_hosts(host, names),
        urls=allow_urls,
        near=near,
        limits=Limits(
            queue=max_queue,
            uploads=max_uploads,
            upload=int(max_upload * _GB),
            free_disk=int(free_disk * _GB),
            keep=keep * _DAY,
            keep_uploads=keep_uploads * _HOUR,
            patience=patience,
            header=min(patience, Limits.header),
        ),
    )
    with listen(host, port) as line:
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{line.getsockname()[1]}"
        run(settings, line, partial(_say, address))


def _say(address: str, unreadable: Mapping[str, str]) -> None:
    """Say that the server answers, and which jobs cannot be read."""
    click.echo(f"vsr: listening on {address}", err=True)
    names = [f"{for_shell(Path(name))} ({why})" for name, why in unreadable.items()]
    if len(names) > _SHOWN:
        names[_SHOWN:] = [f"{len(names) - _SHOWN} more (`vsr jobs`)"]
    if names:
        text = f"jobs that cannot be read are kept and left alone: {', '.join(names)}"
        click.echo(f"vsr: {text}", err=True)


def _tokens(path: Path | None) -> Tokens:
    from vsr.server.tokens import Tokens, one_token, read_tokens

    told = os.environ.get(_TOKEN)
    if path is not None:
        return read_tokens(path)
    return one_token(told) if told else Tokens()


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hosts(host: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that requests may come for."""
    own = [] if host in ("0.0.0.0", "::") else [f"[{host}]" if ":" in host else host]
    here = ["localhost", "127.0.0.1", "[::1]", socket.gethostname()]
    return tuple(dict.fromkeys(name.lower() for name in (*here, *own, *names)))
