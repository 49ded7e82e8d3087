"""Objects in stores such as S3, by their addresses (`s3://bucket/folder/film.mkv`).

Credentials come from where AWS's own tools take them (environment, ~/.aws, the machine's role) and
are neither written down nor said. The one file that knows obstore.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import platformdirs

from vsr.errors import UsageError

T = TypeVar("T")
_SCHEME = re.compile(r"s3://([^/@:?#]+)/(.+)")
_TRIES = 5  # of ours, each with those that obstore makes by itself
_TIMEOUT = "300s"  # for a whole request, with what it carries
_AT_ONCE = 32 << 20  # bytes in one request: a line of 1 Mbit/s has the time
_PART = 8 << 20  # ... in one of those that go at once
_LINES = 4
_PARTS = 9000  # of an object; S3 takes 10000
_COPIED = 5 << 30  # bytes that S3 copies in one request


class ObjectsFailed(OSError):
    """A store refused, or did not answer for long."""

    def __init__(self, address: str, error: Exception) -> None:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        super().__init__(None, f"{address}: {said[:300]}")

    @property
    def said(self) -> str:
        """Return what the store said."""
        return str(self.args[1])

    def __str__(self) -> str:
        return self.said


def is_object(name: object) -> bool:
    """Return whether a name is the address of an object."""
    return isinstance(name, str) and name.startswith("s3://")


class Objects:
    """What lies under `s3://bucket/prefix`, by names within it."""

    def __init__(self, address: str) -> None:
        found = _SCHEME.fullmatch(address)
        if found is None:
            raise UsageError(f"{address}: is no address of the form s3://BUCKET/NAME")
        try:
            from obstore.store import S3Store
        except ImportError as error:
            text = f"{address}: install what reads it, pip install 'vsr-upscale[s3]'"
            raise UsageError(text) from error
        self.address = address.rstrip("/")
        self._prefix = found[2].rstrip("/")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        config: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
        insecure = (endpoint or "").startswith("http:")
        self._store = S3Store(
            found[1],
            credential_provider=_credentials(),
            copy_if_not_exists="multipart",
            client_options={"allow_http": insecure, "timeout": _TIMEOUT},
            **config,
        )

    def get(self, name: str) -> bytes | None:
        """Return what an object holds; None where there is none."""
        import obstore

        try:
            return bytes(self._try(name, lambda key: obstore.get(self._store, key).bytes()))
        except FileNotFoundError:
            return None

    def size(self, name: str) -> int | None:
        """Return an object's bytes; None where there is none."""
        return None if (told := self._head(name)) is None else int(told["size"])

    def version(self, name: str) -> str | None:
        """Return what changes when an object does; None where there is none."""
        if (told := self._head(name)) is None:
            return None
        return f"{told['e_tag'] or told['last_modified']} {told['size']}"

    def put(self, name: str, data: bytes | Path, *, only_new: bool = False) -> bool:
        """Write an object, whole or not at all; returns False where one is there already.

        `only_new`: if none is called so. Of several machines that do this at once, one succeeds.
        A store may do it and then say that it failed: then it is there already, the next time.
        """
        import obstore

        size = data.stat().st_size if isinstance(data, Path) else len(data)
        if size > _AT_ONCE:
            return self._put_in_parts(name, data, size, only_new=only_new)
        mode: Literal["create", "overwrite"] = "create" if only_new else "overwrite"

        def write(key: str) -> None:
            obstore.put(self._store, key, data, use_multipart=False, mode=mode)

        return self._is_first(name, write)

    def _put_in_parts(self, name: str, data: bytes | Path, size: int, *, only_new: bool) -> bool:
        """Write a large object; with a condition it is another first, which the store copies."""
        import obstore

        def write(key: str) -> None:
            obstore.put(
                self._store,
                key,
                data,
                use_multipart=True,
                chunk_size=max(_PART, -(-size // _PARTS)),
                max_concurrency=_LINES,
            )

        if only_new and self.size(name) is not None:
            return False
        if not only_new or size > _COPIED:
            self._try(name, write)
            return True
        folder, _, _ = f"{self._prefix}/{name}".rstrip("/").rpartition("/")
        part = f"{folder}/.{uuid.uuid4().hex}.part".lstrip("/")
        try:
            self._try(name, lambda _: write(part))
            return self._is_first(
                name, lambda key: obstore.copy(self._store, part, key, overwrite=False)
            )
        finally:
            with suppress(FileNotFoundError, ObjectsFailed):
                self._try(name, lambda _: obstore.delete(self._store, part))

    def _is_first(self, name: str, write: Callable[[str], object]) -> bool:
        """Write on a condition; returns whether it was met."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def first(key: str) -> bool:
            try:
                write(key)
            except (AlreadyExistsError, PreconditionError):
                return False
            return True

        return self._try(name, first)

    def fetch(self, name: str, path: Path) -> None:
        """Write what an object holds into a file. Raises FileNotFoundError where there is none.

        One that is changed meanwhile is refused: ObjectsFailed.
        """
        import obstore

        if (told := self._head(name)) is None:
            raise FileNotFoundError(name)

        def read(key: str, start: int) -> bytes:
            span = (start, min(start + _AT_ONCE, told["size"]))
            options: Any = {"range": span, "if_match": told["e_tag"]}
            return bytes(obstore.get(self._store, key, options=options).bytes())

        with path.open("wb") as file:
            for start in range(0, told["size"], _AT_ONCE):
                file.write(self._try(name, partial(read, start=start)))

    def names(self) -> list[str]:
        """Return the names of all that is there."""
        import obstore

        cut = len(self._prefix) + 1
        listed = self._try(
            "", lambda key: [e["path"] for page in obstore.list(self._store, key) for e in page]
        )
        return [path[cut:] for path in listed]

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        import obstore

        with suppress(FileNotFoundError):
            self._try(name, lambda key: obstore.delete(self._store, key))

    def _head(self, name: str) -> Any:
        import obstore

        try:
            return self._try(name, lambda key: obstore.head(self._store, key))
        except FileNotFoundError:
            return None

    def _try(self, name: str, do: Callable[[str], T]) -> T:
        """Do something with an object, several times if need be. Raises ObjectsFailed."""
        from obstore import exceptions

        lasting = (
            exceptions.PermissionDeniedError,
            exceptions.UnauthenticatedError,
            exceptions.PreconditionError,  # it is another one now
        )
        key = f"{self._prefix}/{name}".rstrip("/")
        for attempt in range(_TRIES):
            try:
                return do(key)
            except (FileNotFoundError, exceptions.NotFoundError) as error:
                raise FileNotFoundError(name) from error
            except exceptions.BaseError as error:
                if isinstance(error, lasting) or attempt == _TRIES - 1:
                    raise ObjectsFailed(f"{self.address}/{name}".rstrip("/"), error) from error
                time.sleep(0.2 * 2**attempt)
        raise AssertionError("unreachable")


def _credentials() -> Any:
    """Return what finds credentials as AWS's tools do; None: obstore's own, without ~/.aws."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider()
    except (ImportError, ValueError):  # boto3 is not installed, or found none
        return None


def split(address: str) -> tuple[str, str]:
    """Return the folder and the name of an object. Raises UsageError."""
    folder, _, name = address.rpartition("/")
    if not name or folder in ("s3:/", "s3:"):
        raise UsageError(f"{address}: is no address of the form s3://BUCKET/NAME")
    return folder, name


def cache_folder() -> Path:
    """Return where copies of objects lie."""
    return Path(platformdirs.user_cache_dir("vsr", appauthor=False)) / "objects"
