"""Which films of a batch are done, so that the same command goes on behind them.

Only a hint, beside those of `registry`: it is believed while source and result are what they
were when it was written, and forgotten when the whole batch is done.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr.events import Note, Sink
from vsr.jobs import disk
from vsr.jobs.film import Result
from vsr.jobs.fingerprint import chosen
from vsr.jobs.registry import state_folder
from vsr.jobs.store import sealed, unsealed
from vsr.jobs.tasks import Task
from vsr.media.containers import STDOUT
from vsr.media.listing import is_picture
from vsr.version import __version__


class Done:
    """The films of one batch that it has done, in this run or in one that was cut short."""

    def __init__(self) -> None:
        self._hints: set[Path] = set()

    def find(self, task: Task) -> Result | None:
        """The result of `task`, where it is there as it was left."""
        hint = _hint(task)
        told = unsealed(hint) if hint is not None and not task.options.jobs.restart else None
        if hint is None or told is None:
            return None
        output = Path(told["output"])
        if _stamp(output) != told["stamp"]:
            return None
        self._hints.add(hint)
        size = {name: told[name] for name in ("frames", "width", "height")}
        return Result(output=output, seconds=0.0, notes=(_text(task, output),), **size)

    def again(self, task: Task, sink: Sink) -> Result | None:
        """As `find`, and says so."""
        result = self.find(task)
        if result is not None:
            sink(Note(text=result.notes[0]))
        return result

    def add(self, task: Task, result: Result) -> None:
        """Remember the result, if that can be written down."""
        hint = _hint(task)
        if hint is None or result.output == STDOUT:
            return
        told = {
            "output": os.fsdecode(result.output),
            "stamp": _stamp(result.output),
            "frames": result.frames,
            "width": result.width,
            "height": result.height,
        }
        with suppress(OSError):
            hint.parent.mkdir(parents=True, exist_ok=True)
            disk.write(hint, sealed(told))
            self._hints.add(hint)

    def forget(self) -> None:
        """All is done: the same command would mean it anew."""
        for hint in self._hints:
            with suppress(OSError):
                disk.remove(hint)


def _text(task: Task, output: Path) -> str:
    return f"{Path(task.source).name}: is done already ({output}); --restart does it again"


def _hint(task: Task) -> Path | None:
    """Where it is written that `task` is done; None for what is no film in a file."""
    source, model = Path(task.source), Path(task.options.model.name)
    stamp = _stamp(source)
    if stamp is None or is_picture(source.name):
        return None
    output = None if task.output is None else os.fsdecode(task.output.absolute())
    told = [
        __version__, os.fsdecode(source.absolute()), stamp, output, task.stem,
        chosen(task.options), _stamp(model),
    ]  # fmt: skip
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    return state_folder() / "done" / f"{digest[:24]}.json"


def _stamp(path: Path) -> Any:
    """What tells whether a file was changed, as JSON; None where there is no such file."""
    try:
        told = path.stat()
    except (OSError, ValueError):
        return None
    return [told.st_size, told.st_mtime_ns] if path.is_file() else None
