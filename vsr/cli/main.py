"""`vsr`: the group of commands, and how a run ends."""

from __future__ import annotations

import importlib
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType, ModuleType

import click

from vsr.cli.progress import in_a_line
from vsr.cli.stopping import hang_up
from vsr.errors import Interrupted, VsrError
from vsr.version import __version__

_INTERRUPTED = "interrupted; nothing half-made is left, and what earlier runs finished is kept"

# Each in the file of its name, and what it does in a line: as its own help begins.
_COMMANDS = {
    "bench": "Measure each stage alone, and all together, on frames of the film IN.",
    "jobs": "List the films that were begun and are not done, or go on with one.",
    "metrics": "Measure how close the film or picture OUT is to the reference REF.",
    "models": "List the networks; fetch their weights and check them.",
    "probe": "Show what is in the file IN and what `vsr upscale` would do with it.",
    "upscale": "Upscale the video or picture IN and keep everything else that is in it.",
}


def _room(name: str) -> ModuleType:
    """The file of a command, with all that it needs."""
    return importlib.import_module(f"vsr.cli.{name}")


class _Commands(click.Group):
    """Imports a command when it is asked for: PyTorch takes longer than anybody waits for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(_room(cmd_name), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "show_default": True,
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="vsr")
def cli() -> None:
    """Upscale video with Real-ESRGAN networks and lose nothing that was in the file.

    \b
    vsr upscale episode.mkv                  four times larger, beside the source
    vsr upscale old.mp4 -o new.mkv --height 1080 --model x4plus
    vsr upscale shots/ -o film.mp4 --fps 24  pictures to film; or -o big/, each on its own
    vsr probe episode.mkv                    what is in it, what would be done, how long
    vsr models                               the networks, and where their weights are
    vsr metrics original.mkv big.mkv         how close it is: PSNR, SSIM, VMAF and more
    vsr jobs                                 films that were begun and are not done
    vsr bench episode.mkv                    how fast each stage is here, alone and together

    Exit codes: 0 done, 1 failed, 2 usage, 3 input unreadable, 4 model or weights,
    5 out of memory after every fallback, 6 stopped and can be gone on with, 130 interrupted.
    """


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _load(arguments: Sequence[str]) -> None:
    """Import the command before signals become exceptions, which a library could swallow."""
    for name in set(arguments[:1]) & set(_COMMANDS):
        _room(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    # Pillow logs what is odd about a damaged picture; our own line says it.
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names that are no text, as they are
        sys.stdout.reconfigure(errors="surrogateescape")
    _load(sys.argv[1:] if arguments is None else arguments)
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
