"""Many files, one after the other: folders, numbered pictures, several films."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vsr.engine.engines import Engines
from vsr.errors import ModelError, OutputError, OutputExists, UsageError, VsrError
from vsr.events import Note, Pictures, Sink, silent
from vsr.jobs.film import Result, upscale_one
from vsr.jobs.plan import folder_label, picture_pattern
from vsr.media.containers import CONTAINERS, container_of
from vsr.media.folder import Listing, Numbered, is_many, is_picture, list_files, names_in
from vsr.options import UpscaleOptions


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file: a result, or the error that it failed with."""

    source: Path
    result: Result | None = None
    error: VsrError | None = None
    among: Path | None = None  # the folder or pattern of the results that this is one of


@dataclass(frozen=True, kw_only=True)
class _Task:
    source: Path
    output: Path | None
    stem: str | None = None  # as `plan` takes it
    among: Path | None = None


class Batch:
    """Several sources, each done on its own, with networks that are loaded once.

    A source is a film, a picture, a folder of them or a pattern such as `shots/%05d.png`.
    `output` for one source: as for `upscale`; for a folder or pattern also None (a folder
    beside it), a folder, which is made if need be, or a pattern. For several sources: None
    or a folder that is there. Files out of a folder keep their names in another; those of a
    pattern keep their numbers. Raises the errors of `vsr.errors` for what cannot be begun.
    """

    def __init__(
        self,
        sources: Sequence[Path | str],
        output: Path | str | None = None,
        options: UpscaleOptions | None = None,
    ) -> None:
        self._options = options or UpscaleOptions()
        paths = [Path(source) for source in sources]
        into = Path(output) if output is not None else None
        if len(paths) > 1 and into is not None and not into.is_dir():
            raise UsageError(f"{into}: several films need a folder that is there")
        self._folders: list[_Folder] = []
        self._files: list[_Task] = []
        for path in paths:
            if is_many(path) and not _is_film(into):
                target = _target(path, into, self._options, alone=len(paths) == 1)
                folder = _Folder(list_files(path), target, into)
                folder.check(self._options)
                self._folders.append(folder)
            else:
                self._files.append(_Task(source=path, output=into))
        listings = [folder.listing for folder in self._folders]
        self.pictures = sum(is_picture(task.source.name) for task in self._files)
        self.pictures += sum(len(listing.pictures) for listing in listings)
        self.total = len(self._files) + sum(len(listing.names) for listing in listings)

    def run(self, sink: Sink = silent) -> Iterator[Outcome]:
        """Do one after the other, pictures first; one that fails does not stop the others.

        Raises ModelError, which would be the same for all. Results for one folder end with
        the first that cannot be written there.
        """
        engines, done = Engines(), 0
        for folder in self._folders:
            folder.begin(sink)
        try:
            if self.pictures > 1:
                sink(Pictures(done=0, total=self.pictures))
            for task in self._tasks():
                outcome = self._one(task, engines, sink)
                if done < self.pictures > 1:
                    done += 1
                    sink(Pictures(done=done, total=self.pictures))
                yield outcome
                if task.among is not None and _is_fatal(outcome.error):
                    return
        finally:
            for folder in self._folders:
                folder.end()

    def _tasks(self) -> Iterator[_Task]:
        for folder in self._folders:
            yield from folder.tasks(folder.listing.pictures)
        yield from (task for task in self._files if is_picture(task.source.name))
        yield from (task for task in self._files if not is_picture(task.source.name))
        for folder in self._folders:
            yield from folder.tasks(folder.listing.films)

    def _one(self, task: _Task, engines: Engines, sink: Sink) -> Outcome:
        try:
            result = upscale_one(
                task.source, task.output, self._options, engines, stem=task.stem, sink=sink
            )
        except ModelError:
            raise
        except VsrError as error:
            return Outcome(source=task.source, error=error, among=task.among)
        return Outcome(source=task.source, result=result, among=task.among)


def _is_fatal(error: VsrError | None) -> bool:
    return isinstance(error, OutputError) and not isinstance(error, OutputExists)


