"""Many files, one after the other: folders, numbered pictures, several films."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vsr.engine.cache import EngineCache
from vsr.errors import (
    DeviceLost,
    Interrupted,
    ModelError,
    OutputError,
    Stopped,
    UsageError,
    VsrError,
)
from vsr.events import BatchProgress, Note, Sink, silent
from vsr.jobs.batch.completed import CompletedFiles
from vsr.jobs.batch.output_names import OutputNames, check_apart, own_results
from vsr.jobs.batch.tasks import FolderTasks, Task
from vsr.jobs.outputs.table import output_of
from vsr.jobs.plan.scratch import made
from vsr.jobs.run.context import Hooks, Runner, ignore, never
from vsr.jobs.run.upscale import Result, upscale_one
from vsr.jobs.store.object_store import ObjectOutput
from vsr.media.format.containers import STDOUT
from vsr.media.source.image_list import is_many, is_picture
from vsr.media.source.local_name import STDIN, comes_once, local_output, local_source, names_folder
from vsr.media.source.remote import is_address
from vsr.media.write.provenance import is_result
from vsr.objects import is_object
from vsr.options import EncodeOptions, UpscaleOptions
from vsr.options.table import renamed


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file: a result, or the error that it failed with."""

    source: Path | str
    result: Result | None = None
    error: VsrError | None = None
    among: Path | None = None  # the folder or pattern of the results that this is one of
    untried: tuple[str, ...] = ()  # files that were not begun, for the same error
    is_skipped: bool = False  # it is a result of vsr's itself, among other sources


class Batch:
    """Several sources, each done on its own, with networks that are loaded once.

    A source is what `upscale` takes, a folder or a pattern such as `shots/%05d.png`.
    `output` for one source: as for `upscale`; for a folder or pattern also None (a folder
    beside it), a folder, which is made if need be, or a pattern. For several sources: None
    or a folder, made if need be. Files out of a folder keep their names in another; those of a
    pattern keep their numbers. `separate`: a result for each clip of a film (`apart` is its
    former name). Raises the errors of `vsr.errors` for what cannot be begun.
    """

    def __init__(
        self,
        sources: Sequence[Path | str],
        output: Path | str | None = None,
        options: UpscaleOptions | None = None,
        *,
        separate: bool = False,
        apart: bool | None = None,
    ) -> None:
        if apart is not None:
            renamed("apart", "separate", 2)
            separate = apart
        options = options or UpscaleOptions()
        self._remote = None
        if is_object(output):
            if len(sources) > 1 or separate:
                raise UsageError(f"{output}: takes one film")
            self._remote = ObjectOutput(str(output))
            output = self._remote.path
        into = local_output(output) if output is not None else None
        several = len(sources) > 1
        self._into = into if _is_folder(into, output, several=several) else None
        if several and into is not None and self._into is None:
            raise UsageError(f"{into}: several films need a folder; name one with <output>")
        self._folders: list[FolderTasks] = []
        self._files: list[Task] = []
        self._own: list[Task] = []  # results of vsr's among the sources
        self._done = CompletedFiles()
        for source in sources:
            address = isinstance(source, str) and is_address(source)
            path = None if address else local_source(source)
            if path is not None and (path == STDIN or comes_once(path)):
                if separate:
                    shown = "standard input" if path == STDIN else path
                    raise UsageError(
                        f"<separate>: {shown} comes only once; give one <source.clips> of it"
                    )
                path = None
            if path is None or not is_many(path) or _is_film(into, self._into):
                for name, chosen in _results(into, options, separate=separate, folder=self._into):
                    self._files.append(Task(source=source, output=name, options=chosen))
                continue
            if separate:
                raise UsageError(f"<separate>: {path} holds many files; name each film by itself")
            folder = FolderTasks(path, into, options, alone=not several, new=self._into)
            folder.check(lambda task: self._done.find(task) is not None)
            self._folders.append(folder)
        check_apart(self._folders)
        listings = [folder.listing for folder in self._folders]
        self.pictures = sum(is_picture(str(task.source)) for task in self._files)
        self.pictures += sum(len(listing.pictures) for listing in listings)
        self.total = len(self._files) + sum(len(listing.names) for listing in listings)

    @property
    def address(self) -> str | None:
        """The address of the result, if that is an object and no file."""
        return self._remote.address if self._remote is not None else None

    def run(
        self,
        sink: Sink = silent,
        *,
        stop: Callable[[], bool] = never,
        runner: Runner | None = None,
    ) -> Iterator[Outcome]:
        """Do one after the other, pictures first; one that fails does not stop the others.

        `stop`, `runner`: as for `upscale`. Raises Stopped, Interrupted, and what would be the same
        for all: ModelError, and DeviceLost, after which this process cannot go on. Results for a
        folder that cannot be written to, or is full, end there. No two results of a run have one
        name: the later one is refused. Results of vsr's, that a pattern such as *.mkv found among
        the sources, are skipped.
        """
        with made(self._into or Path(), wanted=self._into is not None):
            yield from self._each(Hooks(sink=sink, stop=stop, runner=runner, remote=self._remote))

    def _each(self, hooks: Hooks) -> Iterator[Outcome]:
        self._own = own_results(self._files) if self.total > 1 else []
        sources = [task for task in self._files if task not in self._own]
        sink, engines = hooks.sink, EngineCache()
        names, done, failed = OutputNames(sources), 0, False
        ended: set[int] = set()  # folders that no more is written to
        try:
            for folder in self._folders:
                try:
                    folder.begin(sink)
                except OutputError as error:
                    ended.add(id(folder))
                    done += len(folder.listing.pictures)
                    none, failed = folder.listing, True
                    yield Outcome(source=none.path, error=error, untried=none.names)
            if self.total > 1:
                self._tell_of_done(sink)
            if self.pictures > 1:
                sink(BatchProgress(done=0, total=self.pictures))
            for among, task in self._tasks():
                if id(among) in ended:
                    continue
                if hooks.stop():
                    raise Stopped("stopped")
                outcome = self._one(task, names, engines, hooks)
                if among is not None and among.is_lost(outcome.error):
                    ended.add(id(among))
                    untried = among.after(task)
                    outcome = dataclasses.replace(outcome, untried=untried)
                    done += sum(map(is_picture, untried))
                if is_picture(str(task.source)):
                    done += 1
                    if self.pictures > 1:
                        sink(BatchProgress(done=done, total=self.pictures))
                failed = failed or outcome.error is not None
                yield outcome
            if not failed:
                self._done.forget()
        finally:
            for folder in self._folders:
                folder.end()

    def _tasks(self) -> Iterator[tuple[FolderTasks | None, Task]]:
        for folder in self._folders:
            yield from ((folder, task) for task in folder.tasks(folder.listing.pictures))
        yield from ((None, task) for task in self._files if is_picture(str(task.source)))
        yield from ((None, task) for task in self._files if not is_picture(str(task.source)))
        for folder in self._folders:
            yield from ((folder, task) for task in folder.tasks(folder.listing.films))

    def _is_own(self, task: Task) -> bool:
        """Return whether `task` would be done on a result of vsr's, which a pattern has found."""
        if task.among is None or self.total == 1:
            return task in self._own
        source = Path(task.source)
        return not is_picture(source.name) and is_result(source)

    def _tell_of_done(self, sink: Sink) -> None:
        """Say once how many pictures, of which there may be thousands, are done already."""
        tasks = (task for _, task in self._tasks() if is_picture(str(task.source)))
        if there := sum(self._done.find(task) is not None for task in tasks):
            text = f"{there} of {self.pictures} pictures are done already"
            sink(Note(text=f"{text}; <jobs.restart> <encode.overwrite> does them again"))

    def _one(self, task: Task, names: OutputNames, engines: EngineCache, hooks: Hooks) -> Outcome:
        if self._is_own(task):
            name = Path(task.source).name
            hooks.sink(Note(text=f"{name}: was made by vsr, and is skipped; alone, it is done"))
            return Outcome(source=task.source, among=task.among, is_skipped=True)
        ready = partial(self._done.expect, task) if self.total > 1 else ignore
        try:
            names.begin(task)
            if self.total > 1 and (result := self._done.again(task, hooks.sink)) is not None:
                names.claim(result.output)
                return Outcome(source=task.source, result=result, among=task.among)
            result = upscale_one(
                task.source,
                task.output,
                task.options,
                engines,
                dataclasses.replace(hooks, claim=names.claim, ready=ready),
                stem=task.stem,
            )
        except (DeviceLost, Interrupted, ModelError, Stopped):
            raise
        except VsrError as error:
            return Outcome(source=task.source, error=error, among=task.among)
        return Outcome(source=task.source, result=result, among=task.among)


