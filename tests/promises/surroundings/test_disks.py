"""Disks that are full, small, without locks or another's; folders that nobody may write to."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.promises.surroundings.conftest import QUICK, Vsr, names, said, whole
from tests.support.pictures import small_disk
from vsr.jobs.store.job_store import folder_of

LARGE = ("-m", "bicubic", "-s", "8", "--threads", "1", "--segment", "0.2")
PLAIN = os.geteuid() != 0
NOBODY = 65534
# What lets root do as he likes in files of others.
POWERLESS = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
class Head(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
class Sets(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]
if os.geteuid() == 0:
    head, sets = Head(0x20080522, 0), (Sets * 2)()
    assert libc.capget(ctypes.byref(head), sets) == 0
    for half in sets:
        half.effective = 0
    assert libc.capset(ctypes.byref(head), sets) == 0
"""


def no_locks(number: int) -> str:
    return f"""
import fcntl
def none(*arguments):
    raise OSError({number}, os.strerror({number}))
fcntl.flock = none
"""


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(film: Path, tmp_path: Path, vsr: Vsr, number: int) -> None:
    output = tmp_path / "o.mkv"
    ended = vsr("upscale", film, "-o", output, *QUICK, first=no_locks(number))
    assert ended.code == 0, ended
    assert "o.mkv: its file system knows no locks" in ended.err
    assert whole(output)
    assert names(tmp_path) == ["in.mkv", "o.mkv"]


def test_two_runs_where_there_are_no_locks(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    """The second one, while the first is at work, is refused and damages nothing."""
    output = tmp_path / "o.mkv"
    second = f"""
{no_locks(errno.ENOLCK)}
from vsr.jobs.store.job_store import JobStore, folder_of
from pathlib import Path
other = JobStore(folder_of(Path({str(output)!r})))
if os.fork() == 0:
    other.__enter__()
    open({str(tmp_path / "ready")!r}, "w").close()
    import time
    time.sleep(1000)
"""
    ended = vsr(
        "upscale", film, "-o", output, *QUICK,
        first=f"{second}\nimport time\nwhile not os.path.exists({str(tmp_path / 'ready')!r}):\n"
        "    time.sleep(0.01)\n",
    )  # fmt: skip
    process = int((folder_of(output) / "lock").read_text())
    try:
        assert (ended.code, f"process {process} is at work" in said(ended)) == (2, True)
        assert folder_of(output).exists()
    finally:
        os.kill(process, 9)
    for _ in range(100):  # the name is free when the process is gone
        ended = vsr("upscale", film, "-o", output, *QUICK, first=no_locks(errno.ENOLCK))
        if ended.code == 0:
            break
        time.sleep(0.1)
    assert whole(output)


def test_a_limit_of_a_files_size(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    """As FAT32 has, whether a part meets it or the whole film: that command cannot go on."""
    for limit, kept in ((8, False), (50, True)):
        small = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit << 10},) * 2)"
        ended = vsr("upscale", film, "-o", tmp_path / "o.mkv", *LARGE, first=small)
        line = said(ended)
        assert ended.code == 1
        assert "o.mkv: " in line or str(tmp_path) in line
        assert "ulimit -f" in line
        assert line.endswith("the same command goes on when that is changed") == kept
        assert ("what is finished is kept" in line) == kept
        assert names(tmp_path) == [".o.mkv.vsr", "in.mkv"][1 - kept :]
    ended = vsr("upscale", film, "-o", tmp_path / "o.mkv", *LARGE)
    assert (ended.code, "note: resuming: " in ended.err) == (0, True)
    assert whole(tmp_path / "o.mkv")


def test_a_full_disk_is_called_one(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    with small_disk(tmp_path / "small", "200k") as small:
        ended = vsr("upscale", film, "-o", small / "o.mkv", *LARGE)
        line = said(ended)
        assert ended.code == 6
        assert f"{small}: the disk is full; make room: 0 MB are free, about 6" in line
        assert "MB are needed; what is finished is kept" in line
    with small_disk(tmp_path / "smaller", "20k") as small:
        ended = vsr("upscale", film, "-o", small / "o.mkv", *LARGE)
        assert ended.code == 1
        line = said(ended)
        assert f"{small}: " in line
        assert "the disk is full; make room" in line
        assert "0 MB are free, about 1 MB are needed" in line
        assert names(small) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_what_a_disk_refuses_with(film: Path, tmp_path: Path, vsr: Vsr, number: int) -> None:
    """Injected where the disk is written to: no tmpfs can be mounted everywhere."""
    refuse = f"""
from vsr.jobs.store import atomic_write as disk
real, count = os.replace, 0
def replace(a, b):
    global count
    count += 1
    if count == 8:
        raise OSError({number}, os.strerror({number}), str(a))
    return real(a, b)
import types
disk.os = types.SimpleNamespace(**{{n: getattr(os, n) for n in dir(os)}} | {{"replace": replace}})
"""
    output = tmp_path / "o.mkv"
    ended = vsr("upscale", film, "-o", output, *LARGE, first=refuse)
    line = said(ended)
    assert ended.code == 1
    assert str(tmp_path) in line
    word = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "share of the disk is used up"}
    assert word.get(number, "Read-only file system") in line
    lasting = number == errno.EROFS
    assert line.endswith("the same command goes on when that is changed") == lasting
    ended = vsr("upscale", film, "-o", output, *LARGE)
    assert (ended.code, "note: resuming: " in ended.err) == (0, True)


