"""Promises: no more is counted on than a container, a scheduler and the machine allow."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from vsr.engine.device import prepare_cpu
from vsr.machine import cores, free_host_memory, memory
from vsr.options import DeviceOptions

MIB = 2**20
PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MEMINFO = f"MemTotal: 9000000 kB\nMemAvailable: {4096 * 1024} kB\nHugePages_Total: 0\n"
V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = (
    "35 31 0:32 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
)


def machine(root: Path, membership: str, mounts: str) -> None:
    """What Linux tells a process of itself; 4 GiB are free on the whole machine."""
    told = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": membership,
        "proc/self/mountinfo": f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n{mounts}\n",
    }
    for path, text in told.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8", errors="surrogateescape")


def group(root: Path, path: str, **files: str) -> None:
    """A control group; of the files' names, the first _ is a dot."""
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)


def test_version_2_and_the_strictest_of_all_groups_above(tmp_path: Path) -> None:
    """What has been read or written once is given up when something else asks for memory."""
    machine(tmp_path, "0::/user/job", V2)
    group(tmp_path, "user/job", memory_max="max\n", memory_current="5", memory_stat="anon 5\n",
          cpu_max="350000 100000\n")  # fmt: skip
    group(tmp_path, "user", memory_max=f"{2048 * MIB}\n", memory_current=f"{700 * MIB}\n",
          memory_stat=f"anon 1\ninactive_file {150 * MIB}\nactive_file {50 * MIB}\n",
          cpu_max="150000 100000\n")  # fmt: skip
    assert memory(tmp_path) == min(2048 * MIB, PHYSICAL)
    assert free_host_memory(tmp_path) == 1548 * MIB
    assert cores(tmp_path) == min(2, len(os.sched_getaffinity(0)))


def test_the_limit_counts_whatever_else_can_be_read(tmp_path: Path) -> None:
    """And the one from which on a process is slowed down until it stands."""
    machine(tmp_path, "0::/a\\x2db/job", r"29 23 0:26 /a\134x2db /sys/fs/c\040g rw - cgroup2  rw")
    folder = tmp_path / "sys/fs/c g/job"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text("max")
    (folder / "memory.high").write_text(f"{512 * MIB}")
    assert memory(tmp_path) == free_host_memory(tmp_path) == 512 * MIB
    (folder / "memory.current").write_text(f"{100 * MIB}")
    assert free_host_memory(tmp_path) == 412 * MIB


def test_the_groups_of_others_are_not_ours(tmp_path: Path) -> None:
    """Wherever they are mounted, and whatever names other mounts have."""
    theirs = (
        "30 23 0:26 /others /mnt rw - cgroup2 cgroup2 rw\n31 22 8:1 / /caf\udce9 rw - ext4 /a rw"
    )
    machine(tmp_path, "0::/job", f"{theirs}\n{V2}")
    (tmp_path / "mnt").mkdir()
    (tmp_path / "mnt/memory.max").write_text(f"{MIB}")
    group(tmp_path, "job", memory_max=f"{600 * MIB}", memory_current="0")
    assert memory(tmp_path) == 600 * MIB


@pytest.mark.parametrize("root", ["/", "/docker/abc"])
def test_version_1_also_where_a_container_sees_only_its_own(tmp_path: Path, root: str) -> None:
    """It is told its place in the whole tree, of which its own group is all that is mounted."""
    machine(tmp_path, "9:name=systemd:/\n4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc",
            V1.format(root=root))  # fmt: skip
    inner = "docker/abc" if root == "/" else ""
    group(tmp_path, f"memory/{inner}", memory_limit_in_bytes=f"{1024 * MIB}",
          memory_usage_in_bytes=f"{100 * MIB}", memory_stat="total_inactive_file 0")  # fmt: skip
    group(tmp_path, f"cpu,cpuacct/{inner}", cpu_cfs_quota_us="20000", cpu_cfs_period_us="100000")
    assert memory(tmp_path) == 1024 * MIB
    assert free_host_memory(tmp_path) == 924 * MIB
    assert cores(tmp_path) == 1


@pytest.mark.parametrize("limited", [True, False])
def test_without_limits_it_is_the_machine(tmp_path: Path, limited: bool) -> None:
    """Version 1 writes a number that is larger than any machine, or -1, where there is none."""
    machine(tmp_path, "4:memory:/\n1:cpu,cpuacct:/" if limited else "", V1.format(root="/"))
    group(tmp_path, "memory", memory_limit_in_bytes="9223372036854771712",
          memory_usage_in_bytes="77", memory_stat="total_inactive_file 7")  # fmt: skip
    group(tmp_path, "cpu,cpuacct", cpu_cfs_quota_us="-1", cpu_cfs_period_us="100000")
    assert memory(tmp_path) == PHYSICAL
    assert free_host_memory(tmp_path) == 4096 * MIB
    assert cores(tmp_path) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("text", ["", "rubbish", "0::/gone", "1:2", "0::/job\n\n:::"])
def test_what_cannot_be_read_is_no_limit(tmp_path: Path, text: str) -> None:
    machine(tmp_path, text, f"{V2}\nnothing")
    group(tmp_path, "job", memory_max="soon", memory_current="", cpu_max="all of it")
    (tmp_path / "proc/meminfo").write_text(MEMINFO + "Odd:\n")
    with suppress(FileNotFoundError):
        (tmp_path / "sys/fs/cgroup/job/memory.stat").unlink()
    assert memory(tmp_path) == PHYSICAL
    assert free_host_memory(tmp_path) == 4096 * MIB
    assert cores(tmp_path) >= 1
    assert memory(tmp_path / "nowhere") == memory(tmp_path)
    assert 0 < free_host_memory(tmp_path / "nowhere") < memory(tmp_path)


def test_a_group_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    machine(tmp_path, "0::/job", V2)
    group(tmp_path, "job", memory_max="100", memory_current="120", memory_stat="inactive_file 3")
    assert free_host_memory(tmp_path) == 0


def test_cores_that_a_scheduler_took_away_do_not_count() -> None:
    told = subprocess.run(
        [sys.executable, "-c",
         "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
         "from vsr.machine import codec_threads, cores; print(cores(), codec_threads())"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert told.stdout.split() == ["1", "0" if os.cpu_count() == 1 else "1"]


@pytest.mark.parametrize(("asked", "expected"), [(None, 1), (2, 2)])
def test_the_network_takes_no_more_threads_than_that(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, expected: int
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr("vsr.engine.device.cores", lambda: 1)
    try:
        prepare_cpu(DeviceOptions(threads=asked))
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
