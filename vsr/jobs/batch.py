"""Many files, one after the other: folders, numbered pictures, several films."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsr.engine.engines import Engines
from vsr.errors import ModelError, OutputError, OutputExists, Stopped, UsageError, VsrError
from vsr.events import Pictures, Sink, silent
from vsr.jobs.film import Result, upscale_one
from vsr.jobs.intake import STDIN
from vsr.jobs.plan import picture_pattern
from vsr.jobs.tasks import FolderTasks, Task
from vsr.jobs.write import Runner, here, never
from vsr.media.containers import STDOUT, container_of
from vsr.media.listing import is_many, is_picture
from vsr.media.remote import is_address
from vsr.options import UpscaleOptions


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file: a result, or the error that it failed with."""

    source: Path | str
    result: Result | None = None
    error: VsrError | None = None
    among: Path | None = None  # the folder or pattern of the results that this is one of


class Batch:
    """Several sources, each done on its own, with networks that are loaded once.

    A source is what `upscale` takes, a folder or a pattern such as `shots/%05d.png`.
    `output` for one source: as for `upscale`; for a folder or pattern also None (a folder
    beside it), a folder, which is made if need be, or a pattern. For several sources: None
    or a folder that is there. Files out of a folder keep their names in another; those of a
    pattern keep their numbers. `apart`: a result for each clip of a film. Raises the errors
    of `vsr.errors` for what cannot be begun.
    """

    def __init__(
        self,
        sources: Sequence[Path | str],
        output: Path | str | None = None,
        options: UpscaleOptions | None = None,
        *,
        apart: bool = False,
    ) -> None:
        options = options or UpscaleOptions()
        into = Path(output) if output is not None else None
        if len(sources) > 1 and into is not None and not into.is_dir():
            raise UsageError(f"{into}: several films need a folder that is there")
        self._folders: list[FolderTasks] = []
        self._files: list[Task] = []
        for source in sources:
            path = None if _comes_from_elsewhere(source) else Path(source)
            if path is None or not is_many(path) or _is_film(into):
                for name, chosen in _parts(into, options, apart):
                    self._files.append(Task(source=source, output=name, options=chosen))
                continue
            if apart:
                raise UsageError(f"--apart: {path} holds many files; name each film by itself")
            folder = FolderTasks(path, into, options, alone=len(sources) == 1)
            folder.check()
            self._folders.append(folder)
        listings = [folder.listing for folder in self._folders]
        self.pictures = sum(is_picture(str(task.source)) for task in self._files)
        self.pictures += sum(len(listing.pictures) for listing in listings)
        self.total = len(self._files) + sum(len(listing.names) for listing in listings)

    def run(
        self, sink: Sink = silent, *, stop: Callable[[], bool] = never, runner: Runner = here
    ) -> Iterator[Outcome]:
        """Do one after the other, pictures first; one that fails does not stop the others.

        `stop`, `runner`: as for `upscale`. Raises Stopped, and ModelError, which would be the
        same for all. Results for one folder end with the first that cannot be written there.
        """
        engines, done = Engines(), 0
        for folder in self._folders:
            folder.begin(sink)
        try:
            if self.pictures > 1:
                sink(Pictures(done=0, total=self.pictures))
            for task in self._tasks():
                outcome = self._one(task, engines, sink, stop=stop, runner=runner)
                if done < self.pictures > 1:
                    done += 1
                    sink(Pictures(done=done, total=self.pictures))
                yield outcome
                if task.among is not None and _is_fatal(outcome.error):
                    return
        finally:
            for folder in self._folders:
                folder.end()

    def _tasks(self) -> Iterator[Task]:
        for folder in self._folders:
            yield from folder.tasks(folder.listing.pictures)
        yield from (task for task in self._files if is_picture(str(task.source)))
        yield from (task for task in self._files if not is_picture(str(task.source)))
        for folder in self._folders:
            yield from folder.tasks(folder.listing.films)

    def _one(
        self,
        task: Task,
        engines: Engines,
        sink: Sink,
        *,
        stop: Callable[[], bool],
        runner: Runner,
    ) -> Outcome:
        try:
            result = upscale_one(
                task.source,
                task.output,
                task.options,
                engines,
                stem=task.stem,
                sink=sink,
                stop=stop,
                runner=runner,
            )
        except (ModelError, Stopped):
            raise
        except VsrError as error:
            return Outcome(source=task.source, error=error, among=task.among)
        return Outcome(source=task.source, result=result, among=task.among)


def _comes_from_elsewhere(source: Path | str) -> bool:
    return Path(source) == STDIN or (isinstance(source, str) and is_address(source))


def _parts(
    output: Path | None, options: UpscaleOptions, apart: bool
) -> Iterator[tuple[Path | None, UpscaleOptions]]:
    """What is made of each film: its name and options."""
    if not apart:
        yield output, options
        return
    if not options.source.clips:
        raise UsageError("--apart: needs at least one --clip")
    for number, clip in enumerate(options.source.clips, start=1):
        source = dataclasses.replace(options.source, clips=(clip,))
        name = output
        if output is not None and not output.is_dir():
            name = output.with_stem(f"{output.stem}_{number}")
        yield name, dataclasses.replace(options, source=source)


def _is_fatal(error: VsrError | None) -> bool:
    return isinstance(error, OutputError) and not isinstance(error, OutputExists)


def _is_film(output: Path | None) -> bool:
    """Whether an output is one film, of all that a folder or a pattern holds."""
    if output == STDOUT:
        return True
    if output is None or output.is_dir() or not output.suffix:
        return False
    return container_of(output).pictures is None and picture_pattern(output) is None
