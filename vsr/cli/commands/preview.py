"""`vsr preview`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vsr.cli.options import upscale_options
from vsr.cli.progress.listener import Listener, ProgressKind, listening
from vsr.cli.settings import SettledCommand, note_of, settled_options
from vsr.cli.values import ParsedValue
from vsr.errors import UsageError
from vsr.options import Moment


@click.command(
    cls=SettledCommand,
    needs=("vsr.report.preview", "vsr.report.preview_page", "vsr.runners.local"),
    examples=(
        "vsr preview film.mp4",
        "vsr preview film.mp4 --compare model=animevideov3,x4plus --at 1:30",
    ),
)
@click.argument("source", metavar="IN", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The page.  [default: IN_preview.html beside the source]",
)
@click.option(
    "--compare",
    multiple=True,
    metavar="OPTION=V,V",
    help="Try these values of an option, too, such as model=animevideov3,x4plus or "
    "temporal-filter=off,strong; repeatable.",
)
@click.option(
    "--at",
    "moments",
    multiple=True,
    type=ParsedValue("time", Moment.parse),
    help="Look at the frame shown then: 90.5, 1:30, or 240f for a frame's number; repeatable.  "
    "[default: moments that tell most]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 86400),
    default=60.0,
    metavar="SECONDS",
    help="Spend about this long on each setting. A frame of each moment is made in any case; with "
    "more time they move.",
)
@upscale_options
@click.option("--overwrite", is_flag=True, help="Replace the page if it is there already.")
@listening
def preview(
    *,
    source: str,
    output: Path | None,
    compare: tuple[str, ...],
    moments: tuple[Moment, ...],
    seconds: float,
    overwrite: bool,
    quiet: bool,
    progress: ProgressKind,
    **values: Any,
) -> None:
    """Try settings on a few moments of the film IN, and write a page that compares them.

    Finds moments by itself: much detail, motion, text, dark, just after a cut. The page is
    one file for any browser, which fetches nothing: source and results under one split
    slider or beside each other, their difference, what was invented, where the network is
    unsure, how long the whole film would take, how large it would become, and the command
    for it.
    """
    from vsr.report.page import check_page, write_page
    from vsr.report.preview import preview as look
    from vsr.report.preview_page import preview_page
    from vsr.runners.local import runner_for

    options, settled = settled_options(values, [source])
    path = output or _beside(Path(source))
    check_page(path, Path(source), overwrite=overwrite)
    with Listener(quiet=quiet, progress=progress) as terminal:
        if (note := note_of(settled)) is not None:
            terminal(note)
        found = look(
            source,
            options,
            compare=compare,
            at=moments,
            seconds=seconds,
            runner=runner_for(options.device),
            sink=terminal,
        )
        write_page(path, preview_page(found))
    click.echo(path)


def _beside(source: Path) -> Path:
    if not source.name or source.name == "-":
        raise UsageError(f"{source}: a preview is made of a file")
    return source.with_name(f"{source.stem}_preview.html")
