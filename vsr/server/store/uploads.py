"""Files that clients send, in pieces and over broken lines.

upload.json     how long it will be, what it is called, whose it is; written once
sha256          what it has to be, once it is complete and is that (empty if nobody said)
NAME.mp4        the bytes that are here; their number is where the client goes on
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vsr.jobs.store import atomic_write
from vsr.jobs.store.job_store import sealed, unsealed
from vsr.media.source.protocols import PLAYLISTS
from vsr.server.refusals import Refused, not_found
from vsr.server.store.records import free_disk, new_id
from vsr.server.tokens import Scope

_NAME_BYTES = 120
_SUFFIX = 8  # characters
_ID = re.compile("[0-9a-z]{26}")
_GONE = re.compile(r"\.[0-9a-z]{26}\.gone")  # an upload that was being removed


@dataclass(frozen=True, kw_only=True)
class UploadRequest:
    """What was said of an upload when it began."""

    id: str
    owner: str
    name: str  # as the client calls it, to be shown
    file: str  # as it lies on the disk
    type: str
    length: int
    sha256: str | None
    created: float


@dataclass(frozen=True)
class Upload:
    """An upload on the disk."""

    folder: Path
    request: UploadRequest

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.request.file

    @property
    def offset(self) -> int:
        """The bytes that are here."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    @property
    def is_complete(self) -> bool:
        """Whether all are here, and are what was promised."""
        return (self.folder / "sha256").exists()

    @property
    def touched(self) -> float:
        """When the last byte came."""
        with suppress(OSError):
            return max(self.path.stat().st_mtime, self.request.created)
        return self.request.created

    def write(self, data: bytes) -> None:
        """Add bytes. Raises Refused where there are too many, or no room."""
        if self.offset + len(data) > self.request.length:
            raise Refused(413, "more bytes than the upload was said to have")
        try:
            with self.path.open("ab", buffering=0) as file:
                file.write(data)
        except OSError as error:
            raise Refused(507, "there is no room for the upload") from error

    def cut(self, offset: int) -> None:
        """Take bytes away again, back to `offset`."""
        os.truncate(self.path, offset)

    def settle(self) -> None:
        """See that what has come stays; complete the upload if it was the last. Raises Refused."""
        atomic_write.sync(self.path)
        if self.offset == self.request.length and not self.is_complete:
            wanted = self.request.sha256 or ""
            if wanted:
                with self.path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != wanted:
                        self.cut(0)
                        raise Refused(460, "the sha256 of the whole is another; begin again")
            atomic_write.write(self.folder / "sha256", wanted)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the upload in a folder; None where there is none."""
        try:
            request = UploadRequest(**(unsealed(folder / "upload.json") or {}))
        except TypeError:
            return None
        return cls(folder, request) if request.id == folder.name else None


class Uploads:
    """The uploads of a server. `most` may be incomplete at a time, and `free` bytes are left."""

    def __init__(self, folder: Path, *, most: int, free: int) -> None:
        self.folder = folder
        self._most, self._free = most, free
        self._lock = threading.Lock()
        self._written: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def __iter__(self) -> Iterator[Upload]:
        for folder in sorted(self.folder.iterdir()):
            if (upload := Upload.read(folder)) is not None:
                yield upload

    def find(self, id: str, scope: Scope) -> Upload:
        """Return an upload that `scope` sees. Raises Refused."""
        upload = Upload.read(self.folder / id) if _ID.fullmatch(id) else None
        if upload is None or not scope.sees(upload.request.owner):
            raise not_found("upload")
        return upload

    def begin(
        self, scope: Scope, name: str, length: int, *, sha256: str | None = None, type: str = ""
    ) -> Upload:
        """Begin an upload. Raises Refused."""
        with self._lock:
            if sum(not upload.is_complete for upload in self) >= self._most:
                said = f"{self._most} uploads are not complete yet"
                raise Refused(429, said, {"Retry-After": "60"})
            missing = sum(up.request.length - up.offset for up in self if not up.is_complete)
            if length + missing + self._free > free_disk(self.folder):
                raise Refused(507, "there is no room for an upload of that size")
            id = new_id()
            request = UploadRequest(
                id=id, owner=scope.name, name=name, file=safe_name(name), type=type,
                length=length, sha256=sha256, created=time.time(),
            )  # fmt: skip
            upload = Upload(self.folder / id, request)
            atomic_write.make_folder(upload.folder)
            upload.path.touch()
            record = sealed(dataclasses.asdict(request))
            atomic_write.write(upload.folder / "upload.json", record)
        if not length:
            upload.settle()
        return upload

    @contextmanager
    def writing(self, upload: Upload) -> Iterator[None]:
        """Let nobody else write to it meanwhile. Raises Refused where somebody does."""
        with self._lock:
            if upload.request.id in self._written:
                raise Refused(423, "another request writes to this upload")
            self._written.add(upload.request.id)
        try:
            yield
        finally:
            self._written.discard(upload.request.id)

    def settle_late(self, upload: Upload) -> None:
        """Complete an upload that a kill came for between its last byte and its end."""
        if upload.offset == upload.request.length and not upload.is_complete:
            with suppress(Refused), self.writing(upload):  # who writes now completes it himself
                upload.settle()

    def remove(self, upload: Upload) -> None:
        """Remove an upload."""
        # First the name goes, in one step: what is left after a kill is no upload.
        gone = upload.folder.with_name(f".{upload.request.id}.gone")
        with suppress(FileNotFoundError):
            upload.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def sweep(self, age: float, used: Collection[str]) -> None:
        """Remove those that nothing has come for in `age` seconds and that are not `used`.

        What is no upload that can be read is left alone: it may be somebody else's.
        """
        oldest = time.time() - age
        for folder in list(self.folder.iterdir()):
            upload = Upload.read(folder)
            if upload is None:
                with suppress(OSError):
                    if folder.lstat().st_mtime < oldest and _is_remnant(folder):
                        shutil.rmtree(folder, ignore_errors=True)
            elif upload.request.id not in used and upload.touched < oldest:
                with suppress(OSError):
                    self.remove(upload)


def _is_remnant(folder: Path) -> bool:
    """Return whether a kill has left a folder as an upload began, or was removed."""
    if _GONE.fullmatch(folder.name):
        return True
    return _ID.fullmatch(folder.name) is not None and all(
        path.name == "upload.json.part" or (path.is_file() and not path.stat().st_size)
        for path in folder.iterdir()
    )


def safe_name(name: str) -> str:
    """Return a name for the disk: letters, digits, space, dot, - and _; no playlist's."""
    last = name.replace("\\", "/").rpartition("/")[2]
    last = re.sub(r"[^\w. -]", "_", last.encode("utf-8", "replace").decode())
    last = last.strip(". ") or "film"
    while Path(last).suffix.lower() in PLAYLISTS:
        last = Path(last).stem
    suffix = Path(last).suffix if len(Path(last).suffix) <= _SUFFIX else ""
    stem = Path(last).stem.encode()[:_NAME_BYTES].decode("utf-8", "ignore").strip(". ") or "film"
    found = f"{stem}{suffix}"
    return f"{found}_" if found in ("upload.json", "sha256") else found
