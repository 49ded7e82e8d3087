"""Clips out of all that is named, with numbers of the scenes that they are of."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from vsr.errors import InputError, UsageError, VsrError, cause
from vsr.events import Event, Note, Sink, WarningNote
from vsr.media.source.image_list import FILMS, PICTURES, natural
from vsr.media.source.kinds.base import Source
from vsr.stages.temporal.shot_cuts import same_picture
from vsr.train.degrade.pipeline import check_size
from vsr.train.degrade.settings import Damage
from vsr.train.film import opened
from vsr.train.options import DataOptions
from vsr.train.scenes import ScenePlace, places, read_at, take

_KINDS = FILMS | PICTURES
_SAID = 3  # lines about the damage of one film


@dataclass(frozen=True, kw_only=True)
class FoundClip:
    """A clip, (T, 3, H, W) uint8, and what a film of its partners shows at its times."""

    scene: int
    clip: Tensor
    partner: Tensor | None


@dataclass
class _Scenes:
    """Counts scenes: of films by their cuts, of pictures by how unlike their neighbours they
    are.
    """

    number: int = -1
    still: tuple[tuple[int, int], Tensor] | None = None  # size and thumbnail of the one before

    def begin_film(self) -> None:
        """Count what follows as another scene."""
        self.number, self.still = self.number + 1, None

    def begin_still(self, size: tuple[int, int], thumbnail: Tensor | None) -> None:
        """Count a picture as another scene, unless it may be the next frame of the one before."""
        before = self.still
        alike = (
            before is not None
            and thumbnail is not None
            and before[0] == size
            and same_picture(before[1], thumbnail)
        )
        self.number += not alike
        self.still = None if thumbnail is None else (size, thumbnail)


@dataclass
class _Lost:
    """What is passed over."""

    sources: list[str] = field(default_factory=list)  # why, in words
    stills: list[Path] = field(default_factory=list)  # pictures where films are needed


def found_clips(
    options: DataOptions, damage: Damage, sink: Sink
) -> Generator[FoundClip, None, None]:
    """Yield the clips of every source that can be read, in the order of the sources.

    What cannot be read is passed over with a note. Raises InputError where that is all of it.
    """
    paths = list(listed(options.clean))
    scenes, lost, taken = _Scenes(), _Lost(), 0
    for path in paths:
        before = taken
        try:
            source = opened(path)
            low = _partner(path, options.paired)
            if places(source, 1) == [None] and options.frames > 1:
                lost.stills.append(path)
                continue
            for found in _of_source(
                source, low, options=options, damage=damage, scenes=scenes, sink=sink
            ):
                taken += 1
                yield found
        except InputError as error:
            said = error.text
        except VsrError:
            raise
        except OSError as error:
            said = f"{path}: cannot be read ({cause(error)})"
        else:
            continue
        lost.sources.append(said)
        kept = f"; the {taken - before} clips before that are kept" if taken > before else ""
        sink(WarningNote(text=f"passed over: {said}{kept}"))
    if lost.stills:
        said = (
            f"{lost.stills[0]}: is one picture, and <data.frames> {options.frames} takes films; "
            f"numbered pictures are one by a name such as {lost.stills[0].parent / '%05d.png'}"
        )
        more = f" ({len(lost.stills)} pictures)" if len(lost.stills) > 1 else ""
        lost.sources.append(said)
        sink(WarningNote(text=f"passed over: {said}{more}"))
    if not taken and (lost.sources or not paths):
        raise InputError(lost.sources[0] if lost.sources else "nothing to learn from is named")


def _of_source(
    source: Source,
    low: Source | None,
    *,
    options: DataOptions,
    damage: Damage,
    scenes: _Scenes,
    sink: Sink,
) -> Iterator[FoundClip]:
    """Yield the clips of one source. Raises InputError where none of it can be read."""
    size = (source.video.width, source.video.height)
    _check(source, low, size, options, damage)
    length = options.length or options.frames
    starts = places(source, options.clips, length=length)
    still = starts == [None]
    if not still:
        scenes.begin_film()
    smaller = 0
    for place in _looked_at(
        source, starts, length=1 if still else length, workers=options.workers, sink=sink,
        window=options.window if low is None else 1 << 15,
    ):  # fmt: skip
        if still:
            scenes.begin_still(size, place.thumbnail)
        scenes.number += place.cut_before
        clip = place.clip
        if clip is not None and _refusal((clip.shape[3], clip.shape[2]), low, options, damage):
            smaller += 1
            clip = None
        if clip is not None:
            partner = None if low is None else read_at(low, place.times)
            yield FoundClip(scene=scenes.number, clip=clip, partner=partner)
        scenes.number += place.cut_after
    if smaller:
        sink(WarningNote(
            text=f"{source.path}: its picture changes its size; {smaller} clips are too small, "
            "and passed over"
        ))  # fmt: skip


def _check(
    source: Source,
    low: Source | None,
    size: tuple[int, int],
    options: DataOptions,
    damage: Damage,
) -> None:
    """Refuse what is too small, or of another size than its partner. Raises InputError."""
    refusal = _refusal(size, low, options, damage)
    if refusal is not None:
        raise InputError(f"{source.path}: {refusal}")
    scale = damage.scale
    if low is not None and (low.video.width * scale, low.video.height * scale) != size:
        raise InputError(
            f"{low.path}: is {low.video.width}x{low.video.height}, not 1/{scale} of "
            f"{source.path}, which is {size[0]}x{size[1]}"
        )


def _refusal(
    size: tuple[int, int], low: Source | None, options: DataOptions, damage: Damage
) -> str | None:
    """Return in words why pictures of (width, height) are too small; None: they are not."""
    if min(size) < options.area:
        return (
            f"is {size[0]}x{size[1]}; samples take {options.area} pixels a side "
            "(<data.area> and <data.patch> make them smaller)"
        )
    if low is None:
        width, height = (min(side, options.window) // damage.scale * damage.scale for side in size)
        try:
            check_size(height, width, damage)
        except UsageError as error:
            return error.text
    return None


def _looked_at(
    source: Source,
    starts: Sequence[float | None],
    *,
    length: int,
    window: int,
    workers: int,
    sink: Sink,
) -> Iterator[ScenePlace]:
    """Yield what is found at each place that can be read.

    A cut that was not seen is none: what cannot be read never parts a scene. Raises InputError
    where no place can be read.
    """
    heard: list[Event] = []
    broken: list[InputError] = []
    with ThreadPoolExecutor(max(workers, 1), thread_name_prefix="vsr-take") as pool:
        jobs = [
            pool.submit(take, source, start, end, length=length, window=window, sink=heard.append)
            for start, end in zip(starts, [*starts[1:], None], strict=True)
        ]
        try:
            for job in jobs:
                try:
                    place = job.result()
                except InputError as error:
                    broken.append(error)
                else:
                    yield place
        finally:
            for job in jobs:
                job.cancel()
    if broken and len(broken) == len(jobs):
        raise broken[0]
    if broken:
        sink(WarningNote(text=f"{broken[0]}; {len(broken)} of {len(jobs)} places are passed over"))
    _tell(heard, sink)


def _tell(heard: Sequence[Event], sink: Sink) -> None:
    """Say once what the reading of a film said of its damage, in a few lines."""
    said = sorted({event.text for event in heard if isinstance(event, WarningNote)})
    for text in said[:_SAID]:
        sink(WarningNote(text=text))
    if len(said) > _SAID:
        sink(Note(text=f"... and {len(said) - _SAID} more such lines"))


def _partner(path: Path, paired: Path | None) -> Source | None:
    """Open the damaged partner of `path`. Raises InputError where no one, or several, may be."""
    if paired is None:
        return None
    found = paired / path.name if paired.is_dir() else paired
    if not found.exists() and paired.is_dir():
        same = (one for one in paired.iterdir() if one.stem == path.stem)
        named = sorted(one for one in same if one.suffix.lower() in _KINDS)
        if len(named) > 1:
            names = ", ".join(one.name for one in named)
            raise InputError(f"{path}: which of {names} in {paired} is its partner?")
        found = named[0] if named else found
    return opened(found)


def listed(paths: Iterable[Path]) -> Iterator[Path]:
    """Return films and pictures that paths stand for: themselves, folders of them, lists in
    .txt.

    Folders are in natural order: 2.png before 10.png. Raises InputError.
    """
    for path in paths:
        try:
            if path.is_dir():
                found = (one for one in path.rglob("*") if one.suffix.lower() in _KINDS)
                yield from sorted(found, key=lambda one: [natural(part) for part in one.parts])
            elif path.suffix.lower() == ".txt" and path.is_file():
                lines = path.read_text(encoding="utf-8-sig").splitlines()
                yield from (path.parent / line.strip() for line in lines if line.strip())
            else:
                yield path
        except UnicodeDecodeError as error:
            said = f"{path}: a list of files is text in UTF-8, which this is not"
            raise InputError(said) from error
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({cause(error)})") from error
