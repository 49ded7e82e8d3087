"""The files of a folder or a pattern as tasks: where each result goes, and what is refused."""

from __future__ import annotations

import errno
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import OutputError, OutputExists, UsageError, VsrError, cause
from vsr.events import Note, Sink
from vsr.jobs.outputs.place import refusal
from vsr.jobs.outputs.table import picture_pattern
from vsr.jobs.plan.label import folder_label
from vsr.jobs.plan.scratch import sweep
from vsr.media.format.containers import CONTAINERS
from vsr.media.source.image_list import NumberedName, is_picture, list_files, names_in
from vsr.options import UpscaleOptions

# No file at all can be written there any more.
_LOST = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


@dataclass(frozen=True, kw_only=True)
class Task:
    """One file to do."""

    source: Path | str
    output: Path | None
    options: UpscaleOptions
    stem: str | None = None  # as `plan` takes it
    among: Path | None = None


class FolderTasks:
    """The files of a folder or a pattern, and where their results go."""

    def __init__(
        self,
        source: Path,
        output: Path | None,
        options: UpscaleOptions,
        *,
        alone: bool,
        new: Path | None = None,
    ) -> None:
        """Take `output`, the results' folder or pattern; unless `alone`, the folder of theirs.

        `new`: a folder that is not there yet, and will be.
        """
        self.listing = list_files(source)
        self._options = options
        self._new = new
        self._target = target = _target(source, output, options, alone=alone, new=new)
        # For people, the pattern as they wrote it.
        self._path = target if isinstance(target, Path) else output
        self.folder = target if isinstance(target, Path) else target.folder
        self._made = False

    def tasks(self, names: Sequence[str]) -> Iterator[Task]:
        """Yield one for each of the listing's pictures or films."""
        listing, target = self.listing, self._target
        options, among = self._options, self._path
        alike = Counter(Path(name).stem for name in listing.names)
        for n, name in enumerate(names, start=1):
            source, stem = listing.folder / name, Path(name).stem
            if isinstance(target, Path):
                stem = name if alike[stem] > 1 else stem  # a.bmp and a.tif: two results
                yield Task(source=source, output=target, options=options, stem=stem, among=among)
            else:
                number = listing.pattern.number(name) if listing.pattern is not None else None
                output = target.path(n if number is None else number)
                yield Task(source=source, output=output, options=options, among=among)

    def check(self, is_done: Callable[[Task], bool]) -> None:
        """Refuse what would take the place of a source or of another file, or could not begin."""
        listing, folder, options = self.listing, self.folder, self._options
        numbers = not isinstance(self._target, Path)
        if options.source.fps is not None:
            raise UsageError(
                "<source.fps>: is for a film; pictures that become pictures have no rate"
            )
        if options.source.clips and listing.pictures:
            raise UsageError(f"<source.clips>: are for films; {listing.path} are pictures")
        if numbers and listing.films:
            raise UsageError(f"{self._path}: numbers pictures; {listing.path} holds films too")
        if not folder.is_dir():
            if not folder.absolute().parent.is_dir() and folder.parent != self._new:
                raise OutputError(f"{folder.parent}: there is no such folder")
            return
        results = {_likely_name(task) for task in self.tasks(listing.names)}
        taken = not numbers or not results.isdisjoint(listing.names)
        if taken and folder.samefile(listing.folder):
            raise UsageError(f"{self._path}: results may not take the place of their sources")
        present = results.intersection(names_in(folder)) if not options.encode.overwrite else set()
        done = {_likely_name(t) for t in self.tasks(listing.names) if present and is_done(t)}
        if there := present - done:
            raise OutputExists(
                f"{self._path}: {len(there)} of {len(results)} results are there already; "
                f"use <encode.overwrite>, or another <output>"
            )

    def begin(self, sink: Sink) -> None:
        """Make the folder for the results, and say what is passed over."""
        if self.listing.others:
            text = f"passed over as no picture or film: {self.listing.passed_over}"
            sink(Note(text=f"{self.listing.path.name}: {text}"))
        if not self.folder.is_dir():
            try:
                self.folder.mkdir()
            except OSError as error:
                text = f"{self.folder}: cannot be made ({cause(error)})"
                raise OutputError(text) from error
            self._made = True
        sweep(self.folder)

    def is_lost(self, error: VsrError | None) -> bool:
        """Return whether `error` tells that nothing more can be written into the results'
        folder.
        """
        if not isinstance(error, OutputError) or isinstance(error, OutputExists):
            return False
        if refusal(error) in _LOST:
            return True
        try:
            with tempfile.TemporaryFile(prefix=".vsr-", dir=self.folder) as file:
                file.write(bytes(4096))
        except OSError:
            return True
        return False

    def after(self, task: Task) -> tuple[str, ...]:
        """Return the names of the files that come after it."""
        names = self.listing.names
        return names[names.index(Path(task.source).name) + 1 :]

    def end(self) -> None:
        """Take the folder away again if nothing came into it."""
        if self._made:
            with suppress(OSError):
                self.folder.rmdir()


def _target(
    source: Path, output: Path | None, options: UpscaleOptions, *, alone: bool, new: Path | None
) -> Path | NumberedName:
    """Return where the results of a folder or a pattern go."""
    if alone and output is not None:
        if output.is_dir() or output == new or not (output.exists() or output.suffix):
            return output
        if output.suffix and (pattern := picture_pattern(output)) is not None:
            return pattern
        raise UsageError(f"{output}: is one file; many need a folder, or a pattern as %05d.png")
    folder = (source if source.is_dir() else source.parent).resolve()
    return (output or folder.parent) / f"{folder.name}_{folder_label(options)}"


def _likely_name(task: Task) -> str:
    """Return what the result will be called, by the source's suffix; its content may want
    another.
    """
    source = Path(task.source)
    assert task.output is not None
    if task.stem is None:
        return task.output.name
    if source.suffix.lower() in CONTAINERS:
        return source.name
    return f"{task.stem}{'.png' if is_picture(source.name) else '.mkv'}"