def _is_film(output: Path | None) -> bool:
    """Whether an output is one film, of all that a folder or a pattern holds."""
    if output is None or output.is_dir() or not output.suffix:
        return False
    return container_of(output).pictures is None and picture_pattern(output) is None


def _target(
    source: Path, output: Path | None, options: UpscaleOptions, *, alone: bool
) -> Path | Numbered:
    """Where the results of a folder or a pattern go."""
    if alone and output is not None:
        if output.is_dir() or not (output.exists() or output.suffix):
            return output
        if output.suffix and (pattern := picture_pattern(output)) is not None:
            return pattern
        raise UsageError(f"{output}: is one file; many need a folder, or a pattern as %05d.png")
    folder = (source if source.is_dir() else source.parent).resolve()
    return (output or folder.parent) / f"{folder.name}_{folder_label(options)}"


class _Folder:
    """The files of a folder or a pattern, and where their results go."""

    def __init__(self, listing: Listing, target: Path | Numbered, named: Path | None) -> None:
        self.listing = listing
        self._target = target
        # For people, the pattern as they wrote it.
        self._path = target if isinstance(target, Path) else named
        self._folder = target if isinstance(target, Path) else target.folder
        self._made = False

    def tasks(self, names: Sequence[str]) -> Iterator[_Task]:
        """One for each of the listing's pictures or films."""
        listing, target, among = self.listing, self._target, self._path
        alike = Counter(Path(name).stem for name in listing.names)
        for n, name in enumerate(names, start=1):
            source, stem = listing.folder / name, Path(name).stem
            if isinstance(target, Path):
                stem = name if alike[stem] > 1 else stem  # a.bmp and a.tif: two results
                yield _Task(source=source, output=target, stem=stem, among=among)
            else:
                number = listing.pattern.number(name) if listing.pattern is not None else None
                output = target.path(n if number is None else number)
                yield _Task(source=source, output=output, among=among)

    def check(self, options: UpscaleOptions) -> None:
        """Refuse what would take the place of a source or of another file, or could not begin."""
        listing, folder = self.listing, self._folder
        numbers = not isinstance(self._target, Path)
        if options.source.fps is not None:
            raise UsageError("--fps: is for a film; pictures that become pictures have no rate")
        if numbers and listing.films:
            raise UsageError(f"{self._path}: numbers pictures; {listing.path} holds films too")
        if not folder.is_dir():
            if not folder.absolute().parent.is_dir():
                raise OutputError(f"{folder.parent}: there is no such folder")
            return
        results = {_likely_name(task) for task in self.tasks(listing.names)}
        taken = not numbers or not results.isdisjoint(listing.names)
        if taken and folder.samefile(listing.folder):
            raise UsageError(f"{self._path}: results may not take the place of their sources")
        if not options.encode.overwrite and (there := results.intersection(names_in(folder))):
            raise OutputExists(
                f"{self._path}: {len(there)} of {len(results)} results are there already; "
                f"use --overwrite, or another -o"
            )

    def begin(self, sink: Sink) -> None:
        """Make the folder for the results, and say what is passed over."""
        if self.listing.others:
            text = f"passed over as no picture or film: {self.listing.others}"
            sink(Note(text=f"{self.listing.path.name}: {text}"))
        if not self._folder.is_dir():
            try:
                self._folder.mkdir()
            except OSError as error:
                text = f"{self._folder}: cannot be made ({error.strerror})"
                raise OutputError(text) from error
            self._made = True

    def end(self) -> None:
        """Take the folder away again if nothing came into it."""
        if self._made:
            with suppress(OSError):
                self._folder.rmdir()


def _likely_name(task: _Task) -> str:
    """What the result will be called, by the source's suffix; its content may want another."""
    assert task.output is not None
    if task.stem is None:
        return task.output.name
    if task.source.suffix.lower() in CONTAINERS:
        return task.source.name
    return f"{task.stem}{'.png' if is_picture(task.source.name) else '.mkv'}"
