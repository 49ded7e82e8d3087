"""Which files of a batch are done, so that the same command goes on behind them.

Only a hint, beside those of `registry`: it is believed while source and result are what they
were when it was written, and forgotten when the whole batch is done. A film has a file for its own;
pictures are many, and quickly done: those of a folder share a file, with a line for each.
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
from vsr.jobs.plan import Plan
from vsr.jobs.registry import state_folder
from vsr.jobs.store import sealed, unsealed
from vsr.jobs.tasks import Task
from vsr.media.listing import is_picture
from vsr.version import __version__


class Done:
    """The files of one batch that it has done, in this run or in one that was cut short."""

    def __init__(self) -> None:
        self._hints: set[Path] = set()
        self._books: dict[Path, dict[str, Any]] = {}  # of pictures, what is told of each

    def find(self, task: Task) -> Result | None:
        """The result of `task`, where it is there as it was left."""
        told = None if task.options.jobs.restart else self._told(task)
        if told is None:
            return None
        output = Path(told["output"])
        if _stamp(output) != told["stamp"]:
            return None
        size = {name: told[name] for name in ("frames", "width", "height")}
        notes = () if _is_picture(task) else (_text(task, output),)
        return Result(output=output, seconds=0.0, notes=notes, **size)

    def again(self, task: Task, sink: Sink) -> Result | None:
        """As `find`, and says so of a film."""
        result = self.find(task)
        if result is not None:
            for note in result.notes:
                sink(Note(text=note))
        return result

    def expect(self, task: Task, job: Plan, complete: Path, frames: int) -> None:
        """Remember the result that is about to get its name, if that can be written down.

        Before it has it: killed in between, the next run would find it in the way.
        """
        hint = _hint(task)
        if hint is None:
            return
        told = {
            "output": os.fsdecode(job.output),
            "stamp": _stamp(complete),
            "frames": frames,
            "width": job.target.width,
            "height": job.target.height,
        }
        with suppress(OSError):
            hint.parent.mkdir(parents=True, exist_ok=True)
            if _is_picture(task):
                disk.append(hint, json.dumps([_key(task), told]))
                self._books.setdefault(hint, {})[_key(task)] = told
            else:
                disk.write(hint, sealed(told))
                self._hints.add(hint)

    def forget(self) -> None:
        """All is done: the same command would mean it anew."""
        for hint in (*self._hints, *self._books):
            with suppress(OSError):
                disk.remove(hint)

    def _told(self, task: Task) -> dict[str, Any] | None:
        hint = _hint(task)
        if hint is None:
            return None
        if _is_picture(task):
            if hint not in self._books:
                self._books[hint] = _read(hint)
            found: dict[str, Any] | None = self._books[hint].get(_key(task))
            return found
        told = unsealed(hint)
        if told is not None:
            self._hints.add(hint)
        return told


def _read(book: Path) -> dict[str, Any]:
    """What its lines tell of each picture; of one that was done again, the last."""
    found = {}
    with suppress(OSError):
        for line in book.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, TypeError):  # torn by a kill
                key, told = json.loads(line)
                found[key] = told
    return found


def _text(task: Task, output: Path) -> str:
    return f"{Path(task.source).name}: is done already ({output}); --restart does it again"


def _is_picture(task: Task) -> bool:
    return is_picture(Path(task.source).name)


def _key(task: Task) -> str:
    """What tells a picture from the others of its folder, and from itself when it was another."""
    source = Path(task.source)
    return json.dumps([os.fsdecode(source.name), _stamp(source), _name_of(task.output), task.stem])


def _hint(task: Task) -> Path | None:
    """Where it is written that `task` is done; None for what is not in a file."""
    source, model = Path(task.source), Path(task.options.model.name)
    stamp = _stamp(source)
    if stamp is None:
        return None
    told: list[Any] = [__version__, chosen(task.options), _stamp(model)]
    if _is_picture(task):
        told += [_name_of(source.parent), _name_of(task.among or task.output)]
    else:
        told += [_name_of(source), stamp, _name_of(task.output), task.stem]
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    return state_folder() / "done" / f"{digest[:24]}.json"


def _name_of(path: Path | None) -> str | None:
    return None if path is None else os.fsdecode(path.absolute())


def _stamp(path: Path) -> Any:
    """What tells whether a file was changed, as JSON; None where there is no such file."""
    try:
        told = path.stat()
    except (OSError, ValueError):
        return None
    return [told.st_size, told.st_mtime_ns] if path.is_file() else None
