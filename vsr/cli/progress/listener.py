"""Who hears of a run: a person at a terminal, a program that reads JSON, a log."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, get_args

import click

from vsr.cli.help.sections import SectionOption
from vsr.cli.progress.json_lines import SCHEMA, JsonLines, append_to
from vsr.cli.terminal import Terminal
from vsr.cli.work import CommandRun
from vsr.errors import UsageError, cause
from vsr.events import Event, WarningNote
from vsr.version import __version__

F = TypeVar("F", bound=Callable[..., Any])
ProgressKind = Literal["auto", "json", "plain", "none"]

_FAST, _SLOW = 0.25, 30.0  # seconds between two lines of progress


def listening(function: F) -> F:
    """Decorate a command with the options that say how it tells of its work."""
    quiet = click.option(
        "-q",
        "--quiet",
        cls=SectionOption,
        common=True,
        is_flag=True,
        help="Say nothing but warnings and errors.",
    )
    progress = click.option(
        "--progress",
        cls=SectionOption,
        common=True,
        type=click.Choice(get_args(ProgressKind)),
        default="auto",
        envvar="VSR_PROGRESS",
        help="Show a bar on a terminal, elsewhere a line every 30 s (auto); such lines (plain); a "
        "line of JSON on stderr for each event (json); or nothing of it (none).",
    )
    return quiet(progress(function))


class Listener:
    """A sink for all who hear of a run; a context that ends what they show.

    Also writes to the file that VSR_LOG names. Raises UsageError where that cannot be written.
    """

    def __init__(self, *, quiet: bool, progress: ProgressKind = "auto") -> None:
        self._terminal = Terminal(quiet=quiet, progress=progress)
        self._programs: list[JsonLines] = []
        self.speaks_json = progress == "json"
        if self.speaks_json:
            self._programs.append(JsonLines(_to_stderr, _FAST))
        if name := os.environ.get("VSR_LOG"):
            self._programs.append(JsonLines(_Log(Path(name), self._warn), _SLOW))
        context = click.get_current_context(silent=True)
        path = context.command_path.split() if context is not None else []
        self._line("run", schema=SCHEMA, vsr=__version__, command=" ".join(path[1:]))
        if context is not None and isinstance(context.obj, CommandRun):
            context.obj.listener = self

    def __call__(self, event: Event) -> None:
        """Tell all of an event."""
        for program in self._programs:
            program(event)
        if not self.speaks_json:
            self._terminal(event)

    def error(self, text: str) -> None:
        """Tell that one of several files failed."""
        self._line("error", text=text)
        if not self.speaks_json:
            self._terminal.error(f"vsr: {text}")

    def result(self, text: str, *, err: bool = False) -> None:
        """Write a line on stdout (or stderr), without breaking the bar."""
        self._terminal.result(text, err=err)

    def remark(self, text: str) -> None:
        """Write a line that is for people alone."""
        if not self.speaks_json:
            click.echo(text, err=True)

    def ended(self, code: int, text: str | None) -> None:
        """Tell how the command ended: its exit code, and its error's line."""
        self._line("ended", exit_code=code, text=text)

    def _line(self, event: str, **fields: Any) -> None:
        for program in self._programs:
            program.line(event, **fields)

    def _warn(self, text: str) -> None:
        if not self.speaks_json:
            self._terminal(WarningNote(text=text))

    def __enter__(self) -> Self:
        self._terminal.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._terminal.__exit__(kind, error, trace)


class _Log:
    """Adds lines to a file; says once that it cannot, and ends no film for it."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path, self._warn = path, warn
        self._write = append_to(path)
        self._is_lost = False
        try:
            open(path, "a").close()
        except OSError as error:
            raise UsageError(f"VSR_LOG={path}: cannot be written ({cause(error)})") from error

    def __call__(self, line: str) -> None:
        if self._is_lost:
            return
        try:
            self._write(line)
        except OSError as error:
            self._is_lost = True
            self._warn(f"VSR_LOG={self._path}: cannot be written any more ({cause(error)})")


def _to_stderr(line: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
