"""The command line. The only place that knows click and tqdm, prints, and ends the process."""

from vsr.cli.main import cli, main

__all__ = ["cli", "main"]
