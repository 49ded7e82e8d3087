"""What was right and stays so: other clocks, users, homes, names and machines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.promises.surroundings.conftest import QUICK, ROOT, Vsr, names, said, whole

CLOCK = """
import itertools, time
ticks = itertools.count()
time.time = lambda: {at} + {step} * next(ticks)
time.time_ns = lambda: int(time.time() * 1e9)
"""


@pytest.mark.parametrize(("at", "step"), [(0, 1), (4102444800, 1), (1e9, -3600)])
def test_any_clock(film: Path, tmp_path: Path, vsr: Vsr, at: float, step: float) -> None:
    """Of 1970, of 2100, and one that goes back with each look at it."""
    os.utime(film, (max(at, 0), max(at, 0)))
    for name in ("a.mkv", "b.mkv"):
        shutil.copy2(film, tmp_path / name)
    ended = vsr(
        "upscale", "a.mkv", "b.mkv", "-o", "o/", *QUICK, cwd=tmp_path,
        first=CLOCK.format(at=at, step=step), TZ="Antarctica/Troll",
    )  # fmt: skip
    assert ended.code == 0, ended
    assert whole(tmp_path / "o" / "a_1x.mkv")
    assert names(tmp_path / "o") == ["a_1x.mkv", "b_1x.mkv"]


@pytest.mark.parametrize("home", ["", "TMP/nowhere", "/dev/null"])
def test_any_home(film: Path, tmp_path: Path, vsr: Vsr, home: str) -> None:
    home = home.replace("TMP", str(tmp_path))  # root could make any other
    bare = f"""
for name in list(os.environ):
    del os.environ[name]
if {home!r}:
    os.environ["HOME"] = {home!r}
"""
    ended = vsr("upscale", film, "-o", tmp_path / "o.mkv", *QUICK, first=bare)
    assert ended.code == 0, ended
    assert whole(tmp_path / "o.mkv")
    assert vsr("jobs", first=bare).code == 0


@pytest.mark.parametrize("fault", ["FileNotFoundError", "OSError"])
def test_no_folder_for_temporary_files(film: Path, tmp_path: Path, vsr: Vsr, fault: str) -> None:
    """TMPDIR that is full or away: what is not finished lies beside the output."""
    none = f"""
import tempfile
def none(*arguments, **options):
    raise {fault}(28, "none")
tempfile.gettempdir = none
"""
    ended = vsr("upscale", film, "-o", tmp_path / "o.mkv", *QUICK, first=none, TMPDIR="/nowhere")
    assert ended.code == 0, ended
    assert whole(tmp_path / "o.mkv")


@pytest.mark.parametrize("most", [16, 32])
def test_few_open_files(film: Path, tmp_path: Path, vsr: Vsr, most: int) -> None:
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most}))"
    ended = vsr("upscale", film, "-o", tmp_path / "o.mkv", *QUICK, first=limit)
    assert ended.code == 0, ended
    assert whole(tmp_path / "o.mkv")


def test_no_links_of_any_kind(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    """As on FAT and on many shares."""
    none = """
def none(*arguments, **options):
    raise PermissionError(1, os.strerror(1))
os.link = os.symlink = none
"""
    ended = vsr("upscale", film, "-o", tmp_path / "o.mkv", *QUICK, first=none)
    assert ended.code == 0, ended
    assert whole(tmp_path / "o.mkv")


@pytest.mark.parametrize(
    "name",
    [f"{'x' * 251}.mkv", "-o.mkv", "%d%%.mkv", "[a]{b}*?.mkv", "a:b.mkv", "a\nb.mkv", " .mkv",
     os.fsdecode("\u00e9\u200b\U0001f600.mkv".encode()), os.fsdecode(b"\xff\xfe.mkv"),
     "file:x.mkv", "pipe:1.mkv", "concat:a|b.mkv", "'\"\\$(x)`y`;&.mkv"],
)  # fmt: skip
def test_any_name_as_source_and_result(film: Path, tmp_path: Path, vsr: Vsr, name: str) -> None:
    source = film.rename(tmp_path / name)
    (tmp_path / "o").mkdir()
    ended = vsr("upscale", source, "-o", tmp_path / "o" / name, *QUICK)
    assert ended.code == 0, ended
    assert names(tmp_path / "o") == [name]
    shutil.move(tmp_path / "o" / name, tmp_path / "plain.mkv")
    assert whole(tmp_path / "plain.mkv")


def test_two_names_of_one_result(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    """As where large and small letters are the same: the first one's result stays."""
    (tmp_path / "sub").mkdir()
    shutil.copy(film, tmp_path / "sub" / "in.mkv")
    (tmp_path / "same").symlink_to(tmp_path / "sub")
    ended = vsr(
        "upscale", "sub/in.mkv", "same/in.mkv", "--overwrite", *QUICK, cwd=tmp_path
    )  # fmt: skip
    assert (ended.code, "1 of 2 films done" in ended.err) == (2, True), ended
    assert "its result would replace" in said(ended)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no unshare here")
@pytest.mark.parametrize(
    "change", ["true", "mount -t tmpfs none /proc", "mount -t tmpfs -o size=64k none /dev/shm"],
    ids=["first process", "no /proc", "small /dev/shm"],
)  # fmt: skip
def test_in_namespaces_as_of_containers(film: Path, tmp_path: Path, change: str) -> None:
    """As process 1, without /proc, with as little shared memory as containers are given."""
    command = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", f'{change} && exec "$@"', "sh"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces can be made here")
    done = subprocess.run(
        [*command, sys.executable, ROOT / "vsr_cli.py", "upscale", film, "-o", tmp_path / "o.mkv",
         *QUICK],
        capture_output=True, text=True, check=False,
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "s"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert whole(tmp_path / "o.mkv")


@pytest.mark.parametrize("change", ["truncate", "unlink", "rewrite"])
def test_a_source_that_changes_under_the_run(
    film: Path, tmp_path: Path, vsr: Vsr, change: str
) -> None:
    """It is read on, or told: never a film of one half and another."""
    how = {
        "truncate": "os.truncate(path, 5000)", "unlink": "os.unlink(path)",
        "rewrite": "open(path, 'r+b').write(bytes(9000))",
    }  # fmt: skip
    late = f"""
path = {str(film)!r}
from vsr.jobs.store.job_store import JobStore
finish = JobStore.finish
def finishing(*arguments):
    finish(*arguments)
    JobStore.finish = finish
    {how[change]}
JobStore.finish = finishing
"""
    ended = vsr("upscale", film, "-o", tmp_path / "o.mkv", *QUICK, "--segment", "0.2", first=late)
    assert ended.code in (1, 3), ended
    assert "in.mkv" in said(ended)
    assert not (tmp_path / "o.mkv").exists()


def test_an_output_that_appears_meanwhile(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    output = tmp_path / "o.mkv"
    late = f"""
from vsr.jobs.store.job_store import JobStore
finish = JobStore.finish
def finishing(*arguments):
    finish(*arguments)
    open({str(output)!r}, "w").write("precious")
JobStore.finish = finishing
"""
    ended = vsr("upscale", film, "-o", output, *QUICK, first=late)
    assert (ended.code, "is there already" in said(ended)) == (2, True), ended
    assert output.read_text() == "precious"
    ended = vsr("upscale", film, "-o", output, "--overwrite", *QUICK)
    assert (ended.code, "resuming: " in ended.err) == (0, True), ended
    assert whole(output)
