"""What of the machine this process may use: containers and schedulers allow less than there is.

Linux counts the whole machine's cores and memory to everyone. What a container was given stands in
its control groups: version 2, where all is in one tree, or version 1, with one for each resource.
"""

from __future__ import annotations

import math
import mmap
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

_ROOT = Path("/")
_LITTLE = 1 << 26  # bytes
_MOST_THREADS = 16  # that libav finds sensible


def cores(root: Path = _ROOT) -> int:
    """Return those that this process may run on, and no more than its share of their time; at
    least 1.

    `root`: where proc and sys are.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(math.ceil(min([allowed or 1, *_shares(root)])), 1)


def codec_threads() -> int:
    """Return 0, which is as many as libav finds right; fewer where it would count what is not
    ours.
    """
    mine = cores()
    return 0 if mine == os.cpu_count() else min(mine, _MOST_THREADS)


def memory(root: Path = _ROOT) -> int:
    """Return bytes of it that this process can ever have."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *(limit for limit, _ in _limits(root))])


def free_host_memory(root: Path = _ROOT) -> int:
    """Return bytes that can be allocated now, about."""
    try:
        free = _fields(root / "proc/meminfo")["MemAvailable"] * 1024
    except (OSError, LookupError, ValueError):
        free = memory(root) // 2
    return max(min([free, *(limit - used for limit, used in _limits(root))]), 0)


def is_short_of_memory() -> bool:
    """Return whether not even a little can be had, as where a limit such as `ulimit -v` is reached.

    A damaged file may ask for far too much, and fail alike.
    """
    try:
        mmap.mmap(-1, _LITTLE).close()
    except (OSError, MemoryError):
        return True
    return False


def _shares(root: Path) -> Iterator[float]:
    """Yield the cores' worth of time of each group that limits it."""
    for group, version in _groups(root, "cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if version == 2:
                quota, period = (group / "cpu.max").read_text().split()
            else:
                quota, period = ((group / f"cpu.cfs_{name}_us").read_text()
                                 for name in ("quota", "period"))  # fmt: skip
            if int(quota) > 0:  # "max" is no number, and -1 no limit
                yield int(quota) / int(period)


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield (limit, used) in bytes, of each group that has one."""
    for group, version in _groups(root, "memory"):
        # Beyond the one that is called high, a process is slowed down until it stands.
        names, usage, total = ["memory.max", "memory.high"], "memory.current", ""
        if version == 1:
            names, usage, total = ["memory.limit_in_bytes"], "memory.usage_in_bytes", "total_"
        limits = [limit for name in names if (limit := _number(group / name)) is not None]
        if not limits:
            continue
        used = _number(group / usage) or 0
        with suppress(OSError, LookupError, ValueError):
            stat = _fields(group / "memory.stat")
            # Of files that were read or written: given up before anything is refused.
            used -= stat.get(f"{total}inactive_file", 0) + stat.get(f"{total}active_file", 0)
        yield min(limits), max(used, 0)


def _number(path: Path) -> int | None:
    """Return what stands in a file; None for "max", and where nothing can be read."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _fields(path: Path) -> dict[str, int]:
    """Return the numbers of lines such as "name 12" or "name: 12 kB", by name."""
    found = re.findall(r"^([^\s:]+):?[ \t]+(\d+)", path.read_text(), re.MULTILINE)
    return {name: int(value) for name, value in found}


def _groups(root: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """Yield (folder, version) of the control groups that this process is in, the innermost
    first.
    """
    try:
        memberships = _lines(root / "proc/self/cgroup")
        mounts = _lines(root / "proc/self/mountinfo")
    except OSError:
        return
    for membership in memberships:
        with suppress(ValueError):
            _, controllers, path = membership.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            for mount in mounts:
                if (place := _mounted(mount, controller if controllers else None)) is None:
                    continue
                top, at = place
                # What is mounted may be the group of others.
                if (own := PurePosixPath(path)).is_relative_to(top):
                    inside = own.relative_to(top)
                    for folder in (inside, *inside.parents):
                        yield root / at.lstrip("/") / folder, 1 if controllers else 2


def _mounted(line: str, controller: str | None) -> tuple[str, str] | None:
    """Return the group that a line of mountinfo shows, and where; None for anything else.

    `controller`: of version 1; None: version 2.
    """
    ours, _, theirs = (half.split() for half in line.partition(" - "))
    if len(ours) < 5 or not theirs or theirs[0] != ("cgroup" if controller else "cgroup2"):
        return None
    if controller and controller not in theirs[-1].split(","):
        return None
    return _unescaped(ours[3]), _unescaped(ours[4])


def _unescaped(name: str) -> str:
    """Return a path of mountinfo, where spaces and the like are written as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()


@contextmanager
def scheduled_as_before(root: Path = _ROOT) -> Iterator[None]:
    """Give every thread, on leaving, the scheduling policy that the caller had on entering.

    SVT-AV1 makes a process of root's a real-time one, with all its threads: nothing else on the
    machine gets to a processor beside it then, and programs that it starts inherit that.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        tasks = root / "proc/self/task"
        numbers = [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else [0]
        for number in numbers:  # 0 is the caller's thread
            with suppress(OSError):  # it has ended, or is not ours to change
                if os.sched_getscheduler(number) != before[0]:
                    os.sched_setscheduler(number, *before)
