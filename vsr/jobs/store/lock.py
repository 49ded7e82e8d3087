"""A lock that ends with the process that holds it, on file systems that know no locks as well."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class HeldLock:
    """A lock on an open file, for as long as that is open and this is not closed."""

    everywhere: bool  # whether other machines see it, too
    name: socket.socket | None = None

    def close(self) -> None:
        """Give the lock back."""
        if self.name is not None:
            self.name.close()


def take(number: int, *, shared: bool = False) -> HeldLock | None:
    """Lock the open file `number`; None where another process has done so.

    Where its file system refuses (some of the network, and of FUSE), a name is taken that the
    kernel gives to one process at a time: it keeps out those of this machine.
    """
    try:
        fcntl.flock(number, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError:
        return _take_name(number)
    return HeldLock(everywhere=True)


def _take_name(number: int) -> HeldLock | None:
    status = os.fstat(number)
    try:
        name = socket.socket(socket.AF_UNIX)
    except (AttributeError, OSError):
        return HeldLock(everywhere=False)
    try:
        # Linux's abstract names lie in no folder, and end with their socket.
        name.bind(f"\0vsr-{status.st_dev:x}-{status.st_ino:x}")
    except OSError as error:
        name.close()
        return None if error.errno == errno.EADDRINUSE else HeldLock(everywhere=False)
    return HeldLock(everywhere=False, name=name)
