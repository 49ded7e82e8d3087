"""Standard streams that are closed, full, or of another encoding; working folders that are gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.promises.surroundings.conftest import QUICK, ROOT, Vsr, names, said, whole

FULL = Path("/dev/full")

ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(line: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A line of a script, in which "$@" runs vsr."""
    command = ["bash", "-c", line, "bash", sys.executable, str(ROOT / "vsr_cli.py")]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, check=False, encoding="utf-8",
        errors="surrogateescape",
        env=os.environ | {"XDG_STATE_HOME": str(cwd / "state"), "OMP_NUM_THREADS": "1"} | env,
    )  # fmt: skip


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", "2>&-"])
def test_closed_streams_cost_nothing(film: Path, tmp_path: Path, streams: str) -> None:
    """Nor does a file take the place of one, and get what is printed."""
    done = shell(f'"$@" upscale in.mkv -o o.mkv {" ".join(QUICK)} {streams}', tmp_path)
    assert done.returncode == 0, done.stderr
    assert whole(tmp_path / "o.mkv")
    assert "internal" not in done.stderr
    if streams == "2>&-":
        assert done.stdout == "o.mkv\n"


def test_a_closed_stream_that_is_needed_is_named(film: Path, vsr: Vsr) -> None:
    closed = "os.close(1); sys.stdout = sys.__stdout__ = None"
    ended = vsr("upscale", film, "-o", "-", *QUICK, first=closed)
    assert (ended.code, "standard output: is closed" in said(ended)) == (2, True)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_full_streams_end_no_batch(film: Path, tmp_path: Path) -> None:
    """All films are made; that their names could not be said is told, by the exit code too."""
    (tmp_path / "b.mkv").write_bytes(film.read_bytes())
    for streams, code, env in (
        (">/dev/full", 1, {}),
        (">/dev/full", 1, ASCII),
        ("2>/dev/full", 0, {}),
    ):
        line = f'"$@" upscale in.mkv b.mkv -o done/ --overwrite {" ".join(QUICK)} {streams}'
        done = shell(line, tmp_path, **env)
        assert done.returncode == code, done.stderr
        assert whole(tmp_path / "done" / "in_1x.mkv")
        assert whole(tmp_path / "done" / "b_1x.mkv")
        if code:
            assert "standard output: cannot be written to (No space left" in done.stderr
            assert "internal" not in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_every_command_says_that_its_output_is_lost(film: Path, vsr: Vsr) -> None:
    full = "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"
    for command in (["probe", film, *QUICK[:4]], ["models"], ["--version"], ["--help"]):
        ended = vsr(*command, first=full)
        assert (ended.code, "standard output: cannot be" in said(ended)) == (1, True), command


def test_a_reader_that_has_enough_ends_no_batch(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    for name in ("b.mkv", "c.mkv"):
        (tmp_path / name).write_bytes(film.read_bytes())
    nobody = "r, w = os.pipe(); os.close(r); os.dup2(w, 1)"
    ended = vsr(
        "upscale", "in.mkv", "b.mkv", "c.mkv", "-q", *QUICK, cwd=tmp_path, first=nobody
    )  # fmt: skip
    assert (ended.code, ended.err) == (1, "")
    assert all(whole(tmp_path / f"{name}_1x.mkv") for name in ("in", "b", "c"))


def test_names_are_printed_as_they_stand_on_the_disk(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    """With LANG=C, and with PYTHONIOENCODING=ascii."""
    name = "\xfc\u65e5"
    on_disk = os.fsdecode(f"{name}.mkv".encode())
    film.rename(tmp_path / on_disk)
    done = shell(f'"$@" upscale *.mkv {" ".join(QUICK)}', tmp_path, **ASCII)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{name}_1x.mkv\n"
    assert f"note: {name}.mkv: " in done.stderr
    ascii_only = """
for number, which in ((1, "stdout"), (2, "stderr")):
    stream = open(number, "w", encoding="ascii", closefd=False)
    setattr(sys, which, stream)
    setattr(sys, f"__{which}__", stream)
"""
    ended = vsr("upscale", on_disk, "-o", "o/", *QUICK, cwd=tmp_path, first=ascii_only)
    assert (ended.code, ended.out) == (0, f"o/{name}_1x.mkv\n".encode()), ended
    assert f"note: {name}.mkv: " in ended.err


def test_no_name_gives_orders_to_a_terminal(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    name = os.fsdecode(b"a\x1b[2J\nb\x9b\xff")
    film.rename(tmp_path / f"{name}.mkv")
    ended = vsr("upscale", f"{name}.mkv", *QUICK, cwd=tmp_path)
    assert ended.code == 0, ended
    assert ended.out == b"a\x1b[2J\nb\x9b\xff_1x.mkv\n"  # for a script, as it is
    assert "\x1b" not in ended.err
    assert "a\\x1b[2J\\x0ab" in ended.err
    ended = vsr("upscale", f"{name}.mp4", cwd=tmp_path)
    assert (ended.code, "a\\x1b[2J" in said(ended)) == (3, True)


def test_a_working_folder_that_is_gone(film: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    gone = "cd d; rmdir ../d"
    done = shell(f'{gone}; "$@" upscale "{film}" -o "{tmp_path}/o.mkv" {" ".join(QUICK)}', tmp_path)
    assert done.returncode == 0, done.stderr
    assert whole(tmp_path / "o.mkv")


def test_names_from_a_working_folder_that_is_gone(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    (tmp_path / "d").mkdir()
    there = names(tmp_path)
    for command in (["upscale", "in.mkv"], ["upscale", film, "-o", "o.mkv"], ["probe", "in.mkv"],
                    ["metrics", "a.mkv", film]):  # fmt: skip
        (tmp_path / "d").mkdir(exist_ok=True)
        ended = vsr(*command, cwd=tmp_path / "d", first="os.rmdir(os.getcwd())")
        assert (ended.code, "is gone" in said(ended)) == (2, True), command
    (tmp_path / "d").mkdir()
    assert names(tmp_path) == there