def _is_folder(into: Path | None, output: Path | str | None, *, several: bool) -> bool:
    """Return whether results go into the folder `into`, named as `output`; it may have to be
    made.
    """
    if into is None or into == STDOUT:
        return False
    named_so = names_folder(output) or (several and not into.suffix)
    return into.is_dir() or (named_so and not into.exists())


def _results(
    output: Path | None, options: UpscaleOptions, *, separate: bool, folder: Path | None
) -> Iterator[tuple[Path | None, UpscaleOptions]]:
    """Yield what is made of each film: its name and options."""
    if not separate:
        yield output, options
        return
    if not options.source.clips:
        raise UsageError("<separate>: needs at least one <source.clips>")
    if output == STDOUT:
        raise UsageError("<separate>: standard output takes one film; name files with <output>")
    if output is None or folder is not None:  # each result is named after its part
        labels = Counter(map(str, options.source.clips))
        label, count = labels.most_common(1)[0]
        if count > 1:
            raise UsageError(
                f"<separate>: <source.clips> {label} is given {count} times; "
                f"name them with <output>"
            )
    for number, clip in enumerate(options.source.clips, start=1):
        source = dataclasses.replace(options.source, clips=(clip,))
        name = output
        if output is not None and folder is None:
            name = output.with_stem(f"{output.stem}_{number}")
        yield name, dataclasses.replace(options, source=source)


def _is_film(output: Path | None, folder: Path | None) -> bool:
    """Return whether an output is one film, of all that a folder or a pattern holds."""
    if output == STDOUT:
        return True
    if output is None or folder is not None or not output.suffix:
        return False
    result = output_of(output, EncodeOptions())
    return not (result.is_one_picture or result.is_sequence)
