"""What of the machine this process may use: containers and schedulers allow less than there is.

Linux counts the whole machine's cores and memory to everyone. What a container was given stands in
its control groups: version 2, where all is in one tree, or version 1, with one for each resource.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def cores(root: Path = _ROOT) -> int:
    """Those that this process may run on, and no more than its share of their time; at least 1.

    `root`: where proc and sys are.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(math.ceil(min([allowed or 1, *_shares(root)])), 1)


def codec_threads() -> int:
    """0, which is as many as libav finds right; fewer where it would count what is not ours."""
    mine = cores()
    return 0 if mine == os.cpu_count() else mine


def memory(root: Path = _ROOT) -> int:
    """Bytes of it that this process can ever have."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *(limit for limit, _ in _limits(root))])


def free_host_memory(root: Path = _ROOT) -> int:
    """Bytes that can be allocated now, about."""
    free = memory(root) // 2
    with suppress(OSError, KeyError, ValueError):
        free = _fields(root / "proc/meminfo", ":")["MemAvailable"] * 1024
    return max(min([free, *(limit - used for limit, used in _limits(root))]), 0)


def _shares(root: Path) -> Iterator[float]:
    """Cores' worth of time, of each group that limits it."""
    for group, version in _groups(root, "cpu"):
        with suppress(OSError, ValueError):
            if version == 2:
                quota, period = (group / "cpu.max").read_text().split()
            else:
                quota, period = ((group / f"cpu.cfs_{name}_us").read_text()
                                 for name in ("quota", "period"))  # fmt: skip
            if int(quota) > 0:  # "max" is no number, and -1 no limit
                yield int(quota) / int(period)


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """(limit, used) in bytes, of each group that has one."""
    for group, version in _groups(root, "memory"):
        names = ("memory.max", "memory.current", "inactive_file")
        if version == 1:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        with suppress(OSError, ValueError):
            limit, used = (int((group / name).read_text()) for name in names[:2])
            # Files that were read or written once are given up before anything is refused.
            yield limit, used - _fields(group / "memory.stat", None).get(names[2], 0)


def _fields(path: Path, after: str | None) -> dict[str, int]:
    """Of lines such as "name 12" or "name: 12 kB", the numbers."""
    lines = (line.split(after, 1) for line in path.read_text().splitlines())
    return {name: int(value.split()[0]) for name, value in lines}


def _groups(root: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """(folder, version) of the control groups that this process is in, the innermost first."""
    with suppress(OSError, ValueError):
        memberships = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
        for membership in memberships:
            _, controllers, path = membership.split(":", 2)
            version = 1 if controllers else 2
            if version == 1 and controller not in controllers.split(","):
                continue
            for mount in mounts:
                ours, theirs = (half.split() for half in mount.split(" - ", 1))
                if theirs[0] != ("cgroup2" if version == 2 else "cgroup"):
                    continue
                if version == 1 and controller not in theirs[2].split(","):
                    continue
                for folder in _up(PurePosixPath(path), PurePosixPath(ours[3])):
                    yield root / ours[4].lstrip("/") / folder, version


def _up(path: PurePosixPath, top: PurePosixPath) -> Iterator[PurePosixPath]:
    """From a group to the one that is mounted, relative to it.

    A container sees its own group mounted, and may be told its place in the whole tree.
    """
    inside = path.relative_to(top) if path.is_relative_to(top) else PurePosixPath()
    yield from (inside, *inside.parents)
