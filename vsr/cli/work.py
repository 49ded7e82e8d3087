"""Commands that work: what they need is loaded when they run, not when their help is read.

PyTorch takes longer to load than anybody waits for a help text, a list or the end of a word.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from vsr.cli.help.hints import HintingCommand
from vsr.cli.standard import in_a_folder

if TYPE_CHECKING:
    from vsr.cli.progress.listener import Listener


@dataclass
class CommandRun:
    """A run of the command line: the object of its contexts."""

    begin: Callable[[], None]  # called when all is loaded, and the work begins
    listener: Listener | None = None  # who hears of it, once there is one
    loading: float = 0.0  # seconds that the command's libraries took


class WorkCommand(HintingCommand):
    """A command whose libraries are loaded once its command line is understood.

    Until they are, a signal ends the process at once: a library that is being loaded could take
    an exception for a fault of its own.
    """

    def __init__(self, *arguments: Any, needs: tuple[str, ...] = (), **settings: Any) -> None:
        """Take what click's commands take, and the modules that the function imports."""
        super().__init__(*arguments, **settings)
        self.needs = needs

    def load(self) -> None:
        """Import what the command needs."""
        with in_a_folder():
            for name in self.needs:
                importlib.import_module(name)

    def invoke(self, ctx: click.Context) -> Any:
        """Load, then run the command."""
        began = time.monotonic()
        self.load()
        if isinstance(ctx.obj, CommandRun):
            ctx.obj.loading = time.monotonic() - began
            ctx.obj.begin()
        return super().invoke(ctx)
