"""Objects in stores such as S3, by their addresses (`s3://bucket/folder/film.mkv`).

Credentials come from where AWS's own tools take them (environment, ~/.aws, the machine's role) and
are neither written down nor said. The one file that knows obstore.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import platformdirs

from vsr.errors import UsageError

T = TypeVar("T")
_SCHEME = re.compile(r"s3://([^/@:?#]+)/(.+)")
_TRIES = 5  # of ours, each with those that obstore makes by itself
_AT_ONCE = 4 << 30  # bytes that are put in one request, with a condition; S3 takes 5 GiB
_READ = 8 << 20


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
            client_options={"allow_http": insecure, "timeout": "300s"},
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
        return None if (told := self._head(name)) is None else f"{told['e_tag']} {told['size']}"

    def put(self, name: str, data: bytes | Path, *, only_new: bool = False) -> bool:
        """Write an object, whole or not at all; returns False where one is there already.

        `only_new`: if none is called so. Of several machines that do this at once, one succeeds.
        A store may do it and then say that it failed: then it is there already, the next time.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        size = data.stat().st_size if isinstance(data, Path) else len(data)
        at_once = size < _READ or (only_new and size <= _AT_ONCE)  # else no condition is possible
        mode: Literal["create", "overwrite"] = "create" if only_new and at_once else "overwrite"

        def write(key: str) -> bool:
            try:
                obstore.put(self._store, key, data, use_multipart=not at_once, mode=mode)
            except (AlreadyExistsError, PreconditionError):
                return False
            return True

        return self._try(name, write)

    def fetch(self, name: str, path: Path) -> None:
        """Write what an object holds into a file. Raises FileNotFoundError where there is none."""
        import obstore

        def read(key: str) -> None:
            with path.open("wb") as file:
                for chunk in obstore.get(self._store, key).stream(min_chunk_size=_READ):
                    file.write(chunk)

        self._try(name, read)

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

        lasting = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
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


def cached(address: str, fetching: Callable[[int], None]) -> Path:
    """Return a copy of an object on this machine, fetched unless it is there.

    `fetching` is told of its bytes before that. Raises FileNotFoundError, ObjectsFailed.
    """
    one, name = Objects(address), split(address)[1]
    version = one.version("")
    if version is None:
        raise FileNotFoundError(address)
    key = hashlib.sha256(f"{address} {version}".encode()).hexdigest()[:24]
    folder = cache_folder() / key
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    with (folder / ".lock").open("w") as lock:  # for the workers of this machine
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            fetching(one.size("") or 0)
            part = folder / f"{name}.part"
            one.fetch("", part)
            os.replace(part, path)
    return path
