"""`vsr upscale`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from vsr.cli.progress import Terminal
from vsr.cli.shared import options_from, pixel_options
from vsr.errors import UsageError, VsrError
from vsr.jobs import film
from vsr.media.containers import STDOUT
from vsr.options import UpscaleOptions


@click.command()
@click.argument(
    "sources", metavar="IN...", nargs=-1, required=True, type=click.Path(allow_dash=True)
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The result; its suffix chooses the container. A folder, if there are several.  "
    "[default: beside the source]",
)
@pixel_options
@click.option("--apart", is_flag=True, help="A result for each --clip: out_1.mp4, out_2.mp4, ...")
@click.option("--overwrite", is_flag=True, help="Replace the output if it is there already.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print each result as a line of JSON.")
@click.pass_context
def upscale(
    context: click.Context,
    /,
    *,
    sources: tuple[str, ...],
    output: Path | None,
    apart: bool,
    quiet: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Upscale the video IN and keep everything else that is in it.

    Sound, subtitles, fonts, chapters and tags are copied; timestamps stay what they
    were. The result's name is printed at the end, and appears only when the result is
    complete. Of several films, one that fails does not stop the others; the exit code is
    then that of the first failure.
    """
    options = options_from(values)
    if len(sources) > 1 and output is not None and not output.is_dir():
        raise UsageError(f"{output}: several films need a folder that is there")
    tasks = [(s, o, chosen) for s in sources for o, chosen in _parts(output, options, apart)]
    failed: list[VsrError] = []
    for source, name, chosen in tasks:
        try:
            _one(source, name, chosen, quiet=quiet, as_json=as_json)
        except VsrError as error:
            if len(tasks) == 1:
                raise
            click.echo(f"vsr: {error}", err=True)
            failed.append(error)
    if len(tasks) > 1 and not quiet:
        click.echo(f"{len(tasks) - len(failed)} of {len(tasks)} films done", err=True)
    if failed:
        context.exit(failed[0].exit_code)


def _parts(
    output: Path | None, options: UpscaleOptions, apart: bool
) -> Iterator[tuple[Path | None, UpscaleOptions]]:
    """What is made of each film: its name and options."""
    if not apart:
        yield output, options
        return
    if not options.source.clips:
        raise UsageError("--apart: needs at least one --clip")
    for number, clip in enumerate(options.source.clips, start=1):
        source = dataclasses.replace(options.source, clips=(clip,))
        name = output
        if output is not None and not output.is_dir():
            name = output.with_stem(f"{output.stem}_{number}")
        yield name, dataclasses.replace(options, source=source)


def _one(
    source: str, output: Path | None, options: UpscaleOptions, *, quiet: bool, as_json: bool
) -> None:
    with Terminal(quiet=quiet) as terminal:
        result = film.upscale(source, output, options, sink=terminal)
    if not as_json:
        if result.output != STDOUT:
            click.echo(result.output)
        return
    click.echo(
        json.dumps(
            {
                "source": str(source),
                "output": str(result.output),
                "frames": result.frames,
                "width": result.width,
                "height": result.height,
                "seconds": round(result.seconds, 3),
                "notes": result.notes,
            }
        ),
        err=result.output == STDOUT,
    )
