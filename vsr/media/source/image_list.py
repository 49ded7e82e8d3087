"""Folders and numbered names (`shots/%05d.png`): which files they stand for, in what order.

Only names are looked at, so that a folder of 100,000 pictures is listed at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import InputError, OutputError, UsageError

# What is taken out of a folder. A file that is named by itself may be called anything.
PICTURES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".tga",
    ".ppm", ".pgm", ".pbm", ".pnm", ".qoi", ".jp2", ".avif", ".dpx", ".exr",
    ".hdr",
})  # fmt: skip
FILMS = frozenset({
    ".mkv", ".mp4", ".m4v", ".mov", ".webm", ".avi", ".flv", ".f4v", ".ts", ".m2ts", ".mts",
    ".mpg", ".mpeg", ".m2v", ".vob", ".wmv", ".asf", ".ogv", ".ogm", ".3gp", ".3g2", ".mxf",
    ".nut", ".y4m", ".dv", ".rm", ".rmvb", ".gif", ".apng",
})  # fmt: skip
_DIRECTIVE = re.compile(r"%%|%(\d*)d", re.ASCII)
_DIGITS = 9  # of a number, at most
_NAMED = 5  # of what is passed over
_SETTINGS = "vsr.toml"  # beside the films, for them
_NAME_BYTES = 255  # of a file's name


def is_too_long(name: str) -> bool:
    """Return whether a name is too long for a file."""
    return len(os.fsencode(name)) > _NAME_BYTES


def is_picture(name: str) -> bool:
    """Return whether a file is a picture, by its suffix."""
    return _suffix(name) in PICTURES


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (of 100,000 names)


@dataclass(frozen=True, kw_only=True)
class NumberedName:
    """A name with one number in it, written as printf and ffmpeg do: `shots/%05d.png`."""

    folder: Path
    before: str
    digits: int
    after: str

    @property
    def is_too_long(self) -> bool:
        """Return whether a name is too long for a file."""
        return is_too_long(self._name(10**_DIGITS - 1))

    def path(self, number: int) -> Path:
        """Return the file of that number."""
        return self.folder / self._name(number)

    def number(self, name: str) -> int | None:
        """Return the number in `name`, or None if it is not one of these names."""
        middle = name[len(self.before) : len(name) - len(self.after)]
        if not (middle.isascii() and middle.isdigit()) or self._name(int(middle)) != name:
            return None
        return int(middle)

    def _name(self, number: int) -> str:
        return f"{self.before}{number:0{self.digits}d}{self.after}"


def numbered(path: Path) -> NumberedName | None:
    """Return `path` as a pattern; None for a plain name, and for a file that is really called so.

    Raises UsageError for two numbers in one name, and for one that is not %d or %05d.
    """
    found = [match for match in _DIRECTIVE.finditer(path.name) if match[0] != "%%"]
    if not found or path.exists():
        return None
    if len(found) > 1:
        raise UsageError(f"{path}: has two numbers in its name; a pattern has one, as in %05d.png")
    (only,) = found
    width = only[1]
    if width and not (width.startswith("0") and int(width[:20]) and len(width) <= _NAME_BYTES):
        raise UsageError(f"{path}: {only[0]} pads with blanks; write %d, or %05d")
    if int(width or 1) > _DIGITS:
        raise UsageError(f"{path}: numbers have {_DIGITS} digits at most, as in %0{_DIGITS}d.png")
    return NumberedName(
        folder=path.parent,
        before=path.name[: only.start()].replace("%%", "%"),
        digits=int(width or 1),
        after=path.name[only.end() :].replace("%%", "%"),
    )


@dataclass(frozen=True, kw_only=True)
class ImageList:
    """The files of a folder or a pattern, in their natural order: 2.png before 10.png."""

    path: Path  # the folder or the pattern
    folder: Path  # where the files lie
    pictures: tuple[str, ...]  # names
    films: tuple[str, ...]  # names; animations are films
    others: tuple[str, ...] = ()  # names of what else lies in the folder
    pattern: NumberedName | None = None

    @property
    def passed_over(self) -> str:
        """What lies in the folder and is neither picture nor film, in words; "": nothing."""
        shown = ", ".join(self.others[:_NAMED])
        more = len(self.others) - _NAMED
        return f"{shown} and {more} more" if more > 0 else shown

    @property
    def names(self) -> tuple[str, ...]:
        """All names, pictures before films."""
        return self.pictures + self.films

    @property
    def missing(self) -> int:
        """How many numbers of the pattern no file has, between the first and the last."""
        if self.pattern is None:
            return 0
        first, last = (self.pattern.number(self.names[n]) for n in (0, -1))
        assert first is not None
        assert last is not None
        return last - first + 1 - len(self.names)


def names_in(folder: Path) -> list[str]:
    """Return all that lies in a folder for results. Raises OutputError."""
    try:
        return os.listdir(folder)  # noqa: PTH208 (names are wanted, of 100,000 files)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be read ({error.strerror})") from error


def folders_in(folder: Path) -> set[str]:
    """Return what lies in a folder for results and is a folder itself. Raises OutputError."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    except OSError as error:
        raise OutputError(f"{folder}: cannot be read ({error.strerror})") from error


def is_many(path: Path) -> bool:
    """Return whether `path` stands for many files: a folder or a pattern. Raises UsageError."""
    try:
        return path.is_dir() or numbered(path) is not None
    except PermissionError:
        return False  # opening it will tell


def list_files(path: Path) -> ImageList:
    """Return the pictures and films of a folder or a pattern; sub-folders and hidden files are
    others.

    Raises InputError where there are none, or where the folder cannot be read.
    """
    if path.name in ("", ".."):
        path = path.resolve()  # "." has no name to speak of
    pattern = numbered(path)
    folder = path if pattern is None else pattern.folder
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_file()) for entry in entries]
    except FileNotFoundError as error:
        raise InputError(f"{folder}: there is no such folder") from error
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from error
    names = [name for name, is_file in found if is_file]
    if pattern is not None:
        return _matching(path, pattern, names)
    names = [name for name in names if not name.startswith(".")]
    pictures = [name for name in names if _suffix(name) in PICTURES]
    films = [name for name in names if _suffix(name) in FILMS]
    if not pictures and not films:
        raise InputError(f"{path}: holds no pictures or films")
    taken = {*pictures, *films, _SETTINGS}
    return ImageList(
        path=path,
        folder=folder,
        pictures=tuple(sorted(pictures, key=natural)),
        films=tuple(sorted(films, key=natural)),
        others=tuple(sorted({name for name, _ in found} - taken, key=natural)),
    )


def _matching(path: Path, pattern: NumberedName, files: Iterable[str]) -> ImageList:
    numbers = {n: name for name in files if (n := pattern.number(name)) is not None}
    if not numbers:
        raise InputError(f"{path}: no file has a name of this pattern")
    names = tuple(numbers[number] for number in sorted(numbers))
    films = _suffix(path.name) in FILMS
    return ImageList(
        path=path,
        folder=pattern.folder,
        pictures=() if films else names,
        films=names if films else (),
        pattern=pattern,
    )


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key for sorting by which numbers in a name count as numbers."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p], name
