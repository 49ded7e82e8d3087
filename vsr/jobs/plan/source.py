"""What can be named as a source besides a file: an address, standard input, a file that grows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vsr.errors import InputError, OutputError, UsageError, cause
from vsr.events import Note, Sink
from vsr.jobs.plan.plan import check_named
from vsr.jobs.plan.scratch import WorkFolder
from vsr.media.format.containers import STDOUT
from vsr.media.source.local_name import STDIN, comes_once, local_source, opened
from vsr.media.source.pipe import Pipe, growing, incoming
from vsr.media.source.remote import WantedSeconds, is_address, record
from vsr.object_copies import cached, kept
from vsr.objects import ObjectsFailed, is_object
from vsr.options import Clip, SourceOptions, UpscaleOptions

_NAMES = {True: Path("stdin"), False: Path("pipe")}  # no suffix, which could mean something
_HEAD = 16  # bytes that tell the kind of file
_GLANCE = Fraction(5)  # seconds of a live source, to look at
# Kinds of file whose beginning does not tell all, by their first bytes: MP4, WebP, pictures.
_SEEKING = ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (8, b"WEBP"), (0, b"\x89PNG"),
            (0, b"\xff\xd8\xff"), (0, b"GIF8"))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OpenedSource:
    """A source that can be opened."""

    path: Path
    pipe: Pipe | None = None  # where its bytes come from, if not from the file
    output: Path | None  # where the result goes, if that was not said
    lasting: bool = True  # whether it will be there for another run
    address: str | None = None  # of the object that it is a copy of


@contextmanager
def intake(
    source: Path | str,
    output: Path | None,
    options: UpscaleOptions,
    *,
    probing: bool = False,
    sink: Sink,
) -> Iterator[OpenedSource]:
    """Make `source` something that can be opened, for as long as the context lasts.

    `probing`: it is only looked at, and nothing is written near the output.
    Raises InputError, OutputError, UsageError.
    """
    if isinstance(source, str) and is_object(source):
        copy = copied(source, output, sink)
        with kept(copy.path):
            yield copy
        return
    if isinstance(source, str) and is_address(source):
        check_named(output, options)
        output = output or Path.cwd()
        with _folder_for(STDOUT if probing else output) as folder:
            wanted = _wanted(options.source, probing=probing)
            path = record(source, folder, wanted, sink=sink)
            yield OpenedSource(path=path, output=output, lasting=False)
        return
    path = local_source(source)
    if path == STDIN or comes_once(path):
        shown = "standard input" if path == STDIN else str(path)
        if probing:
            raise UsageError(f"{shown}: comes only once; save it to a file and probe that")
        if output is None or output.is_dir():
            raise UsageError(f"{shown}: name the result with <output>")
        check_named(output, options)
        with opened(path) as file:
            yield from _through(Pipe(incoming(file)), _NAMES[path == STDIN], shown, output)
    elif options.source.follow is not None:
        try:
            pipe = Pipe(growing(path, options.source.follow), file=path)
        except OSError as error:
            raise InputError(f"{source}: cannot be read ({error.strerror})") from error
        if _seeks(pipe.head(_HEAD)):
            sink(Note(text=f"{path.name}: its index comes last; begins when it stands still"))
            pipe.start(0)
            pipe.drain()
            yield OpenedSource(path=path, output=output)
        else:
            yield OpenedSource(path=path, pipe=pipe, output=output, lasting=False)
    else:
        yield OpenedSource(path=path, output=output)


def copied(source: str, output: Path | None, sink: Sink) -> OpenedSource:
    """Return the copy of an object that is kept on this machine."""
    try:
        path = cached(source, lambda size: sink(Note(text=f"{source}: fetching {size >> 20} MB")))
    except FileNotFoundError as error:
        raise InputError(f"{source}: is not there") from error
    except OSError as error:
        said = error.said if isinstance(error, ObjectsFailed) else f"{source}: {cause(error)}"
        raise InputError(said) from error
    return OpenedSource(path=path, output=output or Path.cwd(), address=source)


def _through(pipe: Pipe, name: Path, shown: str, output: Path) -> Iterator[OpenedSource]:
    """Yield what comes through `pipe`, once it is known what it is. `shown`: as people call it."""
    head = pipe.head(_HEAD)
    if not head:
        raise InputError(f"{shown}: nothing came")
    if _seeks(head):
        with _folder_for(output) as folder:
            path = folder / name
            _save(pipe, path)
            yield OpenedSource(path=path, output=output, lasting=False)
    else:
        yield OpenedSource(path=name, pipe=pipe, output=output, lasting=False)


def _seeks(head: bytes) -> bool:
    """Return whether a file that begins so is read here and there, and not from end to end."""
    return any(head[at:].startswith(mark) for at, mark in _SEEKING)


@contextmanager
def _folder_for(output: Path) -> Iterator[Path]:
    """Return where what was recorded lies: with the result, which needs more room than it does."""
    if output == STDOUT:
        with tempfile.TemporaryDirectory(prefix="vsr-") as name:
            yield Path(name)
    else:
        inside = output / "x" if output.is_dir() else output
        if not inside.parent.is_dir():  # it will be made for numbered pictures
            inside = inside.absolute().parent
        with WorkFolder(inside) as folder:
            yield folder


def _save(pipe: Pipe, path: Path) -> None:
    try:
        with path.open("wb") as file:
            pipe.start(0, file)
            pipe.drain()
    except OSError as error:
        raise OutputError(f"{path.parent.parent}: writing failed ({cause(error)})") from error


def _wanted(source: SourceOptions, *, probing: bool) -> WantedSeconds:
    """Return what is wanted of a live stream."""
    moments = [m for clip in source.clips for m in (clip.start, clip.end, clip.duration)]
    counted = any(m is not None and m.frame is not None for m in moments)
    glance = _GLANCE if probing else None
    limit = _longest(source.clips)
    return WantedSeconds(patience=source.patience, limit=limit, counted=counted, glance=glance)


def _longest(clips: tuple[Clip, ...]) -> Fraction | None:
    """Return the seconds of a live stream that are wanted; None: to its end."""
    ends = []
    for clip in clips:
        start = clip.start.seconds if clip.start is not None else Fraction(0)
        if clip.end is not None:
            ends.append(clip.end.seconds)
        elif clip.duration is not None and clip.duration.seconds is not None and start is not None:
            ends.append(start + clip.duration.seconds)
        else:
            return None
    known = [end for end in ends if end is not None]
    return max(known) + 1 if known and len(known) == len(ends) else None
