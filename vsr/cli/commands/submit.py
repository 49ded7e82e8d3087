"""`vsr submit`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsr.cli.options import for_people, upscale_options
from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.settings import LINE, SettledCommand, note_of, settled_options
from vsr.config import Settled
from vsr.errors import (
    InputError,
    ModelError,
    OutOfMemory,
    OutputError,
    OutputExists,
    UsageError,
    VsrError,
)
from vsr.events import (
    Downloading,
    Event,
    Finished,
    Note,
    Progress,
    Started,
    Uploading,
    WarningNote,
)
from vsr.jobs.store import atomic_write
from vsr.jobs.store.registry import state_folder
from vsr.options import UpscaleOptions, keyword, leaves

if TYPE_CHECKING:
    from vsr.server.client import Client

_FAILURES = {2: UsageError, 3: InputError, 4: ModelError, 5: OutOfMemory}


@click.command(
    cls=SettledCommand,
    needs=("vsr.server.client",),
    examples=("vsr submit film.mkv --server http://nas:8787 -o big.mkv --height 1080",),
)
@click.argument("source", metavar="IN", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--server", required=True, envvar="VSR_SERVER", metavar="URL",
    help="The address of a `vsr serve`. Its token is read from VSR_SERVER_TOKEN.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(),
    help="The result; its suffix chooses the container. A folder: in there.  [default: beside "
    "the source]",
)  # fmt: skip
@upscale_options
@click.option("--priority", type=click.IntRange(-100, 100), default=0, help="Higher ones go first.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it is there already.")
@listening
def submit(
    *,
    source: str,
    server: str,
    output: str | None,
    priority: int,
    overwrite: bool,
    quiet: bool,
    progress: ProgressKind,
    **values: Any,
) -> None:
    """Have a server of `vsr serve` upscale IN, and fetch the result.

    A line that breaks is taken up again. Ctrl-C ends only the waiting: the same command goes on
    with the same upload, the same job and the same result.
    """
    from vsr.server.client import Client, identity

    path = Path(source)
    options, settled = settled_options(values, [source])
    folder, name = _place(path, output)
    if name is not None:
        _check(folder / name, overwrite=overwrite)
    ours = _of_this_machine(settled)
    input_ = _input(options, settled.values.keys() - ours) | ({"output": name} if name else {})
    token = os.environ.get("VSR_SERVER_TOKEN")
    id = _id(identity(path), input_, token)
    client = Client(server, token)
    with Listener(quiet=quiet, progress=progress) as terminal:
        if (note := note_of(settled)) is not None:
            terminal(note)
        if ours:
            text = ", ".join(f"<{path}> ({settled.origins[path]})" for path in ours)
            terminal(WarningNote(text=for_people(f"left out, as the server has its own: {text}")))
        try:
            asked = {"input": input_, "priority": priority}
            job = _begun(client, id, path, asked, terminal)
            finished = _followed(client, job, terminal)
            target = folder / (name or _plain_name(finished["output_name"]))
            _check(target, overwrite=overwrite)

            def heard(done: int, total: int) -> None:
                terminal(Downloading(name=target.name, done=done, total=total))

            client.fetch(id, target, heard)
        except KeyboardInterrupt:
            terminal.remark("the server goes on; the same command waits for it again")
            raise
        metrics = finished["metrics"]
        terminal(
            Finished(
                output=target,
                frames=metrics.get("frames") or 0,
                seconds=metrics.get("predict_time") or 0.0,
            )
        )
    with suppress(OSError):
        atomic_write.remove(_memory(id))
    click.echo(target)


def _place(source: Path, output: str | None) -> tuple[Path, str | None]:
    """Return the result's folder, and its name if that is settled."""
    if output is None:
        return source.parent, None
    path = Path(output)
    if output.endswith("/") or path.is_dir():
        if not path.is_dir():
            raise UsageError(f"<output> {output}: there is no such folder")
        return path, None
    if not path.suffix or "%" in path.name or output == "-":
        raise UsageError(f"<output> {output}: a server makes one file; give its name")
    return path.parent, path.name


