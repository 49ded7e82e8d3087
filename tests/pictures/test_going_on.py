"""Promises: pictures that are done are not done again, by the same command, after any end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vsr
from tests import judge
from tests.jobs.conftest import ROOT
from tests.pictures.shared import names, same_pictures, shots, upscale
from vsr.jobs import disk
from vsr.jobs.registry import state_folder

MANY = 30


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def _stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*")}


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
    while len(_stamps(out)) < 4 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=100)
    before = _stamps(out)
    assert 4 <= len(before) < MANY
    again = upscale(*command[1:])
    assert again.exit_code == 0, again.output
    assert f"{len(before)} of {MANY} pictures are done already" in again.stderr
    assert f"{MANY} of {MANY} pictures done" in again.stderr
    after = _stamps(out)
    assert len(after) == MANY
    assert before.items() <= after.items()
    over = upscale(*command[1:])  # the whole is done: now they are in the way
    assert f"{MANY} of {MANY} results are there already" in str(over.exception)


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


def test_a_torn_line_costs_its_picture_and_no_other(tmp_path: Path) -> None:
    folder, out = shots(tmp_path / "in", 4).parent, tmp_path / "out"
    (folder / "x.png").write_bytes(b"no picture")
    upscale(folder, "-o", out)
    (book,) = (state_folder() / "done").iterdir()
    os.truncate(book, book.stat().st_size - 7)
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
    rename, count = disk.rename, 0

    def killing(source: Path, target: Path) -> None:
        nonlocal count
        count += target.parent == out
        if count < 3 or named or target.parent != out:
            rename(source, target)
        if count == 3 and target.parent == out:
            raise _Killed

    options = vsr.UpscaleOptions(model=vsr.ModelOptions(name="bicubic"))
    with monkeypatch.context() as patched, pytest.raises(_Killed):
        patched.setattr(disk, "rename", killing)
        list(vsr.Batch([folder], out, options).run())
    before = _stamps(out)
    assert len(before) == 2 + named
    results = [outcome.result for outcome in vsr.Batch([folder], out, options).run()]
    assert [result is not None and result.seconds == 0 for result in results] == [
        n < len(before) for n in range(4)
    ]
    assert before.items() <= _stamps(out).items()
