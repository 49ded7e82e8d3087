"""Commands that work: what they need is loaded when they run, not when their help is read.

PyTorch takes longer to load than anybody waits for a help text, a list or the end of a word.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from vsr.cli.hints import HintingCommand
from vsr.cli.standard import in_a_folder


class WorkCommand(HintingCommand):
    """A command whose libraries are loaded once its command line is understood.

    Until they are, a signal ends the process at once: a library that is being loaded could take
    an exception for a fault of its own. Then the context's object, if it has one, is called.
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
        self.load()
        if ctx.obj is not None:
            ctx.obj()
        return super().invoke(ctx)
