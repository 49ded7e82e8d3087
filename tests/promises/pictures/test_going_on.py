"""Promises: pictures that are done are not done again, by the same command, after any end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vsr
from tests.support import judge
from tests.support.jobs import ROOT
from tests.support.pictures import names, same_pictures, shots, upscale
from vsr.jobs.plan.scratch import WorkFolder
from vsr.jobs.store import atomic_write
from vsr.jobs.store.registry import state_folder

MANY = 80  # so that a test that is slow to look still finds it at work


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def _stamps(folder: Path, names: str = "*") -> dict[str, int]:
    """Of all that is there, also what is hidden, or of the results: "[!.]*"."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob(names)}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("target", ["out", "out/%03d.png"])
def test_a_folder_goes_on_where_it_was_ended(
    tmp_path: Path, target: str, number: signal.Signals
) -> None:
    folder = shots(tmp_path / "in", MANY).parent
    command = ["upscale", str(folder), "-o", str(tmp_path / target), "-m", "lanczos", "-s", "8"]
    process = subprocess.Popen([sys.executable, str(ROOT / "vsr_cli.py"), *command],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip
    out = tmp_path / "out"
    deadline = time.monotonic() + 100
    while (
        len(list(out.glob("[!.]*"))) < 4 and process.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=100)
    before = _stamps(out, "[!.]*")
    assert 4 <= len(before) < MANY
    for left in out.glob(".vsr-*"):
        os.utime(left, (0, 0))  # as if it had been a while ago
    again = upscale(*command[1:])
    assert again.exit_code == 0, again.output
    assert f"{len(before)} of {MANY} pictures are done already" in again.stderr
    assert f"{MANY} of {MANY} pictures done" in again.stderr
    after = _stamps(out)
    assert len(after) == MANY
    assert before.items() <= after.items()
    over = upscale(*command[1:])  # the whole is done: now they are in the way
    assert f"{MANY} of {MANY} results are there already" in str(over.exception)


def test_what_a_kill_left_is_removed_and_what_is_at_work_is_not(tmp_path: Path) -> None:
    folder, out = shots(tmp_path / "in", 2).parent, tmp_path / "out"
    out.mkdir()
    (out / ".vsr-leftover").mkdir()
    (out / ".vsr-leftover" / "1.png").touch()
    (out / ".vsr-brandnew").mkdir()
    (out / ".vsr-mine").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").touch()
    (out / ".vsr-linkedto").symlink_to(tmp_path / "mine")
    with WorkFolder(out / "x.png") as busy:
        for old in (busy, out / ".vsr-leftover", out / ".vsr-mine", tmp_path / "mine"):
            os.utime(old, (0, 0))
        assert upscale(folder, "-o", out).exit_code == 0
        assert busy.is_dir()
    assert names(out) == [".vsr-brandnew", ".vsr-linkedto", ".vsr-mine", "00001.png", "00002.png"]
    assert names(tmp_path / "mine") == ["kept"]


def test_only_what_is_as_it_was_is_passed_over(tmp_path: Path) -> None:
    """Not what was made of another picture, of other options, or was changed itself."""
    folder, out = shots(tmp_path / "in", 4).parent, tmp_path / "out"
    (folder / "x.png").write_bytes(b"no picture")  # so that the batch has not ended well
    assert upscale(folder, "-o", out).exit_code == 3
    assert names(out) == [f"{n:05d}.png" for n in range(1, 5)]
    (book,) = (state_folder() / "done").iterdir()
    shutil.copy(book, tmp_path / "book")
    before = _stamps(out)

    other = upscale(folder, "-o", out, "-m", "bicubic", "-s", "2")
    assert "4 of 5 results are there already" in str(other.exception)
    assert upscale(folder, "-o", out, "--restart", "--overwrite").exit_code == 3
    assert before.keys() == (now := _stamps(out)).keys()
    assert all(before[name] != now[name] for name in now)

    (folder / "00002.png").write_bytes((folder / "00001.png").read_bytes())
    with (out / "00003.png").open("ab") as file:
        file.write(b"changed")
    (out / "00004.png").unlink()
    assert "2 of 5 results are there already" in str(upscale(folder, "-o", out).exception)
    again = upscale(folder, "-o", out, "--overwrite")
    assert "1 of 5 pictures are done already" in again.stderr
    assert _stamps(out)["00001.png"] == now["00001.png"]
    assert all(same_pictures(folder / name, out / name) for name in now)


def test_others_in_the_place_of_a_picture_are_not_believed(tmp_path: Path) -> None:
    """With the size and the time of the one that was there."""
    folder, out = shots(tmp_path / "in", 4, suffix="bmp").parent, tmp_path / "out"
    (folder / "x.png").write_bytes(b"no picture")
    for path in folder.iterdir():
        os.utime(path, (9, 9))
    upscale(folder, "-o", out)
    (folder / "00001.bmp").unlink()
    for n in (2, 3, 4):
        (folder / f"{n:05d}.bmp").rename(folder / f"{n - 1:05d}.bmp")
    assert upscale(folder, "-o", out, "--overwrite").exit_code == 3
    for n in (1, 2, 3):
        source, result = folder / f"{n:05d}.bmp", out / f"{n:05d}.png"
        with Image.open(source) as a, Image.open(result) as b:
            assert (np.asarray(a.convert("RGB")) == np.asarray(b.convert("RGB"))).all()


def test_pictures_by_name_and_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of them, done well, are forgotten; the others are not."""
    folder, out = shots(tmp_path / "in", 4).parent, tmp_path / "out"
    out.mkdir()
    bad = folder / "x.png"
    bad.write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    every = sorted(Path("in").iterdir())
    assert "0 of 5" not in upscale(*every, "-o", "out").stderr
    monkeypatch.chdir(folder)
    every = [tmp_path / path for path in every]
    assert "4 of 5 pictures are done already" in upscale(*every, "-o", out).stderr
    assert upscale(*every[:2], "-o", out).exit_code == 0
    again = upscale(*every, "-o", out)
    assert "2 of 5 pictures are done already" in again.stderr


def test_a_torn_line_costs_its_picture_and_no_other(tmp_path: Path) -> None:
    folder, out = shots(tmp_path / "in", 4).parent, tmp_path / "out"
    (folder / "x.png").write_bytes(b"no picture")
    upscale(folder, "-o", out)
    (book,) = (state_folder() / "done").iterdir()
    os.truncate(book, book.stat().st_size - 7)
    with book.open("a") as file:
        file.write('\n["a", 5]\n5\n["b", {"output": 3}]\n[[], {}]\nnull')
    (out / "00004.png").unlink()
    again = upscale(folder, "-o", out)
    assert "3 of 5 pictures are done already" in again.stderr
    again = upscale(folder, "-o", out)
    assert "4 of 5 pictures are done already" in again.stderr


class _Killed(BaseException):
    """What nothing catches."""


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("kind", ["pictures", "films"])
def test_killed_while_a_result_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, named: bool
) -> None:
    """The moment before it, or the moment after."""
    folder, out = tmp_path / "in", tmp_path / "out"
    if kind == "pictures":
        shots(folder, 4)
    else:
        folder.mkdir()
        for n in range(4):
            judge.make(folder / f"{n}.mkv", "testsrc2=s=64x48:r=24:d=0.2", "-g", "2")
    rename, count = atomic_write.rename, 0

    def killing(source: Path, target: Path) -> None:
        nonlocal count
        count += target.parent == out
        if count < 3 or named or target.parent != out:
            rename(source, target)
        if count == 3 and target.parent == out:
            raise _Killed

    options = vsr.UpscaleOptions(model=vsr.ModelOptions(name="bicubic"))
    with monkeypatch.context() as patched, pytest.raises(_Killed):
        patched.setattr(atomic_write, "rename", killing)
        list(vsr.Batch([folder], out, options).run())
    before = _stamps(out, "[!.]*")
    assert len(before) == 2 + named
    results = [outcome.result for outcome in vsr.Batch([folder], out, options).run()]
    assert [result is not None and result.seconds == 0 for result in results] == [
        n < len(before) for n in range(4)
    ]
    assert before.items() <= (after := _stamps(out)).items()
    assert len(after) == 4  # and nothing hidden beside them
