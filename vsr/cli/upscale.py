"""`vsr upscale`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from vsr.cli.progress import Terminal
from vsr.cli.shared import options_from, pixel_options
from vsr.jobs import film


@click.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The result; its suffix chooses the container.  [default: beside the source]",
)
@pixel_options
@click.option("--overwrite", is_flag=True, help="Replace the output if it is there already.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def upscale(source: Path, output: Path | None, quiet: bool, as_json: bool, **values: Any) -> None:
    """Upscale the video IN and keep everything else that is in it.

    Sound, subtitles, fonts, chapters and tags are copied; timestamps stay what they
    were. The result's name is printed at the end, and appears only when the result is
    complete.
    """
    options = options_from(values)
    with Terminal(quiet=quiet) as terminal:
        result = film.upscale(source, output, options, sink=terminal)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "output": str(result.output),
                    "frames": result.frames,
                    "width": result.width,
                    "height": result.height,
                    "seconds": round(result.seconds, 3),
                    "notes": result.notes,
                }
            )
        )
    else:
        click.echo(result.output)
