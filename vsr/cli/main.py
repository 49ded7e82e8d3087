"""`vsr`: the group of commands, and how a run ends."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

import click

import vsr
from vsr.cli.bench import bench
from vsr.cli.jobs import jobs
from vsr.cli.models import models
from vsr.cli.probe import probe
from vsr.cli.progress import in_a_line
from vsr.cli.stopping import hang_up
from vsr.cli.upscale import upscale
from vsr.errors import Interrupted, VsrError

_INTERRUPTED = "interrupted; nothing half-made is left, and what earlier runs finished is kept"


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "show_default": True,
        "max_content_width": 100,
    }
)
@click.version_option(vsr.__version__, prog_name="vsr")
def cli() -> None:
    """Upscale video with Real-ESRGAN networks and lose nothing that was in the file.

    \b
    vsr upscale episode.mkv                  four times larger, beside the source
    vsr upscale old.mp4 -o new.mkv --height 1080 --model x4plus
    vsr upscale shots/ -o film.mp4 --fps 24  pictures to film; or -o big/, each on its own
    vsr probe episode.mkv                    what is in it, what would be done, how long
    vsr models                               the networks, and where their weights are
    vsr jobs                                 films that were begun and are not done
    vsr bench episode.mkv                    how fast each stage is here, alone and together

    Exit codes: 0 done, 1 failed, 2 usage, 3 input unreadable, 4 model or weights,
    5 out of memory after every fallback, 6 stopped and can be gone on with, 130 interrupted.
    """


cli.add_command(upscale)
cli.add_command(probe)
cli.add_command(models)
cli.add_command(jobs)
cli.add_command(bench)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    # Pillow logs what is odd about a damaged picture; our own line says it.
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names that are no text, as they are
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        # A job that a shell started in the background inherits an ignored SIGINT.
        for number in (signal.SIGINT, signal.SIGTERM, *hang_up()):
            signal.signal(number, _terminated)
        # With standalone_mode off, click returns the code of `context.exit`.
        code = cli(arguments, prog_name="vsr", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except VsrError as error:
        return _ended(in_a_line(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _ended(_INTERRUPTED, Interrupted.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if _by_a_signal(error):
            return _ended(_INTERRUPTED, Interrupted.exit_code)
        if os.environ.get("VSR_DEBUG"):
            traceback.print_exc()
        return _ended(
            f"internal error: {type(error).__name__}: {error}; VSR_DEBUG=1 shows where", 1
        )
    return code if isinstance(code, int) else 0


def _by_a_signal(error: BaseException | None) -> bool:
    """Whether an interrupt came where somebody's tidying up then failed."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _ended(message: str, code: int) -> int:
    click.echo(f"vsr: {' '.join(message.splitlines())}", err=True)
    return code