def _check(target: Path, *, overwrite: bool) -> None:
    if os.path.lexists(target) and not overwrite:
        raise OutputExists(f"{target}: is there already; use <encode.overwrite>, or another name")


def _plain_name(given: object) -> str:
    """Return the name that a server has for a result: of a file here, and nowhere else."""
    is_name = isinstance(given, str) and Path(given).name == given and "\0" not in given
    if not is_name or given in ("", ".."):
        raise OutputError(f"the server names the result {given!r}, which is no file's name")
    return str(given)


def _id(film: str, input_: Mapping[str, Any], token: str | None) -> str:
    """Return what this user's job has for an id; others see the film at the same place, too."""
    user = [hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()] if token else []
    told = json.dumps([film, input_, *user], sort_keys=True)
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:26]


def _of_this_machine(settled: Settled) -> list[str]:
    """Return the options that are not a client's, and that nobody gave with the command."""
    from vsr.server.inputs import fields

    theirs = {leaf.path for leaf in fields().values()}
    not_theirs = {leaf.path for leaf in leaves(UpscaleOptions)} - theirs
    return [path for path in settled.values
            if path in not_theirs and settled.origins[path] != LINE]  # fmt: skip


def _input(options: UpscaleOptions, given: Collection[str]) -> dict[str, Any]:
    """Return the options that were given, as the API takes them."""
    found = {}
    for leaf in leaves(UpscaleOptions):
        value: Any = options
        for name in leaf.path.split("."):
            value = getattr(value, name)
        if leaf.path in given or (leaf.path == "source.clips" and value):
            found[keyword(leaf)] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        is_pair = len(value) == 2 and all(isinstance(side, str) for side in value)
        return "=".join(value) if is_pair else [_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)  # a fraction, a clip


def _memory(id: str) -> Path:
    return state_folder() / "submitted" / id


def _begun(
    client: Client,
    id: str,
    path: Path,
    asked: Mapping[str, Any],
    terminal: Listener,
) -> dict[str, Any]:
    """Return the job, with its film at the server."""
    from vsr.server.client import remembered

    job = client.find(id)
    if job is not None and job["status"] not in ("failed", "canceled", "aborted"):
        return job
    if job is not None:
        client.ask("DELETE", f"/v1/jobs/{id}")

    def remember(place: str) -> None:
        with suppress(OSError):
            _memory(id).parent.mkdir(parents=True, exist_ok=True)
            atomic_write.write(_memory(id), place)

    def heard(done: int, total: int) -> None:
        terminal(Uploading(name=path.name, done=done, total=total))

    upload = client.upload(path, remembered(_memory(id)), remember, heard)
    return client.put(id, {**asked, "input": {**asked["input"], "source": f"upload:{upload}"}})


def _followed(client: Client, job: Mapping[str, Any], terminal: Listener) -> dict[str, Any]:
    """Return the job when it has succeeded. Raises the error that it has failed with."""
    code = 1
    for told in client.events(job["id"]):
        if told.get("event") == "ended":
            code = told.get("exit_code") or code
        event = _event(told)
        if event is not None:
            terminal(event)
    ended = client.find(job["id"])
    if ended is None or ended["status"] != "succeeded":
        status = ended["status"] if ended is not None else "removed"
        text = (ended or {}).get("error") or f"the job was {status}"
        raise _FAILURES.get(code, VsrError)(for_people(text))
    return ended


def _event(told: Mapping[str, Any]) -> Event | None:
    """Return an event as this machine's own runs tell it."""
    try:
        match told["event"]:
            case "started":
                return Started(
                    source=Path(told["source"]),
                    output=Path(told["output"]),
                    frames=told["frames"],
                    width=told["width"],
                    height=told["height"],
                    store=None,
                    description=told["description"],
                )
            case "progress":
                return Progress(
                    frames=told["frames"],
                    total=told["total"],
                    seconds_left=told["seconds_left"],
                )
            case "note":
                return Note(text=told["text"])
            case "warning":
                return WarningNote(text=told["text"])
    except (LookupError, TypeError):
        pass
    return None
