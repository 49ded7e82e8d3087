"""The names of one run's results: each is taken once, and none by what is a source."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from vsr.errors import UsageError, VsrError
from vsr.fetch import without_login
from vsr.jobs.batch.tasks import FolderTasks, Task
from vsr.jobs.plan.label import folder_label
from vsr.media.format.containers import CONTAINERS, STDOUT
from vsr.media.source.remote import is_address
from vsr.media.write.provenance import is_result


class OutputNames:
    """What results of a run are called; one that is the same a second time is refused."""

    def __init__(self, files: Sequence[Task]) -> None:
        """Take `files`, the run's sources that are named one by one."""
        self._sources = {os.path.realpath(task.source): str(task.source) for task in files}
        self._begun: set[tuple[object, ...]] = set()
        self._taken: dict[str, str] = {}  # real path -> the source that it is the result of
        self._source = ""

    def begin(self, task: Task) -> None:
        """Begin a task. Raises UsageError for what is exactly what an earlier task was."""
        same = (str(task.source), task.output, task.options)
        self._source = without_login(str(task.source))
        if same in self._begun:
            raise UsageError(f"{self._source}: is named twice; its result has one name")
        self._begun.add(same)

    def claim(self, output: Path) -> None:
        """Take the name of the present task's result. Raises UsageError if it is taken."""
        if output == STDOUT:
            return
        real = os.path.realpath(output)
        if real in self._taken:
            raise UsageError(
                f"{self._source}: its result would replace {output}, which is made of "
                f"{self._taken[real]} in this run; name it apart"
            )
        if real in self._sources and len(self._sources) > 1:
            raise UsageError(
                f"{self._source}: its result would replace {output}, a source of this run"
            )
        self._taken[real] = self._source


def own_results(files: Sequence[Task]) -> list[Task]:
    """Return those of the sources that vsr made: they say so, or are called as another one's
    result.

    A name is no proof. So it counts only where it would be the whole reason to fail, and not where
    the other one's result were to replace it: that is refused.
    """
    local = [task for task in files if not is_address(str(task.source))]
    expected = {place for task in local for place in _expected(task)}
    own = []
    for task in local:
        source = Path(task.source)
        if source.is_file() and (
            _place(source.parent, source.stem) in expected
            or (source.suffix.lower() in CONTAINERS and is_result(source))
        ):
            own.append(task)
    return own


def _expected(task: Task) -> Iterator[tuple[str, str]]:
    """Yield where the result will lie, and its name without the suffix, if that is made up."""
    source = Path(task.source)
    free = not task.options.encode.overwrite
    if free and (task.output is None or task.output.is_dir()):
        with suppress(VsrError):  # a model that is not there is told of later
            labels = (folder_label(task.options), *map(str, task.options.source.clips))
            yield _place(task.output or source.parent, "_".join((source.stem, *labels)))


def _place(folder: Path, stem: str) -> tuple[str, str]:
    return os.path.realpath(folder), stem


def check_apart(folders: Sequence[FolderTasks]) -> None:
    """Check that the results of two folders or patterns do not mix. Raises UsageError."""
    seen: dict[str, Path] = {}
    for folder in folders:
        real = os.path.realpath(folder.folder)
        if real in seen:
            raise UsageError(
                f"{folder.listing.path}: its results would go into {folder.folder}, as those of "
                f"{seen[real]}; do them one by one, each with its own <output>"
            )
        seen[real] = folder.listing.path
