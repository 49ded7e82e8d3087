"""Writing that a power cut cannot leave half-done; every call that changes the disk is here.

A name appears only when what it names is complete on the disk: the data is synced before
the rename, the folder after it.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

# Of file systems without a second name for a file (FUSE, CIFS, FAT).
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


def sync(path: Path) -> None:
    """Wait until a file, or a folder's names, are on the disk."""
    try:
        number = os.open(path, os.O_RDONLY)
    except PermissionError:
        return  # a folder that may be written to and not read
    try:
        os.fsync(number)
    except OSError as error:
        # Of a folder, which some network file systems cannot sync and need not.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(number)


def rename(source: Path, target: Path) -> None:
    """Give a complete file its name."""
    sync(source)
    os.replace(source, target)
    sync(target.parent)


def rename_if_none(source: Path, target: Path) -> bool:
    """Give a complete file its name, if nothing is called so; else leave it where it is.

    Returns whether it got the name. Of several machines that do this at once one succeeds, also
    through NFS.
    """
    sync(source)
    try:
        os.link(source, target)
    except FileExistsError:
        # A server whose answer was lost is asked again: then it is this file that is there.
        done = os.path.samestat(os.stat(source), os.stat(target))  # noqa: PTH116
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Two that come at the same moment replace each other here: by the same, or nobody sees it.
        done = not target.exists()
        if done:
            os.replace(source, target)
            sync(target.parent)
            return True
    else:
        done = True
    if done:
        remove(source)
        sync(target.parent)
    return done


def write(path: Path, text: str) -> None:
    """Write a small file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        data = memoryview(text.encode())
        while data:
            data = data[os.write(number, data) :]
        os.fsync(number)
    finally:
        os.close(number)
    os.replace(part, path)
    sync(path.parent)


def append(path: Path, line: str) -> None:
    """Add a line to a file; one that a kill tore before is not continued."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(number, f"\n{line}".encode())
        os.fsync(number)
    finally:
        os.close(number)


def make_folder(path: Path) -> None:
    """Make a folder, whose name is then on the disk."""
    os.mkdir(path)  # noqa: PTH102 (all that changes the disk goes through `os`)
    sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108