def owned(path: Path, *, by_another: bool) -> None:
    if by_another:
        if PLAIN:
            pytest.skip("only root can give a file to another user")
        os.chown(path, NOBODY, NOBODY)


def test_another_users_file_in_a_sticky_folder(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    """As in /tmp: noticed before the work, not after it."""
    sticky = tmp_path / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    output = sticky / "o.mkv"
    output.write_text("his")
    owned(output, by_another=True)
    owned(sticky, by_another=True)
    ended = vsr("upscale", film, "-o", output, "--overwrite", *QUICK, first=POWERLESS)
    assert (ended.code, "belongs to another user" in said(ended)) == (1, True)
    assert "frame" not in ended.err
    assert names(sticky) == ["o.mkv"]
    assert output.read_text() == "his"


def test_a_job_folder_of_another_user(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    store = tmp_path / ".o.mkv.vsr"
    store.mkdir(mode=0o755)
    owned(store, by_another=True)
    ended = vsr("upscale", film, "-o", tmp_path / "o.mkv", *QUICK, first=POWERLESS)
    assert (ended.code, f"{store}: belongs to " in said(ended)) == (1, True)
    assert names(tmp_path) == [".o.mkv.vsr", "in.mkv"]


def test_folders_that_may_not_be_written_to(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    closed, shut = tmp_path / "closed", tmp_path / "shut"
    for folder, mode in ((closed, 0o555), (shut, 0o000)):
        folder.mkdir()
        shutil.copy(film, folder / "in.mkv")
        folder.chmod(mode)
    try:
        for arguments, code, word in (
            ([film, "-o", closed / "o.mkv"], 1, "cannot be written to (Permission denied)"),
            ([closed / "in.mkv"], 1, "cannot be written to (Permission denied)"),
            ([film, "-o", closed / "new/"], 1, "cannot be made (Permission denied)"),
            ([film, "-o", shut / "o.mkv"], 1, "cannot be written to (Permission denied)"),
            ([shut / "in.mkv", "-o", tmp_path / "o.mkv"], 3, "no permission"),
        ):
            given = [f"{a}/" if a == closed / "new" else a for a in arguments]
            ended = vsr("upscale", *given, *QUICK, first=POWERLESS)
            assert (ended.code, word in said(ended)) == (code, True), ended
        ended = vsr("upscale", closed / "in.mkv", "-o", tmp_path / "o.mkv", *QUICK, first=POWERLESS)
        assert ended.code == 0, ended  # from where nothing may be written it is read
        assert whole(tmp_path / "o.mkv")
    finally:
        closed.chmod(0o755)
        shut.chmod(0o755)


def test_a_folder_that_may_only_be_written_to(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    drop.chmod(0o333)
    try:
        ended = vsr("upscale", film, "-o", drop / "o.mkv", *QUICK, first=POWERLESS)
    finally:
        drop.chmod(0o755)
    assert ended.code == 0, ended
    assert names(drop) == ["o.mkv"]


def test_a_single_file_that_is_mounted(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    """As containers are given files: its name cannot be taken by another file."""
    output, behind = tmp_path / "o.mkv", tmp_path / "behind.mkv"
    output.touch()
    behind.write_text("behind")
    bind = ["mount", "--bind", str(behind), str(output)]
    if subprocess.run(bind, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        ended = vsr("upscale", film, "-o", output, "--overwrite", *QUICK)
    finally:
        subprocess.run(["umount", str(output)], check=True)
    assert (ended.code, "is mounted by itself" in said(ended)) == (1, True)
    assert behind.read_text() == "behind"
    assert names(tmp_path) == ["behind.mkv", "in.mkv", "o.mkv"]


def test_the_source_by_another_name(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    before = film.read_bytes()
    links: dict[str, Callable[[Path], None]] = {
        "hard.mkv": lambda path: path.hardlink_to(film),
        "soft.mkv": lambda path: path.symlink_to(film),
        "through/in.mkv": lambda path: path.parent.symlink_to(tmp_path),
    }
    for name, link in links.items():
        link(tmp_path / name)
        ended = vsr("upscale", film, "-o", tmp_path / name, "--overwrite", *QUICK)
        assert (ended.code, "place of its source" in said(ended)) == (2, True), name
    assert film.read_bytes() == before


def test_links_lead_to_what_they_stand_for(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling.mkv").symlink_to("real/new.mkv")
    (tmp_path / "nowhere.mkv").symlink_to("none/new.mkv")
    for name in ("link/o.mkv", "dangling.mkv"):
        ended = vsr("upscale", film, "-o", tmp_path / name, *QUICK)
        assert ended.code == 0, ended
    assert names(tmp_path / "real") == ["new.mkv", "o.mkv"]
    assert whole(tmp_path / "dangling.mkv")
    ended = vsr("upscale", film, "-o", tmp_path / "nowhere.mkv", *QUICK)
    assert (ended.code, "no such folder" in said(ended)) == (1, True)


@pytest.mark.parametrize("mask", [0o077, 0o000, 0o027])
def test_modes_are_those_of_the_umask(film: Path, tmp_path: Path, vsr: Vsr, mask: int) -> None:
    ended = vsr("upscale", film, "-o", tmp_path / "o.mkv", *QUICK, first=f"os.umask({mask})")
    assert ended.code == 0, ended
    assert (tmp_path / "o.mkv").stat().st_mode & 0o777 == 0o666 & ~mask
