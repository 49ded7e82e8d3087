"""Whether a result can get its name, before hours of work; and what a disk means that refuses."""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from vsr.errors import OutputError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# What the same command meets again, unless somebody changes it.
_LASTING = frozenset({errno.EFBIG, errno.EROFS, errno.EPERM, errno.EACCES, errno.EBUSY})


def check_replaceable(output: Path) -> None:
    """Raise OutputError where the file `output`, which is there, will not give up its name."""
    status, folder = output.stat(), output.absolute().parent.stat()
    me, mode = os.geteuid(), stat.S_IMODE(status.st_mode)
    why = None
    if _is_mounted(output):
        why = "is mounted by itself, and cannot be replaced; name a file in a folder that is"
    elif folder.st_mode & stat.S_ISVTX and me not in (status.st_uid, folder.st_uid):
        try:
            os.chmod(output, mode)
        except PermissionError:
            why = "belongs to another user, and in this folder nobody else can replace it"
    elif status.st_uid == me and mode & stat.S_IWUSR and not os.access(output, os.W_OK):
        why = "is protected, and cannot be replaced (chattr -i?)"
    if why is not None:
        raise OutputError(f"{output}: {why}")


def _is_mounted(path: Path) -> bool:
    """Return whether a file is mounted by itself, as containers are given single files."""
    real = os.fsencode(os.path.realpath(path))
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
            at = line.split()[4]
            if re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), at) == real:
                return True
    return False


def refusal(error: BaseException | None) -> int | None:
    """Return the errno that a disk refused with, also where only the words of a program tell it."""
    known = _FULL | _LASTING | {errno.EIO}
    seen: list[BaseException] = []
    while error is not None and error not in seen:  # one may be its own cause
        seen.append(error)
        if (number := getattr(error, "errno", None)) in known:
            assert isinstance(number, int)
            return number
        for number in sorted(known):
            if os.strerror(number) in str(error):
                return number
        error = error.__cause__
    return None


def is_full(error: BaseException) -> bool:
    """Return whether no more fits on a disk, or into a share of it."""
    return refusal(error) in _FULL


def is_lasting(error: BaseException) -> bool:
    """Return whether the same command would end the same way."""
    return refusal(error) in _LASTING or "ulimit -f" in str(error)
