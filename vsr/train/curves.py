"""The numbers of each step as curves: `curve.csv`, and what TensorBoard shows, if it is there."""

from __future__ import annotations

import csv
import importlib.util
import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsr.errors import OutputError, cause
from vsr.events import Note, Sink
from vsr.train.checkpoint import write_whole


class Curves:
    """The curves of one run. What TensorBoard cannot be told is no reason to end a training."""

    def __init__(self, folder: Path, step: int, sink: Sink) -> None:
        """Go on after `step`: what a killed run showed beyond it is taken back."""
        self._path, self._sink = folder / "curve.csv", sink
        self._names: list[str] = []  # the columns in the file
        self._written = step  # the last step in it
        self._rows: dict[int, dict[str, str]] = {}  # by their steps; not in the file yet
        if old := self._old():
            self._names = list(next(iter(old.values())))
            self._rewrite(old)
        else:
            self._path.unlink(missing_ok=True)
        self._board: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            try:
                self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
            except OSError as error:
                self._end(error)

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Show what a step came to, counted from 1."""
        row = self._rows.setdefault(step, {"step": str(step)})
        row.update({name: f"{value:.8g}" for name, value in numbers.items()})
        for name, value in numbers.items():
            self._tell("add_scalar", name, value, step)

    def keep(self) -> None:
        """Write what is new. Raises OutputError.

        Of `curve.csv` one line is a step; columns come as they came up.
        """
        names = list(
            dict.fromkeys([*self._names, *(n for row in self._rows.values() for n in row)])
        )
        if names != self._names or min(self._rows, default=math.inf) <= self._written:
            all_rows = self._old()
            for step, row in self._rows.items():
                all_rows[step] = all_rows.get(step, {}) | row
            self._names = names
            self._rewrite(all_rows)
        elif self._rows:
            try:
                with open(self._path, "ab") as file:
                    file.write(self._lines(self._rows))
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise OutputError(f"{self._path}: cannot be written ({cause(error)})") from error
        self._written = max(self._rows, default=self._written)
        self._rows = {}
        self._tell("flush")

    def _old(self) -> dict[int, dict[str, str]]:
        """Return the file's rows by their steps, without what a killed run wrote beyond."""
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return {}
        return {
            int(row["step"]): row
            for row in csv.DictReader(text.splitlines())
            if None not in row
            and None not in row.values()
            and row.get("step", "").isdecimal()
            and int(row["step"]) <= self._written
        }

    def _rewrite(self, rows: Mapping[int, Mapping[str, str]]) -> None:
        header = ",".join(self._names) + "\n"
        write_whole(self._path, header.encode() + self._lines(rows))

    def _lines(self, rows: Mapping[int, Mapping[str, str]]) -> bytes:
        text = io.StringIO()
        csv.DictWriter(text, self._names, lineterminator="\n").writerows(rows.values())
        return text.getvalue().encode()

    def close(self) -> None:
        """Leave nothing behind that writes."""
        self._tell("close")

    def _tell(self, what: str, *given: object) -> None:
        if self._board is None:
            return
        try:
            getattr(self._board, what)(*given)
        except OSError as error:
            self._end(error)

    def _end(self, error: OSError) -> None:
        self._board = None
        self._sink(Note(text=f"TensorBoard's curves end here ({cause(error)})"))
