"""Which files of a batch are done, so that the same command goes on behind them.

Only a hint, beside those of `registry`: it is believed while source and result are what they
were when it was written, and forgotten when the whole batch is done. A film has a file for its own;
pictures are many, and quickly done: those of a folder share a book, with a line for each.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr.errors import VsrError
from vsr.events import Note, Sink
from vsr.jobs.batch.tasks import Task
from vsr.jobs.plan.plan import Plan
from vsr.jobs.run.fingerprint import chosen
from vsr.jobs.run.upscale import Result
from vsr.jobs.store import atomic_write
from vsr.jobs.store.job_store import JobStore, folder_of, forget, holder, sealed, unsealed
from vsr.jobs.store.registry import state_folder
from vsr.media.source.image_list import is_picture
from vsr.version import __version__

_FIELDS = ("output", "file", "stamp", "frames", "width", "height")


class CompletedFiles:
    """The files of one batch that it has done, in this run or in one that was cut short."""

    def __init__(self) -> None:
        self._hints: set[Path] = set()
        self._books: dict[Path, dict[str, Any]] = {}  # what is told of each picture
        self._ours: set[str] = set()  # of those, what this batch has to do with
        self._places: dict[tuple[int, Path, Path | None], Path] = {}

    def find(self, task: Task) -> Result | None:
        """Return the result of `task`, where it is there as it was left."""
        entry = None if task.options.jobs.restart else self._entry(task)
        if entry is None or _stamp(Path(entry["file"])) != entry["stamp"]:
            return None
        output = Path(entry["output"])
        size = {name: entry[name] for name in ("frames", "width", "height")}
        notes = () if _is_picture(task) else (_text(task, output),)
        return Result(output=output, seconds=0.0, notes=notes, **size)

    def again(self, task: Task, sink: Sink) -> Result | None:
        """Find a result as `find`, and say so of a film."""
        result = self.find(task)
        if result is not None:
            _tidy(result.output)
            for note in result.notes:
                sink(Note(text=note))
        return result

    def expect(self, task: Task, plan: Plan, complete: Path, frames: int) -> None:
        """Remember the result that is about to get its name, if that can be written down.

        Before it has it: killed in between, the next run would find it in the way. Of many
        pictures it is told when they have theirs, and `complete` is the last.
        """
        hint = self._place(task)
        if hint is None:
            return
        entry: dict[str, Any] = {
            "output": _name_of(plan.output.path),
            "file": _name_of(complete if plan.output.is_sequence else plan.output.path),
            "stamp": _stamp(complete),
            "frames": frames,
            "width": plan.target.width,
            "height": plan.target.height,
        }
        with suppress(OSError):
            hint.parent.mkdir(parents=True, exist_ok=True)
            if _is_picture(task):
                atomic_write.append(hint, _line(key := _key(task), entry))
                self._books.setdefault(hint, {})[key] = entry
                self._ours.add(key)
            else:
                atomic_write.write(hint, sealed(entry))
                self._hints.add(hint)

    def forget(self) -> None:
        """Forget the list when all is done: the same command would mean it anew."""
        for hint in self._hints:
            with suppress(OSError):
                atomic_write.remove(hint)
        for book in self._books:
            others = {k: entry for k, entry in _read(book).items() if k not in self._ours}
            with suppress(OSError):
                if others:
                    atomic_write.write(book, "\n".join(_line(*entry) for entry in others.items()))
                else:
                    atomic_write.remove(book)

    def _entry(self, task: Task) -> dict[str, Any] | None:
        hint = self._place(task)
        if hint is None:
            return None
        if _is_picture(task):
            if hint not in self._books:
                self._books[hint] = _read(hint)
            self._ours.add(key := _key(task))
            entry: dict[str, Any] | None = self._books[hint].get(key)
            return entry
        entry = unsealed(hint)
        if entry is None or not entry.keys() >= set(_FIELDS):
            return None
        self._hints.add(hint)
        return entry

    def _place(self, task: Task) -> Path | None:
        """Return where it is written that `task` is done; None for what is not in a file."""
        source = Path(task.source)
        stamp = _source_stamp(source)
        if stamp is None:
            return None
        if not _is_picture(task):
            return _hint(task, [_name_of(source), stamp, _name_of(task.output), task.stem])
        # Of thousands of pictures it is one.
        into = task.among or task.output
        which = id(task.options), source.parent, into
        if which not in self._places:
            self._places[which] = _hint(task, [_name_of(source.parent), _name_of(into)])
        return self._places[which]


def _hint(task: Task, which: list[Any]) -> Path:
    weights = [_stamp(Path(step.name)) for step in task.options.model.steps]
    batch = [__version__, chosen(task.options), *weights, *which]
    digest = hashlib.sha256(json.dumps(batch).encode()).hexdigest()
    return state_folder() / "done" / f"{digest[:24]}.json"


def _tidy(output: Path) -> None:
    """Remove what a kill between a result's name and the end of its job has left."""
    store = folder_of(output)
    with suppress(OSError, VsrError):
        if store.is_dir() and holder(store) is None:
            with JobStore(store) as held:
                if held.result_at(output) is not None:
                    held.remove()
            forget(store)


def _read(book: Path) -> dict[str, Any]:
    """Return what its lines tell of each picture; of one that was done again, the last."""
    entries = {}
    with suppress(OSError):
        for line in book.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, TypeError, AttributeError):  # torn by a kill, or not ours
                key, entry = json.loads(line)
                if entry.keys() >= set(_FIELDS):
                    entries[key] = entry
    return entries


def _line(key: str, entry: dict[str, Any]) -> str:
    return json.dumps([key, entry])


def _text(task: Task, output: Path) -> str:
    done = f"{Path(task.source).name}: is done already ({output})"
    return f"{done}; <jobs.restart> <encode.overwrite> does it again"


def _is_picture(task: Task) -> bool:
    return is_picture(Path(task.source).name)


def _key(task: Task) -> str:
    """Return what tells a picture from the others of its folder, and from itself when it was
    another.
    """
    source = Path(task.source)
    which = [os.fsdecode(source.name), _source_stamp(source), _name_of(task.output), task.stem]
    return json.dumps(which)


def _name_of(path: Path | None) -> str | None:
    return None if path is None else os.fsdecode(path.absolute())


def _source_stamp(path: Path) -> Any:
    """Return `_stamp`, and which file it is: others may have come to its name with their times."""
    return _stamp(path, which=True)


def _stamp(path: Path, *, which: bool = False) -> Any:
    """Return what tells whether a file was changed, as JSON; None where there is no such file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return [status.st_size, status.st_mtime_ns, *([status.st_ino] if which else [])]
