"""A job on the disk: what was asked, how far it is, and what came of it.

request.json    what was asked; written once. Without it the folder is no job
state.json      how far it is; without it the job waits
events.jsonl    what has happened (`events.py`)
lock            held by the process that works on it, for as long as that lives
out/            the result, under its own name once it is complete; beside it, hidden, what
                `vsr.jobs.store` keeps of it until then
hooks/          webhooks that are to be delivered
"""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
import time
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from vsr.errors import UsageError
from vsr.jobs.store import atomic_write
from vsr.jobs.store.job_store import sealed, unsealed
from vsr.options.plain import read_value
from vsr.server.store.events import EventFile

R = TypeVar("R")
Status = Literal["starting", "processing", "succeeded", "failed", "canceled", "aborted"]
SourceKind = Literal["path", "upload", "url"]
ENDED = frozenset({"succeeded", "failed", "canceled", "aborted"})
ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")  # of a job
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # base32 without what looks alike


class Unreadable(ValueError):
    """A job is there, and what is written down of it cannot be read."""


def new_id() -> str:
    """Return an id of 26 letters and digits that nobody can guess; later ones sort behind."""
    number = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    return "".join(_LETTERS[(number >> shift) & 31] for shift in range(125, -1, -5))


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What was asked. Times in seconds since 1970."""

    id: str
    owner: str
    task: Literal["upscale", "preview"]
    input: dict[str, Any]  # as it was given
    kind: SourceKind
    source: str  # a path, the id of an upload, or an address
    words: tuple[str, ...]  # of the command line
    output: str | None = None  # the result's name, where one was given
    base: str  # the address that the server was asked by
    created: float
    priority: int = 0
    deadline: float | None = None
    webhook: str | None = None
    webhook_events: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JobState:
    """How far it is."""

    status: Status = "starting"
    started: float | None = None
    completed: float | None = None
    error: str | None = None
    output: str | None = None  # the result's name
    bytes: int | None = None
    device: str | None = None
    seconds: float = 0.0  # of work, of all tries together
    frames: int | None = None
    begun: float | None = None  # this try
    offset: int = 0  # in the event file, where this try begins
    tries: int = 0  # without a step forward
    reached: int = 0  # frames, by the tries before

    @property
    def is_ended(self) -> bool:
        """Whether nothing will happen any more."""
        return self.status in ENDED


@dataclass
class Job:
    """A job: its request, its state, and its folder."""

    folder: Path
    request: JobRequest
    state: JobState = field(default_factory=JobState)

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.request.id

    @property
    def events(self) -> EventFile:
        """What has happened."""
        return EventFile(self.folder / "events.jsonl")

    @property
    def out(self) -> Path:
        """The folder of the result."""
        return self.folder / "out"

    @property
    def result(self) -> Path | None:
        """The result, once it is complete: it has no name before."""
        try:
            files = [p for p in self.out.iterdir() if p.name[0] != "." and p.is_file()]
        except OSError:
            return None
        return files[0] if len(files) == 1 and not files[0].is_symlink() else None

    def change(self, **changes: Any) -> None:
        """Change the state, on the disk first."""
        state = dataclasses.replace(self.state, **changes)
        atomic_write.write(self.folder / "state.json", sealed(dataclasses.asdict(state)))
        self.state = state

    @classmethod
    def made(cls, folder: Path, request: JobRequest) -> Self:
        """Write a new job down. Raises FileExistsError, OSError."""
        atomic_write.make_folder(folder)
        atomic_write.write(folder / "request.json", sealed(dataclasses.asdict(request)))
        return cls(folder, request)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the job in a folder; None where there is none. Raises Unreadable."""
        asked, told = _found(folder / "request.json"), _found(folder / "state.json")
        if asked is None:
            return None
        try:
            request, state = _record(JobRequest, asked), _record(JobState, told or {})
        except (LookupError, TypeError, UsageError) as error:
            raise Unreadable("of another version of vsr") from error
        if request.id != folder.name:
            raise Unreadable("of another name")
        return cls(folder, request, state)


def _found(path: Path) -> dict[str, Any] | None:
    """Return what is written down there; None where there is no such file. Raises Unreadable."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unreadable(f"{path.name}: {error.strerror}") from error
    if (data := unsealed(path)) is None:
        raise Unreadable(f"{path.name} is torn, or was changed")
    return data


def _record(kind: type[R], data: Mapping[str, Any]) -> R:
    """Return what JSON says as a `kind`. Raises LookupError, TypeError, UsageError."""
    hints = typing.get_type_hints(kind)
    return kind(**{
        name: value if name == "input" and isinstance(value, dict)
        else read_value(hints[name], value, name)
        for name, value in data.items()
    })  # fmt: skip


def free_disk(folder: Path) -> int:
    """Return the bytes that may still be written there."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
