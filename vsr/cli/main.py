"""`vsr`: the group of commands, and how a run ends."""

from __future__ import annotations

import importlib
import logging
import os
import traceback
from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType

import click

from vsr.cli.help.hints import command_hint, misplaced
from vsr.cli.help.sections import help_option
from vsr.cli.signals import INTERRUPTED, SignalHandlers, is_interrupt
from vsr.cli.standard import failure, lacks_memory, prepare, printable
from vsr.cli.terminal import in_a_line
from vsr.cli.work import CommandRun
from vsr.errors import NO_MEMORY, Interrupted, OutOfMemory, Stopped, VsrError
from vsr.version import __version__

# Each in the file of its name, and what it does in a line: as its own help begins.
_COMMANDS = {
    "bench": "Measure each stage alone, and all together, on frames of the film IN.",
    "cluster": "Look at the machines of a cluster, which can share a film.",
    "degrade": "Make the film or picture IN worse, as networks are taught with.",
    "doctor": "Look at this machine: what it has, what works, and what to do about the rest.",
    "finetune": "Teach a shipped network to undo the damage of one film.",
    "jobs": "List the films that were begun and are not done, or go on with one.",
    "metrics": "Measure how close the film or picture OUT is to the reference REF.",
    "models": "List the networks; fetch their weights and check them.",
    "preview": "Try settings on a few moments of the film IN, and write a page that compares them.",
    "presets": "List what `--for` takes; show a preset with its reasons, or save your own.",
    "probe": "Show what is in the file IN and what `vsr upscale` would do with it.",
    "report": "Show what `vsr upscale` has made of SRC, as a page or JSON.",
    "serve": "Take jobs over HTTP, with a page for people who use no shell.",
    "submit": "Have a server of `vsr serve` upscale IN, and fetch the result.",
    "train": "Train a network on films and pictures.",
    "upscale": "Upscale the video or picture IN and keep everything else that is in it.",
}


def _room(name: str) -> ModuleType:
    """Return the file of a command, with all that it needs."""
    return importlib.import_module(f"vsr.cli.commands.{name}")


_OWN = ("-h", "--help", "--help-all", "--version")  # options


def _names_a_film(word: str) -> bool:
    """Return whether a word in a command's place is a file, or looks like the name of one."""
    return word == "-" or any(sign in word for sign in "./\\%") or os.path.lexists(word)


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

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ("-", *_OWN):
            misplaced(args[0], ctx)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a film stands for its being upscaled."""
        word = args[0]
        if word not in _COMMANDS and not ctx.resilient_parsing:
            if not _names_a_film(word):
                raise click.UsageError(command_hint(word, _COMMANDS), ctx=ctx)
            args = ["upscale", *args]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


@click.group(
    cls=_Commands,
    params=[help_option("--help-all", "", short=False, hidden=True)],
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
    vsr episode.mkv                          four times larger, beside the source
    vsr upscale old.mp4 -o new.mkv --height 1080 --model x4plus
    vsr upscale shots/ -o film.mp4 --fps 24  pictures to film; or -o big/, each on its own
    vsr probe episode.mkv                    what is in it, what would be done, how long
    vsr preview film.mkv --compare model=animevideov3,x4plus   a page to decide by
    vsr report big.mkv                       what became of it, stream by stream
    vsr models                               the networks, and where their weights are
    vsr metrics original.mkv big.mkv         how close it is: PSNR, SSIM, VMAF and more
    vsr jobs                                 films that were begun and are not done
    vsr bench episode.mkv                    how fast each stage is here, alone and together

    Exit codes: 0 done, 1 failed, 2 usage, 3 input unreadable, 4 model or weights,
    5 out of memory after every fallback, 6 stopped (the same command goes on), 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    # Pillow logs what is odd about a damaged picture; our own line says it.
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    prepare()
    interrupts = SignalHandlers()
    run = CommandRun(begin=interrupts.start)
    try:
        code, line = _run(arguments, run)
        interrupts.end()
    except BaseException as error:
        interrupts.end()
        # It is raised once: where another end was being put in words it came in between.
        if not (interrupts.raised or is_interrupt(error)):
            raise
        code, line = Interrupted.exit_code, INTERRUPTED
    # Whatever failed then failed by it; but what was stopped and goes on has said so.
    if code not in (0, Stopped.exit_code) and interrupts.raised:
        code, line = Interrupted.exit_code, INTERRUPTED
    if not code and (failed := failure()) is not None:
        code, line = 1, failed or None
    if run.listener is not None:
        run.listener.ended(code, line)
    if line is not None and not (run.listener is not None and run.listener.speaks_json):
        with suppress(OSError):  # the terminal may be gone
            click.echo(f"vsr: {printable(line)}", err=True)
    return code


def _run(arguments: Sequence[str] | None, run: CommandRun) -> tuple[int, str | None]:
    """Run the command line; returns its exit code, and what is to be said."""
    try:
        # With standalone_mode off, click returns the code of `context.exit`.
        code = cli(arguments, prog_name="vsr", standalone_mode=False, obj=run)
    except click.ClickException as error:
        error.show()
        return error.exit_code, None
    except VsrError as error:
        return error.exit_code, in_a_line(error)
    except (KeyboardInterrupt, click.Abort):
        return Interrupted.exit_code, INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1, None
    except Exception as error:
        if is_interrupt(error):
            return Interrupted.exit_code, INTERRUPTED
        if lacks_memory(error):
            return OutOfMemory.exit_code, NO_MEMORY
        if os.environ.get("VSR_DEBUG"):
            traceback.print_exc()
        text = " ".join(str(error).splitlines())
        return 1, f"internal error: {type(error).__name__}: {text}; VSR_DEBUG=1 shows where"
    return code if isinstance(code, int) else 0, None
