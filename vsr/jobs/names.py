"""The names of one run's results: each is taken once, and none by what is a source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vsr.errors import UsageError
from vsr.fetch import without_login
from vsr.jobs.tasks import FolderTasks, Task
from vsr.media.containers import STDOUT


class Names:
    """What results of a run are called; one that is the same a second time is refused."""

    def __init__(self, files: Sequence[Task]) -> None:
        """`files`: the run's sources that are named one by one."""
        self._sources = {os.path.realpath(task.source): str(task.source) for task in files}
        self._begun: set[tuple[object, ...]] = set()
        self._taken: dict[str, str] = {}  # real path -> the source that it is the result of
        self._source = ""

    def begin(self, task: Task) -> None:
        """Raises UsageError for what is exactly what an earlier task was."""
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


def check_apart(folders: Sequence[FolderTasks]) -> None:
    """Raises UsageError where the results of two folders or patterns would be mixed."""
    seen: dict[str, Path] = {}
    for folder in folders:
        real = os.path.realpath(folder.folder)
        if real in seen:
            raise UsageError(
                f"{folder.listing.path}: its results would go into {folder.folder}, as those of "
                f"{seen[real]}; do them one by one, each with its own <output>"
            )
        seen[real] = folder.listing.path
