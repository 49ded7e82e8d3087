"""The numbers of each step as curves: `curve.csv`, and what TensorBoard shows, if it is there."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vsr.events import Note, Sink
from vsr.train.checkpoint import write_whole


class Curves:
    """The curves of one run. What TensorBoard cannot be told is no reason to end a training."""

    def __init__(self, folder: Path, step: int, sink: Sink) -> None:
        """Go on after `step`: what a killed run showed beyond it is taken back."""
        self._folder, self._sink = folder, sink
        self._board: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            try:
                self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
            except OSError as error:
                self._end(error)

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Show what a step came to, counted from 1."""
        if self._board is None:
            return
        try:
            for name, value in numbers.items():
                self._board.add_scalar(name, value, step)
        except OSError as error:
            self._end(error)

    def keep(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write all that there is. Raises OutputError.

        Of `curve.csv` one line is a step; columns come as they came up.
        """
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        lines = csv.DictWriter(text, names, lineterminator="\n")
        lines.writeheader()
        lines.writerows({name: f"{value:.8g}" for name, value in row.items()} for row in rows)
        write_whole(self._folder / "curve.csv", text.getvalue().encode())
        if self._board is not None:
            try:
                self._board.flush()
            except OSError as error:
                self._end(error)

    def close(self) -> None:
        """Leave nothing behind that writes."""
        if self._board is not None:
            try:
                self._board.close()
            except OSError as error:
                self._end(error)

    def _end(self, error: OSError) -> None:
        self._board = None
        self._sink(Note(text=f"TensorBoard's curves end here ({error.strerror or error})"))
